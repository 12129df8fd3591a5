"""What computing in 8 bits costs: scores of a model and of its 8-bit form on photos people rated.

    python benchmarks/quality/int8.py --data BIQ2021 --out benchmarks/quality/int8.json

Quantises with photos of the train split, judges by those of the test split.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import pair_accuracy, same_scene_pairs, srcc
from siamese_nima.networks.quantise import quantise_model
from siamese_nima.scoring.catalogue import find_model

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"


def scores(models: list[Path], table: RatingTable) -> list[NDArray[np.float64]]:
    """Mean scores by each model, whose files have different names; every photo must get one."""
    found = list(Scorer(models, exact=True).score(table.paths))
    if errors := [error for result in found for error in result.errors]:
        sys.exit(errors[0])
    of_models = zip(*((result, *result.others.values()) for result in found), strict=True)
    return [np.array([result.mean for result in of_one]) for of_one in of_models]


def agreement(found: NDArray[np.float64], table: RatingTable) -> dict[str, float]:
    """SRCC with people, over all photos and in each subset; and pairs of one scene in order."""
    labels, subsets = np.asarray(table.mos), np.asarray(table.subsets)
    parts = {"all": np.full(len(labels), True)}
    parts |= {str(name): subsets == name for name in np.unique(subsets)}
    agreed = {name: round(srcc(found[part], labels[part]), 4) for name, part in parts.items()}
    pairs = same_scene_pairs(labels, table.scenes)
    return agreed | {"same_scene_pairs": round(pair_accuracy(found, pairs), 4)}


def difference(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, float]:
    """How far scores move, in rating points."""
    moved = np.abs(after - before)
    return {
        "mean": round(float((after - before).mean()), 4),
        "mean_absolute": round(float(moved.mean()), 4),
        "99 of 100 below": round(float(np.quantile(moved, 0.99)), 4),
        "largest": round(float(moved.max()), 4),
    }


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--model", default="quality")
    parser.add_argument("--photos", type=int, default=200, help="to quantise with")
    parser.add_argument("--every", type=int, default=1, help="judge by every nth test photo")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="write the 8-bit model there")
    options = parser.parse_args()
    data = read_biq2021(options.data, SPLITS)
    train, test = data.split("train"), data.split("test")
    test = test.select(np.arange(0, len(test), options.every))
    places = np.linspace(0, len(train) - 1, options.photos).astype(int)
    source = find_model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        target = options.keep or Path(folder) / "int8.onnx"
        cost = quantise_model(source, [train.paths[place] for place in places], target)
        before, after = scores([source, target], test)
        sizes = {"fp32": source.stat().st_size, "int8": target.stat().st_size}
    result = {
        **provenance(),
        "model": Scorer(source).model.model_id,
        "photos": len(test),
        "quantised_with": options.photos - cost.photos,
        "file_mb": {name: round(size / 1e6, 1) for name, size in sizes.items()},
        "srcc": {"fp32": agreement(before, test), "int8": agreement(after, test)},
        "difference": difference(before, after),
        "rank_correlation_of_both": round(srcc(after, before), 4),
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
