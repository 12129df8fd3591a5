"""How sure the order of two photos of one scene is, and of any two photos of one kind.

    python benchmarks/quality/scene_pairs.py --data BIQ2021 --scores scores.json \\
        --out benchmarks/quality/scene_pairs.json --plot docs/images/scene-pairs.svg

Both are measured on the test split of BIQ2021, which neither trained the model nor chose an epoch.
The set has photos twice, encoded anew: their labels differ by the raters' noise alone, from which
the error of photos of one scene is told apart. The val split and the halves of the test split check
it. `--write` puts both errors into the card of a model file, whose network stays as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnx
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer
from siamese_nima.atomic_write import write_whole
from siamese_nima.card import METADATA_KEY, PAIR_ERROR, SCENE_PAIR_ERROR, ModelCard
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.pairs import measure_pair_error, measure_scene_pair_error
from siamese_nima.evaluation.plots import COLOURS, GREY, STYLE
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.catalogue import find_model

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
Floats = NDArray[np.float64]
COPY_RMS = 5  # grey levels of 0..255 at 128 pixels; a photo encoded anew differs by less
CLASSES = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 9)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of photos of one scene: gaps of scores and labels, scenes, and which are copies."""

    gaps: Floats
    labels: Floats
    scenes: NDArray[np.str_]
    copies: NDArray[np.bool_]

    def select(self, mask: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.gaps[mask], self.labels[mask], self.scenes[mask], self.copies[mask])


def read_scores(model: Path, table: RatingTable, kept: Path) -> dict[str, float]:
    """The score of each photo by its name, kept in a file for the next time."""
    if not kept.is_file():
        found = list(Scorer(model).score(table.paths))
        if errors := [result.error for result in found if result.error]:
            sys.exit(errors[0])
        kept.write_text(json.dumps({Path(r.path).name: r.mean for r in found}))
    scores: dict[str, float] = json.loads(kept.read_text())
    return scores


def scene_pairs(table: RatingTable, scores: Floats, scale: RatingScale) -> Pairs:
    """All pairs of photos of one scene."""
    members: dict[str, list[int]] = {}
    for row, scene in enumerate(table.scenes):
        members.setdefault(scene, []).append(row)
    rows = np.array([pair for group in members.values() for pair in combinations(group, 2)])
    labels = table.means(scale)
    small = {row: _small(table.paths[row]) for row in np.unique(rows)}
    distances = [np.sqrt(np.mean((small[a] - small[b]) ** 2)) for a, b in rows]
    return Pairs(
        gaps=scores[rows[:, 0]] - scores[rows[:, 1]],
        labels=labels[rows[:, 0]] - labels[rows[:, 1]],
        scenes=np.array([table.scenes[row] for row in rows[:, 0]]),
        copies=np.array(distances) < COPY_RMS,
    )


def raters_noise(pairs: Pairs) -> float:
    """Standard deviation of the label gap of copies, by the median: a wrong label must not tell."""
    return float(1.4826 * np.median(np.abs(pairs.labels[pairs.copies])))


def measured(pairs: Pairs, noise: float, scale: RatingScale, repeats: int) -> PairError:
    """The error of the pairs that are no copies."""
    real = pairs.select(~pairs.copies)
    return measure_scene_pair_error(
        real.gaps, real.labels, real.scenes.tolist(), noise=noise, scale=scale, repeats=repeats
    )


def calibration(pairs: Pairs, error: PairError, noise: float) -> list[dict[str, float]]:
    """Per class of gaps, the share of labels in the predicted order, and what was predicted.

    Labels, not preferences, can be counted, so the raters' noise is added to the prediction.
    """
    real = pairs.select(~pairs.copies)
    sizes, right = np.abs(real.gaps), right_order(real)
    predicted = np.array([_with_noise(error, gap, noise) for gap in sizes])
    rows = []
    for low, high in pairwise(CLASSES):
        inside = (sizes >= low) & (sizes < high)
        if inside.sum() < 5:
            continue
        scenes = real.scenes[inside]
        draws = _drawn(right[inside], scenes)
        rows.append(
            {
                "from": low,
                "to": high,
                "pairs": int(inside.sum()),
                "gap": round(float(sizes[inside].mean()), 3),
                "right": round(float(right[inside].mean()), 3),
                "low": round(float(np.quantile(draws, 0.025)), 3),
                "high": round(float(np.quantile(draws, 0.975)), 3),
                "predicted": round(float(predicted[inside].mean()), 3),
                "without_noise": round(float(error.accuracy_at(sizes[inside]).mean()), 3),
            }
        )
    return rows


def right_order(pairs: Pairs) -> Floats:
    """1 where labels agree with the scores' order, 0 where not, .5 for a tie."""
    agreed = pairs.gaps * pairs.labels
    return np.asarray((agreed > 0) + 0.5 * (agreed == 0))


def _with_noise(error: PairError, gap: float, noise: float) -> float:
    sure = float(np.clip(error.accuracy_at(gap), 0.5, 1 - 1e-9))
    if sure <= 0.5 or gap == 0:
        return 0.5
    spread = gap / norm.ppf(sure)  # of the preference, for a slope of 1
    return float(norm.cdf(gap / np.hypot(spread, noise)))


