"""What is left of a model's test figures when photos with a near-copy in train or val are left out.

    python recipes/quality/near_copies.py --data BIQ2021

`splits.csv` keeps most near-copies on one side, not all: an exact search finds some that were
missed when it was made. The model file is scored on the whole test split and on the test photos
that no chain of near-copies connects with train or val. Writes near_copies.json.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from siamese_nima import Scorer
from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.datasets.near_copies import measure_leaks, near_copies
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import measure_by_subset, srcc
from siamese_nima.photos.likeness import group_pairs
from siamese_nima.photos.signatures import read_signatures

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "src" / "siamese_nima" / "models" / "quality.onnx"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    options = parser.parse_args()
    table = read_biq2021(options.data, HERE / "splits.csv")
    pairs = near_copies(read_signatures(table.paths))
    groups = group_pairs(len(table), pairs)
    splits = np.asarray(table.splits)
    seen = np.unique(groups[splits != "test"])
    test = table.select(splits == "test")
    linked = np.isin(groups[splits == "test"], seen)

    scorer = Scorer(MODEL)
    scores = np.array([result.mean for result in scorer.score(test.paths)], dtype=np.float64)
    low, high = scorer.card.scale.low, scorer.card.scale.high
    scores = (scores - low) / (high - low)  # onto the labels' 0..1
    figures = {
        name: measure_by_subset(
            scores[rows],
            test.mos[rows],
            [test.scenes[i] for i in np.flatnonzero(rows)],
            [test.subsets[i] for i in np.flatnonzero(rows)],
        )
        for name, rows in (("whole", np.ones(len(test), dtype=bool)), ("unlinked", ~linked))
    }
    result = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": "python recipes/quality/near_copies.py --data BIQ2021",
        "model": scorer.model.model_id,
        "near_copies": len(pairs),
        "leaks": [str(leak) for leak in measure_leaks(pairs, table.splits, table.subsets)],
        "subset_alone_test_srcc": round(subset_alone(table), 3),
        "linked_test_photos": int(linked.sum()),
        "test": {
            name: {subset: agreement.to_json() for subset, agreement in parts.items()}
            for name, parts in figures.items()
        },
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    (HERE / "near_copies.json").write_text(text)


def subset_alone(table: RatingTable) -> float:
    """SRCC on test of a score that knows the subset alone: the mean of its train photos."""
    train, test = table.split("train"), table.split("test")
    names = np.asarray(train.subsets)
    means = {name: float(train.mos[names == name].mean()) for name in set(train.subsets)}
    return srcc([means[name] for name in test.subsets], test.mos)


if __name__ == "__main__":
    main()
