"""What other features would be worth to `appeal`, on photos that the head has not seen.

    python recipes/appeal/try_features.py --oasis oasis --study sophoappeal \
        --lite0 F.pth --lite1 F.pth --lite2 F.pth --out benchmarks/quality/appeal_features.json

Ridge regression on both sets, as the head begins; another fifth of the themes of OASIS is held out
many times, each source of the study once. The penalty is chosen inside the photos trained on, by
themes held out. Every way is compared with the features of `appeal` 3, on the same photos. `alone`
is learnt from OASIS alone; `tastes` is how much of what people differ by, beside the crowd's mean,
is foreseen of photos of other themes.

Ridge regression on the sum of some blocks' kernels is that on all their features; one inverse for
each penalty gives the predictions of every part held out exactly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from people import Floats, Rated, Rows, read_people
from scipy.linalg import cho_factor, cho_solve
from tastes import taste_factors

from siamese_nima.evaluation.metrics import bootstrap_by_scene, srcc

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1]))
from seen import Seen

from machine import provenance, report

PENALTIES = (0.25, 0.5, 1.0, 2.0, 4.0)  # with kernels of mean 1 on the diagonal
DRAWS, FOLDS, REPEATS = 6, 5, 200
OFFSET = 100.0  # variance of what photos of one group have in common: as good as free
_SMALL = 1e-3
CATEGORIES = ("Person", "Scene", "Animal", "Object")


Way = tuple[tuple[Seen, str], ...]
Block = NDArray[np.float32]


def _of(network: str, *levels: str, view: str = "warp:320", mirror: bool = False) -> Way:
    return tuple((Seen(network, view, mirror), level) for level in levels)


Levels = tuple[str, ...]
LAST: Levels = ("b5", "pooled")
ALL: Levels = ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "pooled")
THREE: Levels = ("lite0", "lite1", "lite2")


def _appeal(view: str = "warp:320", *, mirror: bool = False) -> Way:
    return (
        *_of("lite0", *LAST, view=view, mirror=mirror),
        *_of("lite2", "b5", view=view, mirror=mirror),
    )


def _both(view: str) -> Way:
    return tuple(part for name in ("lite0", "lite2") for part in _of(name, *LAST, view=view))


TEACHER_WAY = tuple(part for name in THREE for part in _of(name, *LAST))
_PARTS = "five:320@400"
FIRST = "appeal 3"
# The study's tiles have 80 pixels: parts of them are left out.
WAYS: dict[str, Way] = {
    FIRST: _appeal(),
    "the mirrored photo too": (*_appeal(), *_appeal(mirror=True)),
    "at 448": _appeal("warp:448"),
    "at 320 and 448": (*_appeal(), *_appeal("warp:448")),
    "five parts of the photo too": (*_appeal(), *_appeal(_PARTS)),
    "all depths": (*_of("lite0", *ALL), *_of("lite2", *ALL[:6])),
    "the network of `quality` too": (*_appeal(), *_of("quality", "b5", view="own")),
    "Lite0": _of("lite0", *LAST),
    "Lite1": _of("lite1", *LAST),
    "Lite2": _of("lite2", *LAST),
    "Lite0 and Lite1": (*_of("lite0", *LAST), *_of("lite1", *LAST)),
    "Lite0 and Lite2": _both("warp:320"),
    "Lite0, Lite1 and Lite2": TEACHER_WAY,
    "the three, all depths": tuple(part for name in THREE for part in _of(name, *ALL)),
    "the three and the network of `quality`": (*TEACHER_WAY, *_of("quality", "b5", view="own")),
    "the three, 448, mirrored and `quality`": (
        *TEACHER_WAY,
        *_both("warp:448"),
        *_appeal(mirror=True),
        *_of("quality", "b5", view="own"),
    ),
}


def main() -> None:
    """Compare all ways and write the figures."""
    options = options_parser(__doc__).parse_args()
    rated = read_people(options.oasis, options.study)
    world = World.of(rated)
    found: dict[str, Held] = {}
    for name, way in WAYS.items():
        alone = any(seen.view == _PARTS for seen, _ in way)
        names: tuple[str, ...] = ("oasis",) if alone else ("oasis", "study")
        found[name] = Held.of(world, kernel_of(read_blocks(way, rated, options, names)))
        print(name, found[name].summary(), file=sys.stderr, flush=True)
    report(
        {
            "ways": [{"name": name, **held.row(found[FIRST])} for name, held in found.items()],
            "draws": DRAWS,
            "photos": len(rated.means),
            **provenance(),
        },
        options.out,
    )


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """What the scripts that compare features take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("oasis", "study", *THREE):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/appeal"), help="features are kept")
    parser.add_argument("--out", type=Path)
    return parser


