"""Near-copies: photos that show the same thing as another, such as frames of a burst.

Two photos are near-copies when their thumbnails correlate above .98, or above .90 with difference
hashes at most 6 of 64 bits apart. Frames of a burst, resized, recompressed and lightly retouched
copies are found; mirrored, turned and strongly cropped ones are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from siamese_nima.datasets.signatures import Signatures
from siamese_nima.errors import TableError

Pairs = NDArray[np.intp]

SAME_CORRELATION = 0.98
LIKE_CORRELATION = 0.90
LIKE_BITS = 6
_AXES = 8  # principal components that the search tree is built on
_ROUNDING = 1e-3  # of float32 products and projections
_BLOCK = 65536  # pairs of thumbnails compared at a time
_BITS = np.array([value.bit_count() for value in range(65536)], dtype=np.uint8)


def near_copies(signatures: Signatures) -> Pairs:
    """All pairs of near-copies; exact, without comparing every photo with every other.

    Returns:
        Shape (P, 2), rows of photos, the smaller row first, in ascending order.
    """
    rows = np.flatnonzero(signatures.thumbnails.any(axis=1))
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.intp)
    hashes, thumbnails = signatures.hashes[rows], signatures.thumbnails[rows]
    found = [_more_alike(thumbnails, pairs, LIKE_CORRELATION) for pairs in _alike_by_hash(hashes)]
    found.append(_more_alike(thumbnails, _close_in_projection(thumbnails), SAME_CORRELATION))
    pairs = rows[np.sort(np.concatenate(found), axis=1)]
    return np.asarray(np.unique(pairs, axis=0))


def group_pairs(count: int, pairs: ArrayLike) -> NDArray[np.intp]:
    """Groups of rows that pairs connect, directly or over others.

    Args:
        count: N, the number of rows.
        pairs: Shape (P, 2).

    Returns:
        Shape (N,), the smallest row of each row's group.

    >>> group_pairs(5, [[1, 2], [2, 4]]).tolist()
    [0, 1, 1, 3, 1]
    """
    first, second = np.asarray(pairs, dtype=np.intp).reshape(-1, 2).T
    group = np.arange(count)
    while True:
        lower = np.minimum(group[first], group[second])
        merged = group.copy()
        # Lowering the roots too joins whole groups in one step.
        for place in (first, second, group[first], group[second]):
            np.minimum.at(merged, place, lower)
        merged = merged[merged]
        if np.array_equal(merged, group):
            return merged
        group = merged


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


def _alike_by_hash(hashes: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Pairs of rows whose hashes differ in at most `LIKE_BITS` bits, some of them repeatedly.

    Of eight bytes at most six can hold a differing bit, so two bytes are equal: rows are compared
    only where they agree on one of the 28 choices of two bytes.
    """
    table = hashes.view(np.uint8).reshape(-1, 8).astype(np.uint32)
    for first, second in combinations(range(8), 2):
        keys = table[:, first] * 256 + table[:, second]
        order = np.argsort(keys, kind="stable")
        yield from _alike_in_runs(hashes, keys[order], order)


def _alike_in_runs(
    hashes: NDArray[np.uint64], keys: NDArray[np.uint32], order: Pairs
) -> Iterator[Pairs]:
    """Pairs within each run of equal keys, compared at a distance of one, of two, ..."""
    first = np.arange(len(keys))
    step = 1
    while True:
        first = first[: np.searchsorted(first, len(keys) - step)]
        first = first[keys[first] == keys[first + step]]
        if len(first) == 0:
            return
        here, there = order[first], order[first + step]
        near = _differing_bits(hashes[here], hashes[there]) <= LIKE_BITS
        yield np.stack([here[near], there[near]], axis=1)
        step += 1


def _differing_bits(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    halves = (first ^ second).view(np.uint16).reshape(-1, 4)
    return np.asarray(_BITS[halves].sum(axis=1, dtype=np.uint8))


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


def _more_alike(thumbnails: NDArray[np.float32], pairs: Pairs, correlation: float) -> Pairs:
    kept = [pairs[:0]]
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        likeness = np.einsum("ij,ij->i", thumbnails[block[:, 0]], thumbnails[block[:, 1]])
        kept.append(block[likeness > correlation])
    return np.concatenate(kept)
