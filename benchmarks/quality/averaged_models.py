"""What would a larger model of ours reach? Model files, each alone and their scores averaged.

    python benchmarks/quality/averaged_models.py --data BIQ2021 --models quality quality-2.onnx \\
        --out benchmarks/quality/averaged_models.json

A network that is distilled from them follows the mean, at best exactly. Version 2 of `quality` is
in the history of this repository: `git show a974c74:src/siamese_nima/models/quality.onnx`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_nima import Scorer
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import measure_by_subset
from siamese_nima.ratings import RatingScale

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
SCALE = RatingScale(1, 10)


def main() -> None:
    """Score val and test photos by every file, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--models", nargs="+", required=True, help="names or model files")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    table = read_biq2021(options.data, SPLITS)
    scorers = [Scorer(model) for model in options.models]
    names = [f"{scorer.model.card.name} {scorer.model.card.version}" for scorer in scorers]
    parts = {split: table.split(split) for split in ("val", "test")}
    found = {split: [_scores(scorer, part) for scorer in scorers] for split, part in parts.items()}
    rows = [
        {"name": f"`{name}`", "networks": 1}
        | {split: figures_of(found[split][place], part) for split, part in parts.items()}
        for place, name in enumerate(names)
    ]
    rows.append(
        {"name": "mean of these", "networks": len(names)}
        | {split: figures_of(np.mean(found[split], axis=0), part) for split, part in parts.items()}
    )
    report(provenance() | {"rows": rows}, options.out)


def figures_of(scores: NDArray[np.float64], table: RatingTable) -> dict[str, dict[str, Any]]:
    """SRCC and share of same-scene pairs in order, over all photos and in each subset."""
    placed = (scores - SCALE.low) / (SCALE.high - SCALE.low)
    agreement = measure_by_subset(placed, table.mos, table.scenes, table.subsets)
    figures = {name: part.to_json() for name, part in agreement.items()}
    return {
        name: {key: part[key] for key in ("srcc", "pair_accuracy")}
        for name, part in figures.items()
    }


def _scores(scorer: Scorer, table: RatingTable) -> NDArray[np.float64]:
    found = list(scorer.score(table.paths))
    if errors := [result.error for result in found if result.error]:
        sys.exit(errors[0])
    return np.array([result.mean for result in found])


if __name__ == "__main__":
    main()
