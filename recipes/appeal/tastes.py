"""How tastes differ: directions among features that some people like and others do not."""

from __future__ import annotations

import numpy as np
from heads import Coordinates
from people import Floats, Rows

DIRECTIONS = 16
_SMOOTHING = 3.0
_ROUNDS = 10
_LEAST_SPREAD = 0.3  # of a person's ratings; some gave all photos the same


def taste_directions(coordinates: Coordinates, ratings: Floats, rows: Rows) -> Floats:
    """Directions on the features, shape (F, DIRECTIONS), by how far people differ along them.

    A person's ratings, centred and of unit spread, less the crowd's, have a covariance between
    photos; its leading factors are brought to features by ridge regression.

    Args:
        coordinates: Of all photos.
        ratings: Shape (people, photos of OASIS), NaN where there is none.
        rows: Photos of OASIS to learn from.
    """
    here = ratings[:, rows]
    spread = np.nanstd(here, axis=1, keepdims=True)
    kept = spread[:, 0] > _LEAST_SPREAD
    scaled = (here - np.nanmean(here, axis=1, keepdims=True))[kept] / spread[kept]
    apart = scaled - np.nanmean(scaled, axis=0)
    known = (~np.isnan(apart)).astype(np.float64)
    apart = np.nan_to_num(apart)
    covariance = (apart.T @ apart) / np.maximum(known.T @ known, 1)
    for _ in range(_ROUNDS):  # a photo's own variance holds the noise of ratings
        values, vectors = _leading(covariance)
        np.fill_diagonal(covariance, np.sum(vectors**2 * values, axis=1))
    values, vectors = _leading(covariance)
    factors = vectors * np.sqrt(values)
    inputs = coordinates.trained[rows] - coordinates.trained[rows].mean(0)
    square = inputs.T @ inputs + _SMOOTHING * np.eye(inputs.shape[1])
    on_coordinates = np.linalg.solve(square, inputs.T @ factors)
    directions, _ = coordinates.on_features(on_coordinates.T, np.zeros(DIRECTIONS))
    return directions.T


def _leading(covariance: Floats) -> tuple[Floats, Floats]:
    values, vectors = np.linalg.eigh(covariance)
    return values[-DIRECTIONS:].clip(0), vectors[:, -DIRECTIONS:]
