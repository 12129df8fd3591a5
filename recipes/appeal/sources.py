"""Leave one source out: what each way to train is worth on photos from elsewhere.

    python recipes/appeal/sources.py --data sophoappeal --helpers BIQ2021 --imagenet FILE.tflite \
        --lite FILE.pth

Writes benchmarks/quality/appeal_sources.json; with --one, appeal_one_backbone.json. What is chosen
for a source is chosen without it: by leaving out one after the other of the four that are left.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import Floats, ImageNet, Rated, read_helpers, read_rated
from heads import (
    Choice,
    Coordinates,
    Directions,
    Head,
    Labels,
    PairTraining,
    go_on_with_pairs,
    ridge_scores,
    train_emd,
)

from siamese_nima.evaluation.metrics import bootstrap_by_scene, srcc
from siamese_nima.training.config import StageConfig

ROOT = Path(__file__).parents[2]
OUT = ROOT / "benchmarks" / "quality" / "appeal_sources.json"
OUT_ONE = OUT.with_name("appeal_one_backbone.json")
IMAGENET = "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"

# What may be chosen. Penalties of the two losses are not comparable.
ONE: tuple[tuple[str, ...], ...] = ((), ("blocks.3.4",), ("blocks.3.0", "blocks.3.4"))
TWO = tuple((*levels, "lite2.blocks.4.3", "lite2.blocks.5.4") for levels in ONE[1:])
LEVELS = (*ONE, *TWO)
PRIORS = (0.0, 0.3, 1.0, 3.0, 10.0)
RIDGE_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
EMD_PENALTIES = (0.03, 0.1, 0.3, 1.0)
DOUBT = 0.4  # rating points, a tenth of the scale's width
SEEDS = (0, 1, 2)
# The published figures of idealo's aesthetic NIMA on the same photos in full size.
IDEALO = {"500px": 0.575, "aadb": 0.563, "koniq10k": 0.437, "own": 0.480, "pixabay": 0.450}
NAMES = {"500px_cc0": "500px", "pixabay_first50k": "pixabay"}

EMD_WEIGHT = 30.0


def _arm(**entries: Any) -> StageConfig:
    return StageConfig(kind="siamese", **entries)


ARMS = {
    "EMD continued (control)": _arm(weight=0.0, emd_weight=1.0),
    "contrastive": _arm(objective="contrastive", emd_weight=0.0),
    "contrastive + EMD": _arm(objective="contrastive", emd_weight=EMD_WEIGHT),
    "margin": _arm(objective="margin", emd_weight=0.0),
    "margin + EMD": _arm(objective="margin", emd_weight=EMD_WEIGHT),
    "preference": _arm(emd_weight=0.0, doubt=0.0),
    "preference + EMD": _arm(emd_weight=EMD_WEIGHT, doubt=0.0),
    "preference with doubt + EMD": _arm(emd_weight=EMD_WEIGHT, doubt=DOUBT),
}


class Study:
    """The photos of the study, and what photos of BIQ2021 teach.

    Args:
        rated: The photos of the study.
        helpers: Those of BIQ2021.
    """

    def __init__(self, rated: Rated, helpers: Rated) -> None:
        self.rated = rated
        self.helpers = helpers
        self.means: Floats = np.array(rated.table.mos)
        self.sources = sorted(set(rated.table.subsets))
        self.directions = {levels: Directions(helpers, levels) for levels in LEVELS}

    def rows(self, sources: Sequence[str]) -> Any:
        """The photos of some sources."""
        return np.flatnonzero(np.isin(self.rated.sources, list(sources)))

    def coordinates(self, rows: Any, levels: tuple[str, ...], prior: float) -> Coordinates:
        """Coordinates measured on some photos."""
        return Coordinates(self.rated, rows, levels, self.directions[levels], prior)

    def ridge(self, trained: Sequence[str], scored: str, levels: Any, prior: float) -> Floats:
        """Scores of one source, shape (penalties, N), by ridge regression on others."""
        rows = self.rows(trained)
        coordinates = self.coordinates(rows, levels, prior)
        return ridge_scores(
            coordinates.trained,
            self.means[rows],
            self.rated.sources[rows],
            coordinates.of(self.rated.plain, self.rows([scored])),
            list(RIDGE_PENALTIES),
        )


def ridge_figures(
    study: Study, sources: Sequence[str], among: Sequence[tuple[str, ...]] = LEVELS
) -> dict[Choice, float]:
    """Mean SRCC over these sources of each choice, each source by ridge regression on the rest."""
    figures: dict[Choice, float] = {}
    for levels, prior in product(among, PRIORS):
        found = []
        for held in sources:
            rest = [name for name in sources if name != held]
            labels = study.means[study.rows([held])]
            found.append([srcc(row, labels) for row in study.ridge(rest, held, levels, prior)])
        for penalty, figure in zip(RIDGE_PENALTIES, np.mean(found, axis=0), strict=True):
            figures[Choice(levels, prior, penalty)] = float(figure)
    return figures


def best(figures: dict[Choice, float], levels: Sequence[Any], priors: Sequence[float]) -> Choice:
    """The choice with the best figure among those with these levels and priors."""
    among = [c for c in figures if c.levels in levels and c.prior in priors]
    return max(among, key=lambda choice: figures[choice])


def choose_emd(study: Study, sources: Sequence[str], ridge: Choice) -> Choice:
    """Its levels and prior, with the penalty that suits the earth mover's distance."""
    figures = dict.fromkeys(EMD_PENALTIES, 0.0)
    for held in sources:
        trained = study.rows([name for name in sources if name != held])
        coordinates = study.coordinates(trained, ridge.levels, ridge.prior)
        labels, rows = Labels.of(study.rated, trained), study.rows([held])
        new = coordinates.of(study.rated.plain, rows)
        for penalty in EMD_PENALTIES:
            scores = train_emd(coordinates.trained, labels, penalty).scores(new)
            figures[penalty] += srcc(scores, study.means[rows])
    return Choice(ridge.levels, ridge.prior, max(figures, key=lambda p: figures[p]))


