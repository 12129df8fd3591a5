"""Which photos look alike, by their signatures, without comparing every photo with every other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pairs = NDArray[np.intp]

LIKE_CORRELATION = 0.90
LIKE_BITS = 6
_BLOCK = 2048  # pairs of thumbnails compared at a time; 4 MB, which caches hold
_BITS = np.array([value.bit_count() for value in range(65536)], dtype=np.uint8)


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


def alike_by_hash(hashes: NDArray[np.uint64], *, reach: int | None = None) -> Iterator[Pairs]:
    """Pairs of rows whose hashes differ in at most `LIKE_BITS` bits, some of them repeatedly.

    Of eight bytes at most six can hold a differing bit, so two bytes are equal: rows are compared
    only where they agree on one of the 28 choices of two bytes.

    Args:
        hashes: Shape (N,), 64-bit difference hashes.
        reach: Compare a row only with that many following rows of the same choice. Without it all
            pairs are found, and as many as N (N - 1) / 2 where all rows are alike.
    """
    table = hashes.view(np.uint8).reshape(-1, 8).astype(np.uint32)
    for first, second in combinations(range(8), 2):
        keys = table[:, first] * 256 + table[:, second]
        order = np.argsort(keys, kind="stable")
        yield from _alike_in_runs(hashes, keys[order], order, reach or len(keys))


def more_alike(thumbnails: NDArray[np.float32], pairs: Pairs, correlation: float) -> Pairs:
    """The pairs whose thumbnails, rows of length 1, correlate above `correlation`."""
    kept = [pairs[:0]]
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        likeness = np.einsum("ij,ij->i", thumbnails[block[:, 0]], thumbnails[block[:, 1]])
        kept.append(block[likeness > correlation])
    return np.concatenate(kept)


def _alike_in_runs(
    hashes: NDArray[np.uint64], keys: NDArray[np.uint32], order: Pairs, reach: int
) -> Iterator[Pairs]:
    """Pairs within each run of equal keys, compared at a distance of one, of two, ..."""
    first = np.arange(len(keys))
    for step in range(1, reach + 1):
        first = first[: np.searchsorted(first, len(keys) - step)]
        first = first[keys[first] == keys[first + step]]
        if len(first) == 0:
            return
        here, there = order[first], order[first + step]
        near = _differing_bits(hashes[here], hashes[there]) <= LIKE_BITS
        yield np.stack([here[near], there[near]], axis=1)


def _differing_bits(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    halves = (first ^ second).view(np.uint16).reshape(-1, 4)
    return np.asarray(_BITS[halves].sum(axis=1, dtype=np.uint8))
