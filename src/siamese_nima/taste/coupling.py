"""Which photos the answers couple, and linear algebra on a matrix that couples only those.

Two photos are coupled when a chain of answers leads from one to the other. The matrix is zero for
all others, so its blocks are solved one by one: a folder of thousands of photos costs what the
answered ones cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese_nima.ratings import Floats

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Coupling:
    """Photos in groups that answers couple, and where the pairs of a group are kept.

    A coupled matrix is one flat array, block after block; `at` gives the place of an entry.

    Attributes:
        photos: Shape (A,), numbers of all photos that were asked about, group after group.
        row: Shape (N,), where the photo's row begins in a flat matrix; -1 for photos not asked.
        column: Shape (N,), the photo's place in its group.
        group: Shape (N,), the group's number; -1 for photos not asked.
        sizes: Shape (G,), photos per group, ascending.
    """

    photos: Indices
    row: Indices
    column: Indices
    group: Indices
    sizes: Indices

    @classmethod
    def of(cls, left: Indices, right: Indices, count: int) -> Coupling:
        """What answers about `left` and `right`, both shape (M,), couple among `count` photos."""
        asked = np.unique(np.concatenate([left, right]))
        leader = _leaders(left, right, count)[asked]
        _, group, sizes = np.unique(leader, return_inverse=True, return_counts=True)
        by_size = np.argsort(sizes, kind="stable")
        rank = np.empty_like(by_size)
        rank[by_size] = np.arange(by_size.size)
        group, sizes = rank[group], sizes[by_size]
        order = np.argsort(group, kind="stable")
        photos, group = asked[order], group[order]
        place = np.arange(photos.size) - (np.cumsum(sizes) - sizes)[group]
        begin = np.cumsum(sizes**2) - sizes**2
        row, column, number = (
            _scattered(np.asarray(values, np.intp), photos, count)
            for values in (begin[group] + place * sizes[group], place, group)
        )
        return cls(photos, row, column, number, sizes)

    @property
    def entries(self) -> int:
        """Length of a flat matrix."""
        return int(np.sum(self.sizes**2))

    def at(self, first: Indices, second: Indices) -> Indices:
        """Places in a flat matrix of the entries of photos of one group."""
        result: Indices = self.row[first] + self.column[second]
        return result

    def solved(self, matrix: Floats, values: Floats) -> Floats:
        """The x with matrix x = values, both sides in the order of `photos`."""
        result = np.empty_like(values)
        for rows, blocks, size in self._batches():
            square = matrix[blocks].reshape(-1, size, size)
            result[rows] = np.linalg.solve(square, values[rows].reshape(-1, size, 1)).ravel()
        return result

    def inverse(self, matrix: Floats) -> Floats:
        """The inverse, flat too."""
        result = np.empty_like(matrix)
        for _, blocks, size in self._batches():
            result[blocks] = np.linalg.inv(matrix[blocks].reshape(-1, size, size)).ravel()
        return result

    def _batches(self) -> Iterator[tuple[slice, slice, int]]:
        """Groups of one size lie together: their photos, their entries, the size."""
        row = entry = 0
        for size, groups in zip(*np.unique(self.sizes, return_counts=True), strict=True):
            rows, entries = int(size * groups), int(size**2 * groups)
            yield slice(row, row + rows), slice(entry, entry + entries), int(size)
            row, entry = row + rows, entry + entries


def _leaders(left: Indices, right: Indices, count: int) -> Indices:
    """The lowest number that a chain of answers leads to, for each photo."""
    leader = np.arange(count, dtype=np.intp)
    while np.any(leader[left] != leader[right]):
        lowest = np.minimum(leader[left], leader[right])
        for side in (left, right):
            np.minimum.at(leader, leader[side], lowest)
        while np.any(leader != leader[leader]):
            leader = leader[leader]
    return leader


def _scattered(values: Indices, photos: Indices, count: int) -> Indices:
    result = np.full(count, -1, dtype=np.intp)
    result[photos] = values
    return result