BOTH = "the same, or with EfficientNet-Lite2 beside MobileNet"
RIDGES: dict[str, tuple[Sequence[Any], Sequence[float]]] = {
    "ridge on pooled features": (ONE[:1], PRIORS[:1]),
    "ridge on features of several depths": (ONE, PRIORS[:1]),
    "the same, and what BIQ2021 teaches": (ONE, PRIORS),
    BOTH: (LEVELS, PRIORS),
}


def main() -> None:
    """Train all ways for all sources and write the figures."""
    options = _options()
    study = read_study(options)
    ridges = {name: among for name, among in RIDGES.items() if not options.one or name != BOTH}
    scores: dict[str, list[Floats]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for held in study.sources:
        others = [name for name in study.sources if name != held]
        trained, rows = study.rows(others), study.rows([held])
        figures = ridge_figures(study, others, ONE if options.one else LEVELS)
        for name, among in ridges.items():
            choice = best(figures, *among)
            scored = study.ridge(others, held, choice.levels, choice.prior)
            row = scored[RIDGE_PENALTIES.index(choice.penalty)]
            _put(scores, name, study, 0, rows, row)
            chosen.setdefault(name, {})[named(held)] = asdict(choice)
        choice = choose_emd(study, others, choice)
        chosen.setdefault("EMD", {})[named(held)] = asdict(choice)
        for name, seed, head, coordinates in trained_heads(study, trained, choice):
            new = coordinates.of(study.rated.plain, rows)
            _put(scores, name, study, seed, rows, head.scores(new))
        labels = study.means[rows]
        log(held, {name: round(srcc(kept[0][rows], labels), 3) for name, kept in scores.items()})
    result = {
        "rows": [_bars(), *(_row(name, study, kept) for name, kept in scores.items())],
        "chosen": chosen,
        "provenance": {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": f"python recipes/appeal/sources.py --data sophoappeal --helpers BIQ2021 "
            f"--imagenet {options.imagenet.name} --lite {options.lite.name}"
            + " --one"
            * options.one,
            "photos": len(study.rated.table),
            "machine": machine(),
        },
    }
    (OUT_ONE if options.one else OUT).write_text(json.dumps(result, indent=1) + "\n")
    if not options.one:
        kept = {name: np.stack(seeds) for name, seeds in scores.items()}
        np.savez(options.work / "scores.npz", **kept)


def trained_heads(
    study: Study, trained: Any, choice: Choice, arms: Sequence[str] = tuple(ARMS)
) -> Any:
    """The head by earth mover's distance, and what each objective makes of it by each seed."""
    coordinates = study.coordinates(trained, choice.levels, choice.prior)
    labels = Labels.of(study.rated, trained)
    first = train_emd(coordinates.trained, labels, choice.penalty)
    yield "EMD", 0, first, coordinates
    for arm, seed in product(arms, SEEDS):
        head = Head(*_sizes(first))
        head.load_state_dict(first.state_dict())
        go_on_with_pairs(
            head,
            coordinates.trained,
            labels,
            ARMS[arm],
            choice.penalty,
            seed,
            PairTraining(),
        )
        yield arm, seed, head, coordinates


def read_study(options: argparse.Namespace) -> Study:
    """Features, computed now or earlier."""
    imagenet = ImageNet(options.imagenet, options.lite)
    return Study(
        read_rated(options.data, imagenet, options.work),
        read_helpers(options.helpers, imagenet, options.work),
    )


def machine() -> dict[str, str]:
    """The processor, where the system tells its name, and what computed on it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0] if names else platform.processor(), "torch": torch.__version__}


def named(source: str) -> str:
    """A source's short name."""
    return NAMES.get(source, source)


def log(what: str, value: object) -> None:
    """One line with the time."""
    print(datetime.now().strftime("%H:%M:%S"), what, value, file=sys.stderr, flush=True)


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """What both scripts take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with votes.csv and tiles")
    parser.add_argument("--helpers", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--lite", type=Path, required=True, help="the .pth file")
    parser.add_argument("--work", type=Path, default=Path("runs/appeal"), help="features are kept")
    return parser


def _sizes(head: Head) -> tuple[int, int]:
    return head.weight.shape[1], head.offsets.shape[0]


def _put(
    scores: dict[str, list[Floats]], name: str, study: Study, seed: int, rows: Any, values: Floats
) -> None:
    kept = scores.setdefault(name, [])
    if len(kept) <= seed:
        kept.append(np.full(len(study.rated.table), np.nan))
    kept[seed][rows] = values


def _row(name: str, study: Study, seeds: Sequence[Floats]) -> dict[str, Any]:
    sources: dict[str, dict[str, float]] = {}
    for source in study.sources:
        rows = study.rows([source])
        labels = study.means[rows]

        def figure(index: Any, rows: Any = rows, labels: Floats = labels) -> float:
            return float(np.mean([srcc(s[rows][index], labels[index]) for s in seeds]))

        sources[named(source)] = _interval(figure, len(rows))
    return {
        "name": name,
        "seeds": len(seeds),
        "sources": sources,
        "mean": round(float(np.mean([part["srcc"] for part in sources.values()])), 4),
        "above_idealo": sum(part["srcc"] > IDEALO[name] for name, part in sources.items()),
    }


def _interval(figure: Callable[[Any], float], photos: int) -> dict[str, float]:
    interval = bootstrap_by_scene(figure, [str(i) for i in range(photos)], repeats=400)
    values = {"srcc": interval.value, "low": interval.low, "high": interval.high}
    return {key: round(value, 4) for key, value in values.items()}


def _bars() -> dict[str, Any]:
    return {
        "name": "idealo's aesthetic NIMA on the full-size photos (published)",
        "sources": {source: {"srcc": value} for source, value in IDEALO.items()},
        "mean": round(float(np.mean(list(IDEALO.values()))), 4),
    }


def _options() -> argparse.Namespace:
    parser = options_parser(__doc__)
    parser.add_argument("--one", action="store_true", help=f"MobileNet alone: {OUT_ONE.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    return options


if __name__ == "__main__":
    main()
