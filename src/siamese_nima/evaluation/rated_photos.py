"""What a report is made of: the scores of a model beside the ratings of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from siamese_nima.errors import TableError
from siamese_nima.ratings import Floats, RatingScale


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RatedPhotos:
    """Scores and labels of N photos, all on one scale.

    Attributes:
        paths: Names of the photos.
        scores: Shape (N,), the model's mean scores.
        labels: Shape (N,), mean opinion scores, at their relative position of the model's scale.
        scale: The model's scale.
        scenes: Per photo, its group of near-copies.
        subsets: Per photo, the part of the data set it is from.
        distributions: Shape (N, K), the model's rating distributions, or None.
        votes: Shape (N, K), people's votes as distributions on the model's scale, or None where
            only means are known.
    """

    paths: tuple[str, ...]
    scores: Floats
    labels: Floats
    scale: RatingScale
    scenes: tuple[str, ...]
    subsets: tuple[str, ...]
    distributions: Floats | None = None
    votes: Floats | None = None

    def __post_init__(self) -> None:
        count = len(self.paths)
        lengths = {
            "scores": len(self.scores),
            "labels": len(self.labels),
            "scenes": len(self.scenes),
            "subsets": len(self.subsets),
        }
        if count == 0:
            raise TableError("no photo was scored, so there is nothing to judge")
        if wrong := [f"{size} {name}" for name, size in lengths.items() if size != count]:
            raise TableError(f"{count} photos have {', '.join(wrong)}")
        if not (np.all(np.isfinite(self.scores)) and np.all(np.isfinite(self.labels))):
            raise TableError("a score or label is not finite; leave unscored photos out")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def range(self) -> float:
        """Width of the scale in points."""
        return float(self.scale.high - self.scale.low)

    def select(self, rows: ArrayLike) -> RatedPhotos:
        """The photos with these indices, or those that a boolean mask keeps."""
        index = np.arange(len(self))[np.asarray(rows)]

        def taken(values: Sequence[str]) -> tuple[str, ...]:
            return tuple(values[i] for i in index)

        return RatedPhotos(
            paths=taken(self.paths),
            scores=self.scores[index],
            labels=self.labels[index],
            scale=self.scale,
            scenes=taken(self.scenes),
            subsets=taken(self.subsets),
            distributions=None if self.distributions is None else self.distributions[index],
            votes=None if self.votes is None else self.votes[index],
        )

    def by_subset(self) -> dict[str, RatedPhotos]:
        """All photos as "all", and where there are several subsets each of them."""
        names = sorted(set(self.subsets))
        if len(names) < 2:
            return {"all": self}
        own = np.asarray(self.subsets)
        return {"all": self} | {name or "(none)": self.select(own == name) for name in names}
