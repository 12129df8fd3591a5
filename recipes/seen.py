"""What frozen networks see in photos, at every depth and in several views.

Kept under the work folder, a file for each network, view and set of photos.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite import NORMALISATION, build_efficientnet_lite
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from torch import Tensor, nn

from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.taste.features import FeatureExtractor

QUALITY = Path(__file__).parents[1] / "src" / "siamese_nima" / "models" / "quality.onnx"
Means = dict[str, NDArray[np.float32]]
Look = Callable[[Path], Means]


@dataclass(frozen=True, slots=True)
class Seen:
    """A network and what it is shown.

    Attributes:
        network: "lite0", "lite1", "lite2", or "quality": the embedded model, in its own view.
        view: What `ViewPolicy` reads; the means of its views are averaged.
        mirror: Of the mirrored photo.
    """

    network: str
    view: str = "warp:320"
    mirror: bool = False

    def means(
        self, name: str, paths: tuple[Path, ...], weights: dict[str, Path], work: Path
    ) -> Means:
        """Channel means by level, each of shape (N, channels), computed now or earlier.

        Args:
            name: Of the set of photos.
            paths: Its photos.
            weights: Files of ImageNet weights by network.
            work: Folder of what is kept.
        """
        view = self.view.replace(":", "").replace("@", "of") + ("-mirrored" if self.mirror else "")
        kept = work / f"{name}-{self.network}-{view}.npz"
        if not kept.exists():
            work.mkdir(parents=True, exist_ok=True)
            look = (
                _quality() if self.network == "quality" else lite_look(self, weights[self.network])
            )
            parts = [look(path) for path in paths]
            partial = kept.with_suffix(".partial.npz")
            np.savez(partial, **{k: np.stack([part[k] for part in parts]) for k in parts[0]})  # type: ignore[arg-type]
            partial.replace(kept)
        with np.load(kept) as found:
            return {level: found[level] for level in found.files}


@cache
def lite_look(seen: Seen, weights: Path) -> Look:
    """What sees a photo by an EfficientNet-Lite with these weights, on one thread."""
    network = _Levels(build_efficientnet_lite(f"tf_efficientnet_{seen.network}", weights))
    policy = ViewPolicy.parse(seen.view)
    height, width = policy.view_size or (0, 0)
    names = [*(f"b{number}" for number in range(network.count)), "pooled"]
    written = io.BytesIO()
    torch.onnx.export(
        network.eval(),
        (torch.zeros(policy.group_sizes[0], 3, height, width),),
        written,  # type: ignore[arg-type]
        input_names=["views"],
        output_names=names,
        dynamo=False,
    )
    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(written.getvalue(), options)

    def look(path: Path) -> Means:
        views = policy.views(read_photo(path))
        if seen.mirror:
            views = views[:, :, ::-1]
        shown = (views.astype(np.float32) - NORMALISATION.mean) / NORMALISATION.std
        feed = {"views": np.ascontiguousarray(shown.transpose(0, 3, 1, 2), np.float32)}
        found = zip(names, session.run(None, feed), strict=True)
        return {name: level.mean(0) for name, level in found}

    return look


class _Levels(nn.Module):
    """Channel means after every stage and after the last layer."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network: Any = network
        self.count = len(list(network.blocks.children()))

    def forward(self, views: Tensor) -> tuple[Tensor, ...]:
        network: Any = self.network
        seen = network.bn1(network.conv_stem(views))
        found = []
        for stage in network.blocks.children():
            seen = stage(seen)
            found.append(seen)
        found.append(network.bn2(network.conv_head(seen)))
        return tuple(level.mean((2, 3)) for level in found)


def _quality() -> Look:
    extractor = FeatureExtractor(QUALITY)

    def look(path: Path) -> Means:
        (row,) = extractor.rate(extractor.card.view.views(read_photo(path))[None])
        seen = row[extractor.card.scale.size :]
        parts = np.split(seen, np.cumsum(extractor.levels)[:-1])
        return {f"b{number}": part for number, part in enumerate(parts)}

    return look
