"""What every way to train the head is worth on photos and people it has not seen.

    python recipes/appeal/evaluate.py --oasis oasis --study sophoappeal --lite0 F.pth --lite2 F.pth

Writes benchmarks/quality/appeal.json. Three ways to hold photos out: OASIS by theme (five folds),
each source of the study, and each set by the other alone. What there is to choose is chosen inside
the photos that are trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import Floats, ImageNet, read_features
from heads import (
    Choice,
    Coordinates,
    Targets,
    choose,
    go_on_with_pairs,
    ridge_directions,
    train_emd,
)
from people import Rated, Rows, decided_pairs, read_people

from siamese_nima.evaluation.metrics import bootstrap_by_scene, srcc
from siamese_nima.training.config import StageConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from machine import provenance

ROOT = Path(__file__).parents[2]
OUT = ROOT / "benchmarks" / "quality" / "appeal.json"
FOLDS = 5
DRAWS, REPEATS = 40, 200
_OF_DRAWS: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "deviation": np.std,
    "lowest": np.min,
    "highest": np.max,
}
SEEDS = (0, 1, 2)
EMD_WEIGHT = 30.0  # beside 1 of an objective, which pulls some ten times harder


def _arm(**entries: Any) -> StageConfig:
    return StageConfig(kind="siamese", doubt=0.0, **entries)


ARMS = {
    "EMD continued (control)": StageConfig(kind="nima"),
    "contrastive": _arm(objective="contrastive", emd_weight=0.0, weight=1.0),
    "contrastive + EMD": _arm(objective="contrastive", emd_weight=EMD_WEIGHT, weight=1.0),
    "margin": _arm(objective="margin", emd_weight=0.0, weight=1.0),
    "margin + EMD": _arm(objective="margin", emd_weight=EMD_WEIGHT, weight=1.0),
    "preference": _arm(emd_weight=0.0, weight=1.0),
    "preference + EMD": _arm(emd_weight=EMD_WEIGHT, weight=1.0),
}
ARM = "preference + EMD"  # how the model is made; see README.md
CATEGORIES = ("Person", "Scene", "Animal", "Object")


def main() -> None:
    """Train all ways for all parts held out and write the figures."""
    options = options_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    rated = read_people(options.oasis, options.study)
    features = read_features(rated, ImageNet(options.lite0, options.lite2), options.work)
    pairs = decided_pairs(rated.ratings)
    coordinates = Coordinates(features)
    scores: dict[str, dict[str, Floats]] = {"themes": {}, "sources": {}, "sets": {}}
    chosen: dict[str, Any] = {}
    parts = list(_parts(rated))
    works = [(rated, coordinates, pairs, *part) for part in parts]
    for (kind, name, held), (choice, found) in zip(
        parts, _all_held_out(works, options.processes), strict=True
    ):
        chosen[f"{kind} {name}"] = asdict(choice)
        for (arm, seed), values in found.items():
            _put(scores[kind], arm, seed, len(rated.means), held, values)
    result = {
        "themes": [_theme_row(name, rated, kept, pairs) for name, kept in scores["themes"].items()],
        "sources": [_source_row(name, rated, kept) for name, kept in scores["sources"].items()],
        "sets": [_set_row(name, rated, kept) for name, kept in scores["sets"].items()],
        "chosen": chosen,
        "draws": [_draws(rated, coordinates, chosen, together=one) for one in (True, False)],
        "photos": len(rated.means),
        "provenance": provenance(),
    }
    options.evidence.write_text(json.dumps(result, indent=1) + "\n")
    np.savez(
        options.work / "scores.npz", themes=scores["themes"][ARM], sources=scores["sources"][ARM]
    )


Work = tuple[Rated, Coordinates, tuple[Floats, Floats], str, str, Rows]
Scores = dict[tuple[str, int], Floats]


def _all_held_out(works: list[Work], processes: int) -> Iterable[tuple[Choice, Scores]]:
    """One after the other, in this process where it is to be the only one."""
    if processes == 1:
        return (_held_out(*work) for work in works)
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        return list(pool.map(_held_out, *zip(*works, strict=True)))


def _held_out(
    rated: Rated,
    coordinates: Coordinates,
    pairs: tuple[Floats, Floats],
    kind: str,
    name: str,
    held: Rows,
) -> tuple[Choice, Scores]:
    """Scores of photos that are held out, by way to train and seed."""
    torch.set_num_threads(1)
    rows = np.setdiff1d(np.arange(len(rated.means)), held)
    if kind == "sets":
        rows = rows[rated.of_oasis[rows] != rated.of_oasis[held[0]]]
    choice = choose(coordinates, rated, rows, pairs)
    (direction,) = ridge_directions(coordinates, rated, rows, (choice.ridge,))
    found = {("ridge", 0): coordinates.plain[held] @ direction}
    targets = Targets.of(rated, rows, pairs)
    first = train_emd(coordinates.trained[rows], targets, direction, choice.emd)
    found["EMD", 0] = first.scores(coordinates.plain[held])
    for arm, objective in ARMS.items():
        if objective.weight and not rated.of_oasis[rows].any():
            continue  # the study has no single people
        for seed in SEEDS:
            head = go_on_with_pairs(
                first, coordinates.trained[rows], targets, objective, choice.emd, seed
            )
            found[arm, seed] = head.scores(coordinates.plain[held])
    labels = rated.means[held]
    figures = {key: round(srcc(values, labels), 3) for key, values in found.items() if not key[1]}
    print(datetime.now().strftime("%H:%M:%S"), kind, name, choice, figures, file=sys.stderr)
    return choice, found


def _parts(rated: Rated) -> Iterator[tuple[str, str, Rows]]:
    fold = rated.folds(FOLDS, seed=0)
    for number in range(FOLDS):
        yield "themes", str(number), np.flatnonzero(fold == number)
    for source in rated.sources:
        yield "sources", source, np.flatnonzero(rated.groups == source)
    yield "sets", "oasis", np.flatnonzero(rated.of_oasis)
    yield "sets", "study", np.flatnonzero(~rated.of_oasis)


def _put(
    scores: dict[str, Floats], name: str, seed: int, photos: int, held: Rows, found: Floats
) -> None:
    count = len(SEEDS) if name in ARMS else 1
    kept = scores.setdefault(name, np.full((count, photos), np.nan))
    kept[seed, held] = found


def _theme_row(
    name: str, rated: Rated, seeds: Floats, pairs: tuple[Floats, Floats]
) -> dict[str, Any]:
    """SRCC with the crowd's mean, by category too, and how often single people are guessed."""
    of_oasis = np.flatnonzero(rated.of_oasis)
    row = {"name": name, "seeds": len(seeds), "all": _srcc(rated, seeds, of_oasis)}
    for category in CATEGORIES:
        row[category] = _srcc(rated, seeds, np.flatnonzero(rated.categories == category))
    row["decisions"] = round(
        float(np.mean([decisions_met(found[of_oasis], pairs) for found in seeds])), 4
    )
    row["spread"] = round(
        float(np.mean(seeds[:, of_oasis].std(1)) / rated.means[of_oasis].std()), 3
    )
    return row


