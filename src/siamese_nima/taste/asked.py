"""Pairs of photos that were shown, and pairs that may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Indices: TypeAlias = NDArray[np.intp]

_RESTING = 3  # photos of so many pairs before are not shown again at once


@dataclass(frozen=True, slots=True)
class Asked:
    """A pair that was shown.

    Attributes:
        left: Number of the photo on the left.
        right: Number of the photo on the right.
        answered: Whether it has an answer: False for one that was set aside, and for one whose
            answer is still to come.
    """

    left: int
    right: int
    answered: bool = True


def recent_photos(asked: Sequence[Asked]) -> set[int]:
    """Photos shown just now, which are better not shown again at once."""
    return {photo for pair in asked[-_RESTING:] for photo in (pair.left, pair.right)}


def random_pairs(photos: int, count: int, draw: np.random.Generator) -> Indices:
    """Pairs of two different ones of two photos or more, shape (`count`, 2); some may be alike."""
    left = draw.integers(photos, size=count)
    right = (left + draw.integers(1, photos, size=count)) % photos
    return np.stack([left, right], axis=1).astype(np.intp)
