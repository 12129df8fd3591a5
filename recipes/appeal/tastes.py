"""How tastes differ: directions among features that some people like and others do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from heads import Coordinates
from people import OASIS_SCALE, SCALE, Floats, Rows

from siamese_nima.taste.preference import Tastes

DIRECTIONS = 16
_NOISE = 0.9
_ROUNDS = 10
_LEAST_SPREAD = 0.3  # of a person's ratings; some gave all photos the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """How much tastes are thought to differ.

    Settled by what they are worth to 120 people held out, none of those whom
    benchmarks/taste/people.py judges by; others are worth about the same (docs/taste.md).

    Attributes:
        directions: How many.
        smoothing: Penalty of ridge regression that brings them to features.
        enlarged: Factor of the variance along them, which smoothing makes too small.
        alone: Variance of a taste beside them, in squared spreads.
    """

    directions: int = DIRECTIONS
    smoothing: float = 3.0
    enlarged: float = 2.0
    alone: float = 0.15


def people_who_choose(ratings: Floats) -> Rows:
    """Those who did not give all photos about the same rating."""
    return np.flatnonzero(np.nanstd(ratings, axis=1) > _LEAST_SPREAD)


def population_tastes(
    coordinates: Coordinates, ratings: Floats, rows: Rows, belief: Belief | None = None
) -> Tastes:
    """How people differ, on the features.

    A person's ratings, centred and of unit spread, less the crowd's, have a covariance between
    photos; its leading factors are brought to features by ridge regression.

    Args:
        coordinates: Of all photos.
        ratings: Shape (people, photos of OASIS), NaN where there is none.
        rows: Photos of OASIS to learn from.
        belief: How much tastes differ.
    """
    belief = belief or Belief()
    spread, factors = taste_factors(ratings, rows, belief.directions)
    inputs = coordinates.trained[rows] - coordinates.trained[rows].mean(0)
    square = inputs.T @ inputs + belief.smoothing * np.eye(inputs.shape[1])
    on_coordinates = np.linalg.solve(square, inputs.T @ (factors - factors.mean(0)))
    directions, _ = coordinates.on_features(on_coordinates.T, np.zeros(belief.directions))
    points = (SCALE.high - SCALE.low) / (OASIS_SCALE.high - OASIS_SCALE.low)
    return Tastes(
        np.sqrt(belief.enlarged) * directions.T,
        np.sqrt(belief.alone) * coordinates.factor,
        spread * points,
        _NOISE,
    )


def taste_factors(ratings: Floats, rows: Rows, count: int = DIRECTIONS) -> tuple[float, Floats]:
    """How people's ratings of photos differ from the crowd's.

    Returns:
        The median spread of a person's ratings; and shape (rows, count), the leading factors of
        what people differ by, in such spreads.
    """
    kept = ratings[people_who_choose(ratings)]
    spread = np.nanstd(kept, axis=1, keepdims=True)
    scaled = ((kept - np.nanmean(kept, axis=1, keepdims=True)) / spread)[:, rows]
    apart = scaled - np.nanmean(scaled, axis=0)
    known = (~np.isnan(apart)).astype(np.float64)
    apart = np.nan_to_num(apart)
    covariance = (apart.T @ apart) / np.maximum(known.T @ known, 1)
    for _ in range(_ROUNDS):  # a photo's own variance holds the noise of ratings
        values, vectors = _leading(covariance, count)
        np.fill_diagonal(covariance, np.sum(vectors**2 * values, axis=1))
    values, vectors = _leading(covariance, count)
    return float(np.median(spread)), vectors * np.sqrt(values)


def _leading(covariance: Floats, count: int) -> tuple[Floats, Floats]:
    values, vectors = np.linalg.eigh(covariance)
    return values[-count:].clip(0), vectors[:, -count:]