def decisions_met(scores: Floats, pairs: tuple[Floats, Floats]) -> float:
    """Share of single people's decisions in which the photo with the higher score was preferred."""
    shares, decided = pairs
    first, second = np.triu_indices(len(scores), 1)
    share, people = shares[first, second], decided[first, second]
    met = np.where(scores[first] > scores[second], share, 1 - share)
    return float((met * people).sum() / people.sum())


def _source_row(name: str, rated: Rated, seeds: Floats) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "seeds": len(seeds)}
    for source in rated.sources:
        row[source] = _srcc(rated, seeds, np.flatnonzero(rated.groups == source))
    row["mean"] = round(float(np.mean([row[source]["srcc"] for source in rated.sources])), 4)
    return row


def _set_row(name: str, rated: Rated, seeds: Floats) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "seeds": len(seeds)}
    if not np.isnan(seeds[0, 0]):
        row["oasis"] = _srcc(rated, seeds, np.flatnonzero(rated.of_oasis))
    for source in rated.sources:
        row[source] = _srcc(rated, seeds, np.flatnonzero(rated.groups == source))
    return row


def _draws(
    rated: Rated, coordinates: Coordinates, chosen: dict[str, Any], *, together: bool
) -> dict[str, Any]:
    """How much a figure hangs on which fifth of OASIS is held out, of themes or of photos."""
    way = most_chosen(chosen)
    names = rated.themes if together else np.arange(len(rated.means)).astype(np.str_)
    found = []
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).permutation(np.unique(names[rated.of_oasis]))
        held = np.flatnonzero(np.isin(names, drawn[: len(drawn) // FOLDS]) & rated.of_oasis)
        rows = np.setdiff1d(np.arange(len(rated.means)), held)
        (direction,) = ridge_directions(coordinates, rated, rows, (way.ridge,))
        found.append(srcc(coordinates.plain[held] @ direction, rated.means[held]))
    return {
        "held out": "themes" if together else "photos",
        "draws": DRAWS,
        **{name: round(float(f(found)), 4) for name, f in _OF_DRAWS.items()},
    }


def most_chosen(chosen: dict[str, dict[str, Any]]) -> Choice:
    """What was chosen most often inside the photos that were trained on for the figures."""
    ways = [Choice(**way) for name, way in chosen.items() if not name.startswith("sets")]
    return max(ways, key=ways.count)


def _srcc(rated: Rated, seeds: Floats, rows: Rows) -> dict[str, float]:
    labels = rated.means[rows]
    if np.isnan(seeds[:, rows]).any():
        return {}
    figure: Callable[[Any], float] = lambda index: float(  # noqa: E731
        np.mean([srcc(found[rows][index], labels[index]) for found in seeds])
    )
    interval = bootstrap_by_scene(figure, rated.themes[rows].tolist(), repeats=REPEATS)
    values = {"srcc": interval.value, "low": interval.low, "high": interval.high}
    return {key: round(value, 4) for key, value in values.items()}


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """What the scripts of this recipe take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--oasis", type=Path, required=True, help="folder of OASIS")
    parser.add_argument("--study", type=Path, required=True, help="folder of the appeal study")
    parser.add_argument("--lite0", type=Path, required=True, help="weights of EfficientNet-Lite0")
    parser.add_argument("--lite2", type=Path, required=True, help="weights of EfficientNet-Lite2")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/appeal"), help="features are kept")
    parser.add_argument("--evidence", type=Path, default=OUT, help="what evaluate.py finds")
    return parser


if __name__ == "__main__":
    main()
