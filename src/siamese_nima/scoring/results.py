"""The result for one photo: a score, or a named error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from siamese_nima import ratings
from siamese_nima.card import ModelCard
from siamese_nima.ratings import Floats, RatingScale

# One for all: a ranking keeps results in memory.
_NO_OTHERS: Mapping[str, ScoredPhoto] = {}
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ScoredPhoto:
    """What a model says of one photo.

    Exactly one of `score` and `error` is None, and with `score` go `spread` and `distribution`.

    Attributes:
        path: As it was given or found; "<photo 3>" for pictures without a path.
        score: Expectation of the distribution, in [scale.low, scale.high]; higher is better.
        spread: Standard deviation of the distribution in rating points: how much people would
            disagree, not how sure the model is.
        distribution: K probabilities over the scale.
        percentile: Share of the model's reference population that scores lower, 0 to 100; None
            where the model has no reference population.
        model: Identity of the model: name, version, start of the file's SHA-256.
        scale: The rating scale of `score`.
        error: Why there is no score.
        others: What the scorer's further models say of the same photo, by model name.
        about: What its source said of it beside the photo, for tables that keep that.
        cached: Whether the distribution comes from the result cache; equal photos may differ here.
    """

    path: str
    score: float | None = None
    spread: float | None = None
    percentile: float | None = None
    distribution: tuple[float, ...] | None = None
    scale: RatingScale
    model: str
    error: str | None = None
    others: Mapping[str, ScoredPhoto] = field(default_factory=lambda: _NO_OTHERS, hash=False)
    about: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, compare=False)
    cached: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        said = f"error={self.error!r}" if self.score is None else f"score={self.score:.2f}"
        return f"ScoredPhoto(path={self.path!r}, {said}, scale={self.scale}, model={self.model!r})"

    def _repr_html_(self) -> str:
        from siamese_nima.scoring.notebook import html_table

        return html_table([self])

    @property
    def mean(self) -> float | None:
        """The score, by its earlier name."""
        return self.score

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors of all models, each once."""
        if self.error is None and not self.others:
            return ()
        found = [result.error for result in (self, *self.others.values())]
        return tuple(dict.fromkeys(error for error in found if error is not None))

    def to_dict(self, *, distribution: bool = True) -> dict[str, Any]:
        """As tables and replies have it, without `others`.

        Scores have 4 decimals, percentiles 2, probabilities 6; the scale is [low, high].

        Args:
            distribution: Whether it has the rating distribution, or None in its place.
        """
        votes = self.distribution if distribution else None
        return {
            "path": self.path,
            "score": rounded(self.score, 4),
            "spread": rounded(self.spread, 4),
            "percentile": rounded(self.percentile, 2),
            "distribution": votes and [round(p, 6) for p in votes],
            "scale": [self.scale.low, self.scale.high],
            "model": self.model,
            "error": self.error,
        }


class Results(list[ScoredPhoto]):
    """A list of results that a notebook shows as a small table with thumbnails."""

    def _repr_html_(self) -> str:
        from siamese_nima.scoring.notebook import html_table

        return html_table(self)


def rounded(value: float | None, digits: int) -> float | None:
    """A number with so many decimals; None stays None."""
    return None if value is None else round(value, digits)


def scored(
    path: str, distribution: Floats, card: ModelCard, model: str, *, cached: bool = False
) -> ScoredPhoto:
    """The result for a photo with this rating distribution, shape (K,)."""
    row = np.asarray(distribution, dtype=np.float64)
    score = float(ratings.mean(row, card.scale))
    return ScoredPhoto(
        path=path,
        model=model,
        scale=card.scale,
        score=score,
        spread=float(ratings.spread(row, card.scale)),
        distribution=tuple(row.tolist()),
        percentile=None if card.population is None else card.population.percentile(score),
        cached=cached,
    )