def read_blocks(
    way: Way, rated: Rated, options: Any, names: tuple[str, ...], more: tuple[Path, ...] = ()
) -> list[Block]:
    """What a way sees of some sets of photos, one after the other."""
    sets = {"oasis": rated.oasis.paths, "study": rated.study.paths, "biq": more}
    weights = {name: getattr(options, name) for name in THREE}
    return [
        np.concatenate(
            [seen.means(name, sets[name], weights, options.work)[level] for name in names]
        )
        for seen, level in way
    ]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Photos and what there is to foresee.

    Attributes:
        rated: The photos.
        targets: Shape (N, 1), people's means, of both sets in their own spread.
        factors: Shape (N of OASIS, 16), what people differ by.
        folds: Shape (draws, N), of themes; -1 for the study.
    """

    rated: Rated
    targets: Floats
    factors: Floats
    folds: Rows

    @classmethod
    def of(cls, rated: Rated) -> World:
        """Of both sets."""
        targets = rated.means.copy()
        for first in (True, False):
            here = rated.of_oasis == first
            targets[here] = (targets[here] - targets[here].mean()) / targets[here].std()
        _, factors = taste_factors(rated.ratings, np.flatnonzero(rated.of_oasis))
        folds = np.stack([rated.folds(FOLDS, seed=seed) for seed in range(DRAWS)])
        return cls(rated, targets[:, np.newaxis], factors - factors.mean(0), folds)


def scaled(blocks: list[Block]) -> Floats:
    """Shape (N, F), each block with the same say and photos of length 1 on average."""
    parts = [
        (block - block.mean(0)) / ((block.std(0) + _SMALL * block.std()) * np.sqrt(block.shape[1]))
        for block in blocks
    ]
    whole: Floats = np.concatenate(parts, axis=1).astype(np.float64)
    return np.asarray(whole / np.sqrt(len(blocks)))


def kernel_of(blocks: list[Block]) -> Floats:
    """Shape (N, N)."""
    inputs = scaled(blocks)
    kernel: Floats = inputs @ inputs.T
    return kernel


class Ridge:
    """Ridge regression with an offset for each group, at every penalty.

    Args:
        kernel: Shape (N, N).
        targets: Shape (N, T).
        groups: Shape (N,).
    """

    def __init__(self, kernel: Floats, targets: Floats, groups: NDArray[np.str_]) -> None:
        self.targets = targets
        same = OFFSET * (groups[:, np.newaxis] == groups)
        identity = np.eye(len(kernel))
        self._inverse = [
            cho_solve(cho_factor(kernel + same + penalty * identity), identity)
            for penalty in PENALTIES
        ]
        self._dual = [inverse @ targets for inverse in self._inverse]

    def without(self, held: Rows) -> Floats:
        """Shape (penalties, held, T), predictions by all other photos."""
        return np.stack(
            [
                self.targets[held] - np.linalg.solve(inverse[np.ix_(held, held)], dual[held])
                for inverse, dual in zip(self._inverse, self._dual, strict=True)
            ]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a way foresees of photos held out.

    Attributes:
        world: The photos.
        alone: Shape (draws, N of OASIS), themes held out, learnt from OASIS alone.
        tastes: Shape (draws,), share of the factors' variance that is foreseen, likewise.
        both: Shape (draws, N of OASIS), themes held out, learnt from both sets; None where the way
            is of OASIS alone.
        sources: Shape (N,), of the study, its source held out; None likewise.
    """

    world: World
    alone: Floats
    tastes: Floats
    both: Floats | None
    sources: Floats | None

    @classmethod
    def of(cls, world: World, kernel: Floats) -> Held:
        """Predict every part that is held out.

        Args:
            world: The photos.
            kernel: Of all, or of those of OASIS.
        """
        rated, first = world.rated, np.flatnonzero(world.rated.of_oasis)
        here = kernel[np.ix_(first, first)]
        own = Ridge(here, world.targets[first], rated.groups[first])
        differ = Ridge(here, world.factors, rated.groups[first])
        both = sources = None
        if len(kernel) > len(first):
            ridge = Ridge(kernel, world.targets, rated.groups)
            both = np.stack([_themes_held_out(ridge, rated, fold) for fold in world.folds])
            sources = np.full(len(kernel), np.nan)
            for source in rated.sources:
                held = np.flatnonzero(rated.groups == source)
                sources[held] = _nested(ridge, rated, world.folds[0], held)
        return cls(
            world,
            np.stack([_themes_held_out(own, rated, fold[first]) for fold in world.folds]),
            np.array([_foreseen(differ, fold[first]) for fold in world.folds]),
            both,
            sources,
        )

    def oasis(self, rows: Rows, *, alone: bool) -> float:
        """Mean SRCC of the draws, on some photos of OASIS."""
        held = self.alone if alone or self.both is None else self.both
        means = self.world.rated.means[rows]
        return float(np.mean([srcc(found[rows], means) for found in held]))

    def study(self, rows: Rows) -> float:
        """Mean SRCC of the study's sources, on some of its photos."""
        rated, groups = self.world.rated, self.world.rated.groups[rows]
        assert self.sources is not None
        parts = (rows[groups == source] for source in rated.sources)
        return float(np.mean([srcc(self.sources[part], rated.means[part]) for part in parts]))

    def summary(self) -> dict[str, float]:
        """The figures, without intervals."""
        rated = self.world.rated
        oasis = np.flatnonzero(rated.of_oasis)
        found = {"alone": self.oasis(oasis, alone=True), "tastes": float(self.tastes.mean())}
        if self.both is not None:
            found["oasis"] = self.oasis(oasis, alone=False)
            found["study"] = self.study(np.flatnonzero(~rated.of_oasis))
            for name in CATEGORIES:
                rows = np.flatnonzero(rated.categories == name)
                found[name] = self.oasis(rows, alone=False)
        return {name: round(value, 4) for name, value in found.items()}

    def row(self, other: Held) -> dict[str, Any]:
        """The figures, and what they gain on another way, with intervals of 95 %."""
        of_oasis = self.world.rated.of_oasis
        gain = {
            "alone": self._gain(of_oasis, lambda held, rows: held.oasis(rows, alone=True), other)
        }
        if self.both is not None:
            gain["oasis"] = self._gain(
                of_oasis, lambda held, rows: held.oasis(rows, alone=False), other
            )
            gain["study"] = self._gain(~of_oasis, lambda held, rows: held.study(rows), other)
        return {**self.summary(), "gain": gain}

    def _gain(
        self, kept: NDArray[np.bool_], figure: Callable[[Held, Rows], float], other: Held
    ) -> list[float]:
        rows = np.flatnonzero(kept)
        found = bootstrap_by_scene(
            lambda index: figure(self, rows[index]) - figure(other, rows[index]),
            self.world.rated.themes[rows].tolist(),
            repeats=REPEATS,
        )
        return [round(value, 4) for value in (found.value, found.low, found.high)]


