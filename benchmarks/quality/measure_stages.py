"""Figures of the runs that `siamese_stage.py` left, with what each differs from its control by.

    python benchmarks/quality/measure_stages.py --data BIQ2021 --runs runs/stages \
        --out benchmarks/quality/siamese_stage.json

Figures are means over the seeds; intervals (95 %) draw the test scenes again, the same draws for
every run, so that differences are paired. Scores are brought to the labels' range 0..1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from siamese_stage import ARMS, CLEAN_PHOTOS, DROPOUT, NIMA_STAGE, SPLITS

from machine import provenance
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import PAIR_GAP, plcc, rmse, same_scene_pairs, srcc
from siamese_nima.evaluation.pairs import right_order, sample_pairs
from siamese_nima.ratings import RatingScale, emd, mean
from siamese_nima.training.ladders import DISTORTIONS, LEVELS

SCALE = RatingScale(1, 10)
REPEATS = 200
PAIRS = 40_000
GAPS = (0.0, 0.05, 0.1, 0.2, 0.3, 1.0)  # of the labels' range

Floats = NDArray[np.float64]
Figures = dict[str, float]


class TestFigures:
    """All figures of one run on the test photos, with photos counted as often as drawn.

    Args:
        table: The test photos.
    """

    __test__ = False

    def __init__(self, table: RatingTable) -> None:
        self.labels = table.mos
        self.truth = table.distributions(SCALE)
        self.subsets = np.asarray(table.subsets)
        self.scenes = np.unique(np.asarray(table.scenes), return_inverse=True)[1]
        self.in_scene = same_scene_pairs(self.labels, table.scenes)
        pairs = sample_pairs(len(table), PAIRS)
        gaps = np.abs(self.labels[pairs[:, 0]] - self.labels[pairs[:, 1]])
        self.pairs, gaps = pairs[gaps > 0], gaps[gaps > 0]
        self.gap_class = np.searchsorted(GAPS[1:-1], gaps, side="left")
        self.members = {str(name): self.subsets == name for name in np.unique(self.subsets)}

    def draws(self, repeats: int) -> list[NDArray[np.intp]]:
        """How often each scene counts: once in the first, drawn at random in the others."""
        generator, count = np.random.default_rng(0), int(self.scenes.max()) + 1
        drawn = [
            np.bincount(generator.integers(0, count, count), minlength=count)
            for _ in range(repeats)
        ]
        return [np.ones(count, dtype=np.intp), *drawn]

    def all(self, distributions: Floats, draws: list[NDArray[np.intp]]) -> list[Figures]:
        """The figures for each draw."""
        scores = (mean(distributions, SCALE) - SCALE.low) / (SCALE.high - SCALE.low)
        distances = emd(distributions, self.truth)
        # A tie of scores counts one half.
        lead = scores[self.in_scene[:, 0]] - scores[self.in_scene[:, 1]]
        scene_right = (lead > 0) + 0.5 * (lead == 0)
        right = right_order(scores, self.labels, self.pairs)
        return [self._one(scores, distances, scene_right, right, drawn) for drawn in draws]

    def _one(
        self,
        scores: Floats,
        distances: Floats,
        scene_right: Floats,
        right: Floats,
        drawn: NDArray[np.intp],
    ) -> Figures:
        times = drawn[self.scenes]
        rows = np.repeat(np.arange(len(scores)), times)
        s, y = scores[rows], self.labels[rows]
        within = {
            f"srcc_{name}": srcc(s[member[rows]], y[member[rows]])
            for name, member in self.members.items()
        }
        first, second = self.pairs.T
        weights = (times[first] * times[second]).astype(np.float64)
        classes = len(GAPS) - 1
        drawn_pairs = np.bincount(self.gap_class, weights, classes)
        drawn_right = np.bincount(self.gap_class, weights * right, classes)
        return {
            "srcc": srcc(s, y),
            **within,
            "srcc_within": float(np.mean(list(within.values()))),
            "plcc": plcc(s, y),
            "rmse": rmse(s, y),
            "emd": float(distances[rows].mean()),
            "spread_ratio": float(s.std() / y.std()),
            "same_scene_pairs": _share(scene_right, times[self.in_scene[:, 0]]),
            "pairs": float(drawn_right.sum() / drawn_pairs.sum()),
            **{
                f"pairs_{low:g}_{high:g}": float(drawn_right[place] / drawn_pairs[place])
                for place, (low, high) in enumerate(pairwise(GAPS))
            },
        }


def ladder_figures(distributions: Floats, photos: NDArray[np.intp]) -> Figures:
    """Shares per distortion and over all, of ladders of six rungs; one distortion after the other.

    Args:
        distributions: Shape (6 D P, K) for P photos and D distortions.
        photos: Which of the P photos count, with repetitions.
    """
    rungs = LEVELS + 1
    scores = mean(distributions, SCALE).reshape(-1, len(DISTORTIONS), rungs)[photos]
    steps = np.diff(scores, axis=-1) < 0
    figures = {f"steps_{name}": float(steps[:, i].mean()) for i, name in enumerate(DISTORTIONS)}
    first, second = np.triu_indices(rungs, 1)
    return figures | {
        "steps": float(steps.mean()),
        "pairs": float((scores[..., first] > scores[..., second]).mean()),
        "whole_ladders": float(steps.all(-1).mean()),
    }


def main() -> None:
    """Measure all runs and write them down."""
    options = _options()
    table = read_biq2021(options.data, options.splits)
    test = table.split("test")
    measure = TestFigures(test)
    draws = measure.draws(REPEATS)
    depths: dict[str, Any] = {}
    for depth in sorted(path.name for path in options.runs.iterdir()):
        runs = sorted((options.runs / depth).glob("seed*/*/distributions.npz"))
        photos: dict[str, dict[str, list[Figures]]] = {}
        ladders: dict[str, dict[str, list[Figures]]] = {}
        for path in runs:
            seed, arm = path.parts[-3], path.parts[-2]
            photos.setdefault(arm, {})[seed], ladders.setdefault(arm, {})[seed] = _measured(
                path, measure, draws
            )
            print(depth, seed, arm, round(photos[arm][seed][0]["srcc"], 4), file=sys.stderr)
        depths[depth] = {
            arm: {
                "seeds": [int(seed.removeprefix("seed")) for seed in photos[arm]],
                "test": _summary(photos[arm]),
                "ladders": _summary(ladders[arm]),
                **(
                    {
                        "minus_control": _summary(photos[arm], photos["control"]),
                        "ladders_minus_control": _summary(ladders[arm], ladders["control"]),
                    }
                    if arm != "control" and "control" in photos
                    else {}
                ),
            }
            for arm in photos
        }
    result = provenance() | {
        "settings": {
            "nima": NIMA_STAGE,
            "second": ARMS,
            "dropout": DROPOUT,
            "clean_photos": CLEAN_PHOTOS,
        },
        "photos": {name: len(table.split(name)) for name in ("train", "val", "test")},
        "same_scene_pairs": len(measure.in_scene),
        "pair_gap": PAIR_GAP,
        "subset_alone_srcc": round(_subset_alone(table), 4),
        "depths": depths,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


def _measured(
    path: Path, measure: TestFigures, draws: list[NDArray[np.intp]]
) -> tuple[list[Figures], list[Figures]]:
    """Figures of a run on the test photos and their ladders; kept beside it, they take a while."""
    kept = path.with_name(f"figures-{REPEATS}.json")
    if not kept.exists():
        found = {name: part.astype(np.float64) for name, part in np.load(path).items()}
        both = [measure.all(found["test"], draws), _ladder_draws(found["test_ladders"])]
        kept.write_text(json.dumps(both))
    photos, ladders = json.loads(kept.read_text())
    return photos, ladders


def _ladder_draws(distributions: NDArray[np.float64]) -> list[Figures]:
    count = len(distributions) // (len(DISTORTIONS) * (LEVELS + 1))
    generator = np.random.default_rng(0)
    draws = [generator.integers(0, count, count) for _ in range(REPEATS)]
    return [ladder_figures(distributions, photos) for photos in [np.arange(count), *draws]]


def _summary(
    runs: Mapping[str, list[Figures]], base: Mapping[str, list[Figures]] | None = None
) -> dict[str, Any]:
    """Mean over seeds with its interval, and each seed's own; less the base's, seed by seed."""
    seeds = [seed for seed in runs if base is None or seed in base]
    names = list(runs[seeds[0]][0])
    values = np.array(
        [
            [
                [figures[name] - (base[seed][draw][name] if base else 0.0) for name in names]
                for draw, figures in enumerate(runs[seed])
            ]
            for seed in seeds
        ]
    )
    over_seeds = values.mean(axis=0)
    low, high = np.nanquantile(over_seeds[1:], [0.025, 0.975], axis=0)
    return {
        name: {
            "value": round(float(over_seeds[0, i]), 4),
            "low": round(float(low[i]), 4),
            "high": round(float(high[i]), 4),
            "seeds": np.round(values[:, 0, i], 4).tolist(),
        }
        for i, name in enumerate(names)
    }


def _share(right: Floats, weights: NDArray[Any]) -> float:
    total = float(weights.sum())
    return float(right @ weights) / total if total else float("nan")


def _subset_alone(table: RatingTable) -> float:
    """SRCC on test of a score that knows the subset alone: the mean of its train photos."""
    train, test = table.split("train"), table.split("test")
    names = np.asarray(train.subsets)
    means = {name: float(train.mos[names == name].mean()) for name in set(train.subsets)}
    return srcc([means[name] for name in test.subsets], test.mos)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--splits", type=Path, default=SPLITS)
    parser.add_argument("--runs", type=Path, default=Path("runs/stages"))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
