"""The trained network `quality` shown other views than it learnt on, val photos, no training.

    python benchmarks/quality/other_views.py --data BIQ2021 --model FILE.onnx --out FILE.json

`other_views.json` is of version 2 of the model, which learnt on warp:224+centre:224@512.

The head keeps its two inputs, the whole photo and a crop at short side 512; either may be larger,
of five places, or averaged with its mirror image. Cost counts pixels: 1 is the model's own views.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import pair_accuracy, same_scene_pairs, srcc
from siamese_nima.networks.conversion import read_weights
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.catalogue import find_model

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
WHOLE = ("warp:224", "warp:256", "warp:288", "warp:384")
CROPS = ("centre:224@512", "centre:288@512", "five:224@512")
MIRRORED = "warp:224/m", "centre:224@512/m"
BATCH = 8

Floats = NDArray[np.floating[Any]]


def main() -> None:
    """Measure all pairs of views and write the JSON."""
    options = _options()
    nima, card = read_weights(find_model(options.model))
    nima.eval().to(memory_format=torch.channels_last)
    val = read_biq2021(options.data, SPLITS).split("val")
    if not options.features.exists():
        options.features.parent.mkdir(parents=True, exist_ok=True)
        np.savez(options.features, **_features(nima, PixelNormalisation(card.normalisation), val))
    features = dict(np.load(options.features))
    mirrored = [
        (features[plain] + features[mirror]) / 2
        for plain, mirror in zip((WHOLE[0], CROPS[0]), MIRRORED, strict=True)
    ]
    rows = [
        {"whole": whole, "crop": crop, "cost": _cost(whole, crop)}
        | _judged(nima, features[whole], features[crop], val)
        for whole in WHOLE
        for crop in CROPS
    ]
    rows.append(
        {
            "whole": WHOLE[0],
            "crop": CROPS[0],
            "mirrored": True,
            "cost": 2 * _cost(WHOLE[0], CROPS[0]),
        }
        | _judged(nima, *mirrored, val)
    )
    model = f"{card.name}-{card.version}"
    report(provenance() | {"model": model, "photos": len(val), "rows": rows}, options.out)


@torch.inference_mode()
def _features(nima: NIMA, normalise: PixelNormalisation, table: RatingTable) -> dict[str, Floats]:
    found: dict[str, list[Floats]] = {}

    def keep(name: str, views: NDArray[np.uint8]) -> None:
        pixels = normalise(torch.from_numpy(np.ascontiguousarray(views)))
        flat = pixels.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):  # as in training
            pooled = nima.backbone(flat).float()
        per_photo = pooled.unflatten(0, views.shape[:2]).mean(1)
        found.setdefault(name, []).append(per_photo.numpy())

    policies = {text: ViewPolicy.parse(text) for text in (*WHOLE, *CROPS)}
    for start in range(0, len(table), BATCH):
        photos = [read_photo(path) for path in table.paths[start : start + BATCH]]
        for text, policy in policies.items():
            views = np.stack([policy.views(photo) for photo in photos])
            keep(text, views)
            if f"{text}/m" in MIRRORED:
                keep(f"{text}/m", views[:, :, :, ::-1])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _judged(nima: NIMA, whole: Floats, crop: Floats, table: RatingTable) -> dict[str, Any]:
    weight, bias = (tensor.detach().double().numpy() for tensor in nima.head.parameters())
    grades = np.arange(len(bias))
    scores = softmax(np.concatenate([whole, crop], axis=1) @ weight.T + bias, axis=1) @ grades
    subsets = np.asarray(table.subsets)
    within = {
        str(name): round(srcc(scores[subsets == name], table.mos[subsets == name]), 4)
        for name in np.unique(subsets)
    }
    pairs = same_scene_pairs(table.mos, table.scenes)
    return {
        "srcc": round(srcc(scores, table.mos), 4),
        **within,
        "pair_accuracy": round(pair_accuracy(scores, pairs), 4),
    }


def _cost(*texts: str) -> float:
    """Pixels that the network is shown, 1 for two views of 224 x 224."""
    views = [ViewPolicy.parse(text) for text in texts]
    shown = sum(view.view_size[0] ** 2 * sum(view.group_sizes) for view in views if view.view_size)
    return round(shown / (2 * 224**2), 2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--model", default="quality")
    parser.add_argument(
        "--features", type=Path, default=Path("runs/quality/other-views.npz"), help="kept here"
    )
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
