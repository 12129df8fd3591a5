"""Buckets: intervals of mean opinion scores, the integer labels of the origin's training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_nima.errors import TableError
from siamese_nima.ratings import Floats


def bucketize(
    mos: ArrayLike,
    buckets: int | Sequence[float],
    *,
    by: Literal["width", "quantile"] = "width",
) -> NDArray[np.int64]:
    """The bucket of each score: 0 for the worst photos, rising with the score.

    Args:
        mos: Shape (N,), mean opinion scores; higher is better.
        buckets: How many buckets, or their inner edges, ascending: E edges make E + 1 buckets, and
            a score at an edge belongs to the bucket above it.
        by: Where a number of buckets is cut: "width" into intervals of equal width between the
            lowest and the highest score, "quantile" into buckets of about as many photos each.
            Equal scores always share a bucket, so with many of them buckets may stay empty.

    Returns:
        Shape (N,), from 0 to the number of buckets less 1.

    Raises:
        TableError: No or non-finite scores, fewer than two buckets, or edges that do not ascend.

    >>> bucketize([1.0, 2.0, 4.9, 5.0], 2).tolist()
    [0, 0, 1, 1]
    >>> bucketize([1.0, 2.0, 4.9, 5.0], [4.9]).tolist()
    [0, 0, 1, 1]
    """
    scores = np.asarray(mos, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0 or not np.all(np.isfinite(scores)):
        raise TableError(f"buckets need finite scores of shape (N,), got shape {scores.shape}")
    edges = bucket_edges(scores, buckets, by) if isinstance(buckets, int) else _edges(buckets)
    return np.searchsorted(edges, scores, side="right").astype(np.int64)


def bucket_edges(scores: Floats, count: int, by: Literal["width", "quantile"]) -> Floats:
    """The inner edges, shape (count - 1,), that cut scores into `count` buckets."""
    if count < 2:
        raise TableError(f"buckets tell photos apart from two on, got {count}")
    if by == "width":
        return np.linspace(scores.min(), scores.max(), count + 1)[1:-1]
    if by == "quantile":
        # An edge must be a score, or rounding of an interpolated one could part equal scores.
        shares = np.arange(1, count) / count
        return np.asarray(np.quantile(scores, shares, method="higher"), dtype=np.float64)
    raise TableError(f"buckets are cut by 'width' or 'quantile', got {by!r}")


def _edges(given: Sequence[float]) -> Floats:
    edges = np.asarray(given, dtype=np.float64)
    if edges.size == 0 or not np.all(np.isfinite(edges)) or np.any(np.diff(edges) <= 0):
        raise TableError(f"bucket edges must be finite and ascending, got {list(given)}")
    return edges
