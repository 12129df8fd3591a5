"""The origin's pairs: as many of one bucket as of two, drawn anew each epoch."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_nima.errors import ConfigError

SAME_THRESHOLD = 0.5  # rating points; the origin's


class BucketPairs(NamedTuple):
    """Pairs of photos by class label.

    Attributes:
        rows: Shape (P, 2), rows of the table.
        same: Shape (P,), whether both are of one bucket.
    """

    rows: NDArray[np.intp]
    same: NDArray[np.bool_]


def draw_bucket_pairs(buckets: ArrayLike, generator: np.random.Generator) -> BucketPairs:
    """One epoch's pairs, as ryanfwy/image-quality makes them.

    Within each bucket every photo but the last is paired with the next one of its bucket, and with
    a random photo of a random other bucket. So there are twice as many pairs as photos, less two
    per bucket, in the order of the buckets.

    Args:
        buckets: Shape (N,), class labels.
        generator: Of the random photos.

    Raises:
        ConfigError: Fewer than two buckets, or no bucket with two photos.
    """
    labels = np.asarray(buckets)
    classes, codes = np.unique(labels, return_inverse=True)
    members = [np.flatnonzero(codes == code) for code in range(len(classes))]
    if len(classes) < 2 or max(map(len, members)) < 2:
        raise ConfigError(
            f"{labels.size} photos with {len(classes)} different labels make no pairs: at least "
            "two labels are needed, and one of them on two photos. Labels are classes (0, 1, 2, "
            "...); mean scores with decimals must be put into buckets first."
        )
    rows, same = [], []
    for code, photos in enumerate(members):
        for first, second in itertools.pairwise(photos):
            other = int(generator.integers(0, len(classes) - 1))
            other += other >= code
            rows += [(first, second), (first, generator.choice(members[other]))]
            same += [True, False]
    return BucketPairs(np.array(rows, dtype=np.intp), np.array(same))


def same_bucket_accuracy(gap: ArrayLike, same: ArrayLike) -> float:
    """Share of pairs told right as same or different bucket, 0 to 1: the origin's accuracy.

    A pair counts as one bucket when its means are less than half a point apart.

    Args:
        gap: Shape (P,), differences of mean scores in rating points, either sign.
        same: Shape (P,), whether both are of one bucket.

    >>> same_bucket_accuracy([0.2, -0.6, 0.4, 3.0], [True, True, False, False])
    0.5
    """
    near = np.abs(np.asarray(gap, dtype=np.float64)) < SAME_THRESHOLD
    return float(np.mean(near == np.asarray(same, dtype=bool)))
