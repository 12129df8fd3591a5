"""Record what the released file of `quality` reaches on test photos and on ladders of the best.

    python recipes/quality/judge.py --run runs/quality4/run --data BIQ2021 \
        --scores runs/quality4/scores.json --cache runs/quality4/cache

after `nima train recipes/quality/quality4.toml` and `scene_pairs.py --write`, which
leaves the scores. Beside the test split of the recipe stands what others publish: the official test
photos, as far as they are in ours. Of the others many have a near-copy among our training photos.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import measure_agreement, measure_by_subset
from siamese_nima.ratings import Floats, mean
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.ladders import DISTORTIONS, RUNGS, build_ladder_views

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from machine import provenance, report

HERE = Path(__file__).parent
LADDER_PHOTOS = 50  # those that people rated best, as for every version
BATCH = 16


def main() -> None:
    """Read the scores, rate the ladders, and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("run", "data", "scores", "cache"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--model", default="quality", help="name or file")
    parser.add_argument("--splits", type=Path, default=HERE / "splits.csv")
    parser.add_argument("--out", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    about = provenance()  # before files are written
    path = find_model(options.model)
    model = ModelFile(path, threads=usable_cores())
    card = model.card
    test = read_biq2021(options.data, options.splits).split("test")
    known = json.loads(options.scores.read_text())
    scores = np.array([known[photo.name] for photo in test.paths])
    placed = (scores - card.scale.low) / (card.scale.high - card.scale.low)
    agreement = measure_by_subset(placed, test.mos, test.scenes, test.subsets)
    best = np.sort(np.argsort(-test.mos, kind="stable")[:LADDER_PHOTOS])
    ladders = build_ladder_views(test.select(best), card.view, options.cache)
    rungs = ladders.pixels[0]
    rated = [model.rate(np.array(rungs[row : row + BATCH])) for row in range(0, len(rungs), BATCH)]
    report(
        about
        | {
            "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "history": {"levels": history(options.run / "log.csv")},
            "mixed": card.training["mixed"],
            "calibration": card.training["calibration"],
            "test": {name: figures.to_json() for name, figures in agreement.items()},
            "official_test": official(options.data, test, placed),
            "spread_ratio": round(float(placed.std() / test.mos.std()), 4),
            "ladders": ladder_figures(mean(np.concatenate(rated), card.scale)),
        },
        options.out,
    )


def ladder_figures(scores: Floats) -> dict[str, Any]:
    """Shares of steps and of pairs of rungs in order; `scores` has one per rung of each ladder.

    Each photo has a ladder of every distortion.
    """
    rungs = scores.reshape(-1, RUNGS)
    steps = np.diff(rungs, axis=1) < 0
    first, second = np.triu_indices(RUNGS, 1)
    kinds = np.array([*DISTORTIONS] * (len(rungs) // len(DISTORTIONS)))
    return {
        "photos": len(rungs) // len(DISTORTIONS),
        "steps": round(float(steps.mean()), 4),
        "pairs": round(float((rungs[:, first] > rungs[:, second]).mean()), 4),
        "steps_by_distortion": {
            name: round(float(steps[kinds == name].mean()), 4) for name in DISTORTIONS
        },
    }


def official(folder: Path, test: RatingTable, placed: Floats) -> dict[str, Any]:
    """Figures on those of the published test photos that are in our own test split."""
    published = {photo.name for photo in read_biq2021(folder).split("test").paths}
    rows = np.array([photo.name in published for photo in test.paths])
    scenes = [scene for scene, wanted in zip(test.scenes, rows, strict=True) if wanted]
    return dict(measure_agreement(placed[rows], test.mos[rows], scenes).to_json())


def history(log: Path) -> list[dict[str, float]]:
    """The figures of each epoch."""
    wanted = ("epoch", "val_srcc", "val_plcc", "val_emd", "train_emd")
    with log.open(newline="") as file:
        return [
            {name: round(float(row[name]), 4) for name in wanted} for row in csv.DictReader(file)
        ]


if __name__ == "__main__":
    main()
