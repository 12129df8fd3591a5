"""Learn the fine order from pairs, measure it on others, write it into the detail network's file.

    python benchmarks/quality/detail_ladders.py LEARN_FROM --out runs/detail/learn.csv
    python benchmarks/quality/detail_ladders.py JUDGE_ON --out runs/detail/judge.csv
    python recipes/detail/order.py --learn runs/detail/learn.csv --judge runs/detail/judge.csv \
        --data BIQ2021 --network runs/detail/detail.onnx --out runs/detail/result.json

Learnt by maximum likelihood (Thurstone's case V) from pairs of one scene: rungs of ladders, of
which the less degraded is better; a frame and the same frame cropped and saved anew, which are
equal; and pairs of BIQ2021's validation split, with the probability that their ratings give.
Measured on ladders of other photos and on the test split.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from siamese_nima import Scorer
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.sources import RatedSource, read_source
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.detail import read_detail
from siamese_nima.scoring.fine_order import METADATA_KEY, FineOrder, terms
from siamese_nima.scoring.model import read_card

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from machine import provenance, report  # noqa: E402 - beside this folder, not a package

# Standard error of a mean opinion score of BIQ2021, 0 to 1, of 30 raters.
MOS_ERROR = 0.03
LADDERS = ("blur", "motion", "noise", "jpeg")
LADDER_WEIGHT = 1.25  # of all pairs of one kind of ladder, beside 1 for those of another kind
NAMES = ("score", "blur", "noise", "compression")
Floats = NDArray[np.float64]
Row = dict[str, float]


def main() -> None:
    """Read the pairs, learn, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learn", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    learn, judge = read_rows(options.learn), read_rows(options.judge)
    splits = REPOSITORY / "recipes" / "quality" / "splits.csv"
    table = read_source(RatedSource(f"biq2021:{options.data}", splits=splits)).table
    rated = {
        split: scene_pairs(table.split(split), options.out.with_name(f"{split}-scenes.json"))
        for split in ("val", "test")
    }
    kinds = [
        *((ladder_pairs(learn, kind), 1.0, LADDER_WEIGHT) for kind in LADDERS),
        (equal_pairs(learn), 0.5, 1.0),
        (rated["val"][0], norm.cdf(rated["val"][1] / (MOS_ERROR * np.sqrt(2))), 1.0),
    ]
    weights = fit(kinds)
    order = FineOrder(
        model="quality",
        version=read_card(find_model("quality")).version,
        pairs=sum(len(pairs) for pairs, *_ in kinds),
        **{name: round(float(w), 4) for name, w in zip(NAMES, weights, strict=True)},
    )
    model = onnx.load(options.network)
    onnx.helper.set_model_props(model, {METADATA_KEY: order.to_json()})
    onnx.save(model, options.network)
    figures = {
        "learnt_from": ladder_figures(learn, weights),
        "judged_on": ladder_figures(judge, weights),
        "biq2021_test": rated_figures(*rated["test"], weights),
    }
    report(
        {
            **provenance(),
            "order": json.loads(order.to_json()),
            "figures": figures,
            "training": json.loads(options.network.with_suffix(".json").read_text()),
        },
        options.out,
    )


def read_rows(path: Path) -> dict[str, dict[tuple[str, float], Row]]:
    """Readings by photo, then by kind and level."""
    rows: dict[str, dict[tuple[str, float], Row]] = defaultdict(dict)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            numbers = {k: float(v) for k, v in row.items() if k not in {"photo", "kind"}}
            rows[row["photo"]][row["kind"], numbers["level"]] = numbers
    return rows


def difference(one: Row, other: Row) -> Floats:
    """By how much one photo of a scene is better, in score and in what is taken away, (4,)."""
    readings = [
        (None if np.isnan(row["blur"]) else row["blur"], row["noise"], row["compression"])
        for row in (one, other)
    ]
    taken, taken_of_other = np.array(terms(readings))
    return np.array([one["score"] - other["score"], *(taken_of_other - taken)])


def ladders(
    photo: dict[tuple[str, float], Row],
) -> dict[str, list[tuple[float, Row]]]:
    """The rungs of each ladder of a photo, the sound photo first."""
    found: dict[str, list[tuple[float, Row]]] = {}
    for kind in LADDERS:
        rungs = [(level, row) for (k, level), row in photo.items() if k == kind]
        rungs.sort(key=lambda rung: rung[0], reverse=kind == "jpeg")
        if kind != "blur":
            rungs.insert(0, (0.0, photo["blur", 0.0]))
        found[kind] = rungs
    return found


def ladder_pairs(rows: dict[str, Any], kind: str) -> Floats:
    """Differences (better less worse) of all two rungs of the ladders of a kind, (N, 4)."""
    return np.array(
        [
            difference(better, worse)
            for photo in rows.values()
            for (_, better), (_, worse) in itertools.combinations(ladders(photo)[kind], 2)
        ]
    )


def equal_pairs(rows: dict[str, Any]) -> Floats:
    """Differences of a frame and the same frame cropped and saved anew."""
    return np.array(
        [
            difference(a, b)
            for photo in rows.values()
            for a, b in itertools.combinations(
                [row for (kind, _), row in photo.items() if kind == "anew"], 2
            )
        ]
    )