def _drawn(right: Floats, scenes: NDArray[np.str_], repeats: int = 1000) -> Floats:
    _, codes = np.unique(scenes, return_inverse=True)
    total, agreed = np.bincount(codes), np.bincount(codes, right)
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(total), (repeats, len(total)))
    return np.asarray(agreed[drawn].sum(axis=1) / total[drawn].sum(axis=1))


def _small(path: Path) -> NDArray[np.float32]:
    return np.asarray(Image.open(path).convert("RGB").resize((128, 128)), dtype=np.float32)


def plot(general: PairError, scene: PairError, checks: dict[str, Any], out: Path) -> None:
    """The two errors, and how often labels were in the predicted order."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for colour, name, error in (
            (COLOURS[0], "one scene", scene),
            (COLOURS[1], "one kind of photos", general),
        ):
            left.fill_between(
                error.gaps,
                100 * np.array(error.lower),
                100 * np.array(error.accuracy),
                color=colour,
                alpha=0.2,
                linewidth=0,
            )
            left.plot(error.gaps, 100 * np.array(error.accuracy), color=colour, label=name)
        left.axhline(80, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        left.set_xlim(0, 3)
        left.set_ylim(50, 100)
        left.set_xlabel("gap of the model's scores (points)")
        left.set_ylabel("pairs in people's order (%)")
        left.legend(loc="lower right")
        for colour, (name, rows) in zip(COLOURS[2:], checks.items(), strict=False):
            values = [100 * row["right"] for row in rows]
            reach = [
                [value - 100 * row["low"] for value, row in zip(values, rows, strict=True)],
                [100 * row["high"] - value for value, row in zip(values, rows, strict=True)],
            ]
            places = [100 * row["predicted"] for row in rows]
            right.errorbar(
                places,
                values,
                yerr=np.clip(reach, 0, None),
                fmt="o",
                color=colour,
                capsize=3,
                label=name,
            )
        right.plot((50, 100), (50, 100), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        right.set_xlabel("predicted (%)")
        right.set_ylabel("labels in that order (%)")
        right.legend(loc="lower right")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})


def write_card(model: Path, general: PairError, scene: PairError) -> None:
    """Put both errors into the card of a model file; nodes and weights stay as they are."""
    content = onnx.load(model)
    for entry in content.metadata_props:
        if entry.key == METADATA_KEY:
            card = ModelCard.from_json(entry.value)
            metrics = dict(card.metrics) | {
                PAIR_ERROR: general.to_json(),
                SCENE_PAIR_ERROR: scene.to_json(),
            }
            entry.value = dataclasses.replace(card, metrics=metrics).to_json()
    write_whole(model, content.SerializeToString())


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--splits", type=Path, default=SPLITS)
    parser.add_argument("--model", default="quality")
    parser.add_argument("--scores", type=Path, required=True, help="where scores are kept")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--write", action="store_true", help="update the card of the model file")
    options = parser.parse_args()
    about = provenance()  # before files are written
    path = find_model(options.model)
    scorer = Scorer(path)
    scale = scorer.card.scale
    data = read_biq2021(options.data, options.splits)
    data = data.select([split in ("val", "test") for split in data.splits])
    scores = read_scores(path, data, options.scores)
    parts = {name: data.split(name) for name in ("val", "test")}
    pairs = {}
    for name, part in parts.items():
        found = np.array([scores[photo.name] for photo in part.paths])
        pairs[name] = scene_pairs(part, found, scale)
    test = parts["test"]
    general = measure_pair_error(
        np.array([scores[photo.name] for photo in test.paths]),
        test.means(scale),
        test.scenes,
        groups=test.subsets,
        repeats=options.repeats,
    )
    noise = raters_noise(pairs["test"])
    scene = measured(pairs["test"], noise, scale, options.repeats)
    # Each half is predicted by the other: a pair does not help to predict itself.
    _, codes = np.unique(pairs["test"].scenes, return_inverse=True)
    half = np.random.default_rng(0).permutation(codes.max() + 1)[codes] % 2 == 0
    checks = {
        "val, by test": calibration(pairs["val"], scene, noise),
        "half of test, by the other": calibration(
            pairs["test"].select(half),
            measured(pairs["test"].select(~half), noise, scale, 2),
            noise,
        ),
        "the other, by the half": calibration(
            pairs["test"].select(~half),
            measured(pairs["test"].select(half), noise, scale, 2),
            noise,
        ),
    }
    copies = {
        name: {
            "pairs": int(own.copies.sum()),
            "label_gap_sd": round(raters_noise(own), 3),
            "score_gap_sd": round(float(np.sqrt(np.mean(own.gaps[own.copies] ** 2))), 3),
        }
        for name, own in pairs.items()
    }
    real = pairs["test"].select(~pairs["test"].copies)
    if options.plot:
        plot(general, scene, checks, options.plot)
    if options.write:
        write_card(path, general, scene)
    report(
        {
            "provenance": about,
            "model": f"{scorer.card.name}-{scorer.card.version}",
            "same_frame_encoded_anew": copies,
            "scene": {
                "pairs": len(real.gaps),
                "scenes": len(set(real.scenes.tolist())),
                "closest_call": _rounded(scene.closest_call()),
                "error": scene.to_json(),
            },
            "general": {
                "pairs": general.pairs,
                "closest_call": _rounded(general.closest_call()),
                "error": general.to_json(),
            },
            "calibration": checks,
        },
        options.out,
    )


def _rounded(gap: float | None) -> float | None:
    return None if gap is None else round(gap, 3)


if __name__ == "__main__":
    main()