def _themes_held_out(ridge: Ridge, rated: Rated, fold: Rows) -> Floats:
    """Shape (N of OASIS,), each fifth of the themes foreseen by the others."""
    found = np.zeros(int(rated.of_oasis.sum()))
    for number in range(FOLDS):
        held = np.flatnonzero(fold == number)
        found[held] = _nested(ridge, rated, fold, held)
    return found


def _foreseen(ridge: Ridge, fold: Rows) -> float:
    """Share of the targets' variance that is foreseen, at the best penalty."""
    missed = np.zeros(len(PENALTIES))
    for number in range(FOLDS):
        held = np.flatnonzero(fold == number)
        missed += ((ridge.targets[held] - ridge.without(held)) ** 2).sum((1, 2))
    return 1 - float(missed.min() / (ridge.targets**2).sum())


def _nested(ridge: Ridge, rated: Rated, fold: Rows, held: Rows) -> Floats:
    """Predictions of what is held out, by the penalty that is best on other themes."""
    by_penalty = np.zeros(len(PENALTIES))
    for number in range(FOLDS):
        inner = np.setdiff1d(np.flatnonzero(fold == number), held)
        if len(inner):
            found = ridge.without(np.concatenate([inner, held]))[:, : len(inner), 0]
            by_penalty += [srcc(row, rated.means[inner]) for row in found]
    return ridge.without(held)[int(np.argmax(by_penalty)), :, 0]


if __name__ == "__main__":
    main()