def scene_pairs(table: RatingTable, kept: Path) -> tuple[Floats, Floats]:
    """Differences of features and of ratings of all pairs of one scene."""
    scenes: dict[str, list[int]] = defaultdict(list)
    for row, scene in enumerate(table.scenes):
        scenes[scene].append(row)
    groups = [rows for rows in scenes.values() if len(rows) > 1]
    if not kept.exists():
        wanted = [row for rows in groups for row in rows]
        paths = [table.paths[row] for row in wanted]
        values = {}
        for row, result in zip(
            wanted, Scorer(eight_bits=False).score(map(str, paths)), strict=True
        ):
            detail = read_detail(result.path)
            blur = float("nan") if detail.blur is None else detail.blur
            values[str(row)] = {
                "score": result.score,
                "blur": blur,
                "noise": detail.noise,
                "compression": detail.compression,
            }
        kept.write_text(json.dumps(values))
    readings = json.loads(kept.read_text())
    pairs, gaps = [], []
    for rows in groups:
        for a, b in itertools.combinations(rows, 2):
            pairs.append(difference(readings[str(a)], readings[str(b)]))
            gaps.append(table.mos[a] - table.mos[b])
    return np.array(pairs), np.array(gaps)


def fit(kinds: list[tuple[Floats, Any, float]]) -> Floats:
    """Weights of the features by maximum likelihood, none below 0.

    Args:
        kinds: For each kind of pairs their differences (N, 4), the probability that the first is
            better, and how much the mean of the kind counts.
    """

    def loss(weights: Floats) -> float:
        total = 0.0
        for differences, chance, counts in kinds:
            z = differences @ weights
            likelihood = chance * norm.logcdf(z) + (1 - chance) * norm.logcdf(-z)
            total -= counts * float(np.mean(likelihood))
        return total

    start = np.array([0.8, 3.0, 0.5, 2.0])
    found = minimize(loss, start, bounds=[(0, None)] * len(start))
    return np.asarray(found.x, np.float64)


def ladder_figures(rows: dict[str, Any], weights: Floats) -> dict[str, Any]:
    """Shares of steps in order, of clear pairs that are called, of equal ones that are not."""
    steps: dict[str, list[bool]] = defaultdict(list)
    others: dict[str, list[bool]] = defaultdict(list)
    called = []
    for photo in rows.values():
        for kind, rungs in ladders(photo).items():
            for (_, better), (_, worse) in itertools.pairwise(rungs):
                steps[kind].append(bool(difference(better, worse) @ weights > 0))
        blurs = [(level, row) for (kind, level), row in photo.items() if kind == "blur"]
        for (low, better), (high, worse) in itertools.combinations(
            sorted(blurs, key=lambda x: x[0]), 2
        ):
            if high - low >= 1:
                called.append(bool(norm.cdf(difference(better, worse) @ weights) >= 0.8))
        for name in ("laplacian", "tenengrad", "cleanvision", "score"):
            values = [row[name] for (kind, _), row in sorted(photo.items()) if kind == "blur"]
            others[name] += [a > b for a, b in itertools.pairwise(values)]
        blur = [row["blur"] for (kind, _), row in sorted(photo.items()) if kind == "blur"]
        others["detail alone"] += [a < b for a, b in itertools.pairwise(blur)]
    equal = np.abs(equal_pairs(rows) @ weights)
    return {
        "photos": len(rows),
        "steps_in_order": {kind: round(float(np.mean(v)), 4) for kind, v in steps.items()},
        "blur_steps_by_others": {name: round(float(np.mean(v)), 4) for name, v in others.items()},
        "blur_1px_called": round(float(np.mean(called)), 4),
        "equal_too_close": round(float(np.mean(norm.cdf(equal) < 0.8)), 4),
        "blur_read": blur_figures(rows),
    }


def blur_figures(rows: dict[str, Any]) -> dict[str, Any]:
    """Blur read over blur made, each photo's own included: median, least and most over photos."""
    found = {}
    for level in (1.0, 2.0, 3.0, 4.0):
        ratios = [
            photo["blur", level]["blur"] / np.hypot(photo["blur", 0.0]["blur"], level)
            for photo in rows.values()
        ]
        summary = (np.median(ratios), np.min(ratios), np.max(ratios))
        found[f"{level:g}"] = [round(float(value), 3) for value in summary]
    return found


def rated_figures(pairs: Floats, gaps: Floats, weights: Floats) -> dict[str, Any]:
    """Agreement with people's order on same-scene pairs, and chances beside outcomes."""
    z = pairs @ weights * np.sign(gaps)
    clear = np.abs(gaps) > 0.1
    score = pairs[:, 0] * np.sign(gaps)
    chance = norm.cdf(np.abs(pairs @ weights))
    bins = []
    for low, high in itertools.pairwise((0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0001)):
        inside = (chance >= low) & (chance < high) & (gaps != 0)
        if inside.any():
            bins.append(
                {
                    "chance": round(float(chance[inside].mean()), 3),
                    "right": round(float((z[inside] > 0).mean()), 3),
                    "pairs": int(inside.sum()),
                }
            )
    return {
        "clear_pairs": int(clear.sum()),
        "accuracy": round(float((z[clear] > 0).mean()), 4),
        "accuracy_by_score_alone": round(float((score[clear] > 0).mean()), 4),
        "calibration": bins,
    }


if __name__ == "__main__":
    main()
