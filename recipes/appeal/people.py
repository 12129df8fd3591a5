"""Photos, and what people said of them: votes, and the pairs that single people decided."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_nima.datasets.rating_table import RatingTable, photo_paths
from siamese_nima.ratings import RatingScale

SCALE = RatingScale(1, 10)
OASIS_SCALE, STUDY_SCALE = RatingScale(1, 7), RatingScale(1, 5)
OASIS = "oasis"

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Rated:
    """Photos of both sets, those of OASIS first.

    Attributes:
        oasis: The table of OASIS; votes 1..7, subsets are its categories, scenes its themes.
        study: The table of the appeal study; votes 1..5, subsets are where photos come from.
        ratings: Shape (people, N of OASIS), what each person gave, NaN where nothing.
        distributions: Shape (N, 10), votes brought linearly to 1..10.
        means: Shape (N,), their means.
        groups: Shape (N,), "oasis" or the source of a photo of the study.
        categories: Shape (N,), of OASIS; "" for others.
        themes: Shape (N,), photos of one theme are alike; of the study each photo is its own.
    """

    oasis: RatingTable
    study: RatingTable
    ratings: Floats
    distributions: Floats
    means: Floats
    groups: NDArray[np.str_]
    categories: NDArray[np.str_]
    themes: NDArray[np.str_]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of all photos."""
        return (*self.oasis.paths, *self.study.paths)

    @property
    def of_oasis(self) -> NDArray[np.bool_]:
        """Shape (N,), whether a photo is one of OASIS."""
        return self.groups == OASIS

    @property
    def sources(self) -> list[str]:
        """Of the study."""
        return sorted({*self.groups.tolist()} - {OASIS})

    def folds(self, count: int, seed: int) -> Rows:
        """Shape (N,), the fold of each photo of OASIS, themes together; -1 for the study's."""
        names = np.unique(self.themes[self.of_oasis])
        order = np.random.default_rng(seed).permutation(len(names))
        fold = {name: place % count for name, place in zip(names, order.tolist(), strict=True)}
        return np.array([fold.get(theme, -1) for theme in self.themes.tolist()], np.intp)


def read_people(oasis: Path, study: Path) -> Rated:
    """Both sets.

    Args:
        oasis: Folder with photos.csv (file_name, category, theme, votes1..votes7), ratings.csv
            (person, file_name, rating) and photos/.
        study: Folder with votes.csv (tile, source_db, v1..v5) and the tiles.
    """
    photos = _rows(oasis / "photos.csv")
    first = _table(
        photo_paths(oasis / "photos", [row["file_name"] for row in photos]),
        np.array([[float(row[f"votes{grade}"]) for grade in range(1, 8)] for row in photos]),
        OASIS_SCALE,
        subsets=[row["category"] for row in photos],
        scenes=[row["theme"] for row in photos],
    )
    tiles = _rows(study / "votes.csv")
    second = _table(
        photo_paths(study, [row["tile"] for row in tiles]),
        np.array([[float(row[f"v{grade}"]) for grade in range(1, 6)] for row in tiles]),
        STUDY_SCALE,
        subsets=[row["source_db"] for row in tiles],
        scenes=[row["tile"] for row in tiles],
    )
    number = {row["file_name"]: place for place, row in enumerate(photos)}
    given = _rows(oasis / "ratings.csv")
    people = {name: place for place, name in enumerate(sorted({row["person"] for row in given}))}
    ratings = np.full((len(people), len(photos)), np.nan)
    for row in given:
        ratings[people[row["person"]], number[row["file_name"]]] = float(row["rating"])
    distributions = np.concatenate([first.distributions(SCALE), second.distributions(SCALE)])
    return Rated(
        first,
        second,
        ratings,
        distributions,
        distributions @ SCALE.grades,
        np.array([*[OASIS] * len(first), *second.subsets]),
        np.array([*first.subsets, *[""] * len(second)]),
        np.array([*first.scenes, *second.scenes]),
    )


def decided_pairs(ratings: Floats) -> tuple[Floats, Floats]:
    """What single people decided: those who rated both photos and gave them different ratings.

    A person's own use of the scale plays no part.

    Returns:
        Shares (N, N) of those people who rated the first photo higher, .5 where there are none;
        and how many people they are.
    """
    photos = ratings.shape[1]
    higher = np.zeros((photos, photos))
    for row in ratings:
        seen = np.flatnonzero(~np.isnan(row))
        higher[np.ix_(seen, seen)] += row[seen, np.newaxis] > row[seen]
    decided = higher + higher.T
    return np.where(decided > 0, higher / np.maximum(decided, 1), 0.5), decided


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _table(
    paths: tuple[Path, ...],
    votes: Floats,
    scale: RatingScale,
    *,
    subsets: list[str],
    scenes: list[str],
) -> RatingTable:
    means = votes @ scale.grades / votes.sum(axis=1)
    empty = ("",) * len(paths)
    return RatingTable(
        paths=paths,
        mos=means,
        scale=scale,
        votes=votes,
        scenes=tuple(scenes),
        subsets=tuple(subsets),
        splits=empty,
    )
