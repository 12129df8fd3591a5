"""What plain statistics of the pixels add to a head of `quality` that learns exposure.

    python benchmarks/quality/exposure_statistics.py --data BIQ2021 --cache runs/exposure \\
        --out benchmarks/quality/exposure_statistics.json

As `exposure_head.py`, whose cache it shares. Beside the network's features stand, of each view, how
much is clipped in one, two or all channels, and soft histograms of its brightness: channel means of
the network may not tell of a photo that is clipped in red alone. The head reads them by weights of
their own, or through a hidden layer.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from exposure_head import MODEL, TOLD, Features, Head, asked, figures, of_network, seen, trained
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from siamese_nima.networks.conversion import read_weights
from siamese_nima.scoring.model import ModelFile

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

VIEW = ModelFile(MODEL, threads=1).card.view
LEVELS = np.arange(256) / 255
CLIPPED = np.clip((LEVELS - 0.94) / 0.06, 0, 1)  # how much a pixel of that level counts as such
BINS = np.clip(1 - np.abs(LEVELS[:, None] - np.linspace(0, 1, 9)) * 8, 0, 1)
TOLD_OF_LEVELS = np.column_stack([CLIPPED, BINS])
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
ARMS = ((0, 0.1), (0, 0.3), (32, 0.1), (32, 0.3))  # hidden units, 0 for none; weight of the rungs


def main() -> None:
    """Compute statistics, train the heads, and write the figures."""
    options = asked(__doc__)
    about = provenance()
    *of_network_, examples = seen(options, of_network(), options.cache)
    *plain, plain_examples = seen(options, statistics, options.cache / "statistics")
    spread = torch.cat([plain[0].photos, plain[0].rungs]).std(0) + 1e-3
    train, val = (
        replace(
            split,
            photos=torch.cat([split.photos, beside.photos / spread], 1),
            rungs=torch.cat([split.rungs, beside.rungs / spread], 1),
        )
        for split, beside in zip(of_network_, plain, strict=True)
    )
    examples = torch.cat([examples, plain_examples / spread], 1)
    rows = []
    for hidden, weight in ARMS:
        torch.manual_seed(0)
        start = Head(WithStatistics(read_weights(MODEL)[0].head, len(spread), hidden))
        head = trained(start, train, "itself", weight)
        rows.append({"hidden": hidden, "weight": weight} | figures(head, val, examples))
    report(about | TOLD | {"heads": rows}, options.out)


class WithStatistics(nn.Module):
    """Makes logits of features and the statistics after them, of which it knows nothing yet.

    Args:
        last: Makes logits of features.
        width: Number of statistics.
        hidden: Units of a layer between them and the logits; 0 for none.
    """

    def __init__(self, last: nn.Linear, width: int, hidden: int) -> None:
        super().__init__()
        self.last = last
        out = nn.Linear(hidden or width, last.out_features)
        nn.init.zeros_(out.weight)
        nn.init.zeros_(out.bias)
        self.beside = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), out) if hidden else out

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, 10)."""
        known = self.last.in_features
        logits: Tensor = self.last(features[:, :known]) + self.beside(features[:, known:])
        return logits


def statistics(photo: Image.Image) -> Features:
    """Statistics of a photo's views, one after the other."""
    return np.concatenate([_of_view(view) for view in VIEW.views(photo)])


def _of_view(view: NDArray[np.uint8]) -> Features:
    """How much of a view (H, W, 3) is clipped, and how bright and dark it is; values of 0 to 1.

    Of red, green and blue, of each pixel's darkest, middle and brightest channel, and of luminance.
    """
    luminance = (view @ LUMINANCE).round().astype(np.uint8)
    levels = np.concatenate([view, np.sort(view, axis=2), luminance[..., None]], axis=2)
    counts = [np.bincount(level, minlength=256) for level in levels.reshape(-1, levels.shape[2]).T]
    return (np.stack(counts) / luminance.size @ TOLD_OF_LEVELS).ravel().astype(np.float16)


if __name__ == "__main__":
    main()
