"""What could be learnt from a larger own model? Networks of other runs, averaged.

    python benchmarks/quality/averaged_networks.py --data BIQ2021 --runs runs/stages --out FILE.json

A network that is distilled from others follows their scores, at best exactly. The largest own model
is the mean of all that were trained; this measures it from the distributions that
`siamese_stage.py` (and, for `blocks.0`, the recipe with `last_stage.toml`) left under --runs.
Nothing is trained.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import measure_by_subset
from siamese_nima.ratings import RatingScale, mean

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
SCALE = RatingScale(1, 10)
ARM = "preference+emd, doubt, ladders"
VERSION_2 = f"blocks.2/seed0/{ARM}"
VERSION_2_LAST = f"blocks.0/seed0/{ARM}"
LAST_BLOCK = tuple(f"blocks.4.0/seed{seed}/{ARM}" for seed in range(3))
MODELS = {
    "version 2 of `quality`": (VERSION_2,),
    "the same after the last stage": (VERSION_2_LAST,),
    "mean of these two": (VERSION_2, VERSION_2_LAST),
    "mean of these and three with the last block free": (VERSION_2, VERSION_2_LAST, *LAST_BLOCK),
}


def main() -> None:
    """Measure each mean on val and test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--runs", type=Path, default=Path("runs/stages"))
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    table = read_biq2021(options.data, SPLITS)
    rows = []
    for name, members in MODELS.items():
        row: dict[str, Any] = {"name": name, "networks": len(members)}
        for split in ("val", "test"):
            scores = _mean_scores(options.runs, members, split)
            row[split] = figures_of(scores, table.split(split))
        rows.append(row)
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


def _mean_scores(runs: Path, members: tuple[str, ...], split: str) -> NDArray[np.float64]:
    found = [np.load(runs / run / "distributions.npz")[split] for run in members]
    scores: NDArray[np.float64] = np.mean([mean(rated, SCALE) for rated in found], axis=0)
    return scores


if __name__ == "__main__":
    main()
