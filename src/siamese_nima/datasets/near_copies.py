"""Near-copies: photos that show the same thing as another, such as frames of a burst.

Two photos are near-copies when their thumbnails correlate above .98, or above .90 with difference
hashes at most 6 of 64 bits apart. Frames of a burst, resized, recompressed and lightly retouched
copies are found; mirrored, turned and strongly cropped ones are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from siamese_nima.errors import TableError
from siamese_nima.photos.likeness import LIKE_CORRELATION, Pairs, alike_by_hash, more_alike
from siamese_nima.photos.signatures import Signatures

SAME_CORRELATION = 0.98
_AXES = 8  # principal components that the search tree is built on
_ROUNDING = 1e-3  # of float32 products and projections


def near_copies(signatures: Signatures) -> Pairs:
    """All pairs of near-copies; exact, without comparing every photo with every other.

    Returns:
        Shape (P, 2), rows of photos, the smaller row first, in ascending order.
    """
    rows = np.flatnonzero(signatures.thumbnails.any(axis=1))
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.intp)
    hashes, thumbnails = signatures.hashes[rows], signatures.thumbnails[rows]
    found = [more_alike(thumbnails, pairs, LIKE_CORRELATION) for pairs in alike_by_hash(hashes)]
    found.append(more_alike(thumbnails, _close_in_projection(thumbnails), SAME_CORRELATION))
    pairs = rows[np.sort(np.concatenate(found), axis=1)]
    return np.asarray(np.unique(pairs, axis=0))


@dataclass(frozen=True, slots=True)
class Leak:
    """Photos of one split, of one subset, that have a near-copy in another split."""

    split: str
    other: str
    subset: str
    photos: int
    leaking: int

    @property
    def share(self) -> float:
        """Share of the photos that have one, 0 to 1; lower is better."""
        return self.leaking / self.photos

    def __str__(self) -> str:
        of = f" of {self.subset}" if self.subset else ""
        return (
            f"{self.leaking} of {self.photos} {self.split} photos{of} ({100 * self.share:.0f} %) "
            f"have a near-copy in {self.other}"
        )


def crossing_pairs(pairs: Pairs, splits: Sequence[str]) -> Pairs:
    """The pairs whose photos are in two different splits; a photo without a split crosses none."""
    names = np.asarray(splits)
    first, second = names[pairs[:, 0]], names[pairs[:, 1]]
    return np.asarray(pairs[(first != second) & (first != "") & (second != "")])


def measure_leaks(pairs: Pairs, splits: Sequence[str], subsets: Sequence[str]) -> tuple[Leak, ...]:
    """How many photos of each split and subset have a near-copy in each other split.

    Args:
        pairs: Near-copies, shape (P, 2); crossing or not.
        splits: Shape (N,), the split of each photo.
        subsets: Shape (N,), the subset of each photo.

    Returns:
        The leaks there are, the largest share first.
    """
    if len(splits) != len(subsets):
        raise TableError(f"{len(splits)} photos have {len(subsets)} subsets")
    crossing = crossing_pairs(pairs, splits)
    parts = list(zip(splits, subsets, strict=True))
    totals: dict[tuple[str, str], int] = {}
    for part in parts:
        totals[part] = totals.get(part, 0) + 1
    leaking: dict[tuple[str, str, str], set[int]] = {}
    for photo, copy in np.concatenate([crossing, crossing[:, ::-1]]).tolist():
        split, subset = parts[photo]
        leaking.setdefault((split, splits[copy], subset), set()).add(photo)
    leaks = [
        Leak(split, other, subset, totals[split, subset], len(photos))
        for (split, other, subset), photos in leaking.items()
    ]
    return tuple(sorted(leaks, key=lambda leak: (-leak.share, leak.split, leak.subset)))


def _close_in_projection(thumbnails: NDArray[np.float32]) -> Pairs:
    """Pairs of rows that can correlate above `SAME_CORRELATION`, and others.

    The squared distance of such thumbnails is below 2 (1 - correlation), and no projection on
    orthonormal axes is longer than what it projects.
    """
    _, vectors = np.linalg.eigh((thumbnails.T @ thumbnails).astype(np.float64))
    # eigh sorts ascending: the last axes tell most photos apart.
    projected = thumbnails @ vectors[:, -_AXES:].astype(np.float32)
    reach = (2 * (1 - SAME_CORRELATION)) ** 0.5 + _ROUNDING
    return np.asarray(cKDTree(projected).query_pairs(reach, output_type="ndarray"), dtype=np.intp)
