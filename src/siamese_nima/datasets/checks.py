"""What is wrong with photos before anything is trained or judged with them.

Near-copies are photos that show the same thing as another, such as frames of a burst.
Two photos are near-copies when their thumbnails correlate above .98, or above .90 with difference
hashes at most 6 of 64 bits apart. Frames of a burst, resized, recompressed and lightly retouched
copies are found; mirrored, turned and strongly cropped ones are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.splits import split_name
from siamese_nima.errors import PhotoError, TableError, name_some
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.similarity import (
    LIKE_CORRELATION,
    Pairs,
    Signatures,
    alike_by_hash,
    more_alike,
    read_signatures,
)

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


_CHECK_SIDE_PX = 32  # the smallest decoding that still reads the whole file


@dataclass(frozen=True, slots=True)
class PhotoCheck:
    """What became of the photos of a table.

    Attributes:
        photos: How many there are in the table.
        missing: Photos that are not on the disk, in table order.
        broken: Photos that cannot be read, and the reason.
    """

    photos: int
    missing: tuple[Path, ...]
    broken: tuple[tuple[Path, str], ...]

    @property
    def usable(self) -> int:
        """How many photos are there and can be read."""
        return self.photos - len(self.missing) - len(self.broken)

    def lines(self) -> list[str]:
        """Counts, and the names of a few photos of each kind."""
        lines = [f"{self.usable} of {self.photos} photos can be read"]
        if self.missing:
            lines.append(f"{len(self.missing)} are missing: {name_some(self.missing)}")
        if self.broken:
            reasons = [reason for _, reason in self.broken]
            lines.append(f"{len(self.broken)} are broken: {name_some(reasons)}")
        return lines


def check_photos(
    table: RatingTable,
    *,
    threads: int = 4,
    report: Callable[[int, int], None] | None = None,
) -> PhotoCheck:
    """Read every photo once, and say which are missing or broken.

    Args:
        table: The photos.
        threads: Photos read at a time.
        report: Called with photos done and photos in all.
    """
    missing = set(table.missing_photos())
    present = [path for path in table.paths if path not in missing]
    broken: list[tuple[Path, str]] = []
    for done, problem in enumerate(map_in_order(_problem, present, workers=threads), start=1):
        if problem is not None:
            broken.append((present[done - 1], problem))
        if report:
            report(done, len(present))
    return PhotoCheck(
        len(table), tuple(path for path in table.paths if path in missing), tuple(broken)
    )


def usable_photos(table: RatingTable, check: PhotoCheck) -> RatingTable:
    """The table without the photos that a check found missing or broken."""
    unusable = {*check.missing, *(path for path, _ in check.broken)}
    return table.select([i for i, path in enumerate(table.paths) if path not in unusable])


def _problem(path: Path) -> str | None:
    try:
        read_photo(path, min_short_side_px=_CHECK_SIDE_PX)
    except PhotoError as error:
        return str(error)
    return None


CROSSING_COLUMNS = ("split", "photo", "other_split", "other_photo")


def table_of_folder(folder: Path) -> RatingTable:
    """All photos of a folder, recursively; each is in the split that its first subfolder names.

    Nobody has rated them, so all have one mean.

    Raises:
        TableError: There is no photo.
    """
    paths = find_photos([folder]).paths
    if not paths:
        raise TableError(f"{folder}: no photo in it")
    inside = [path.relative_to(folder).parts for path in paths]
    splits = tuple(split_name(parts[0]) if len(parts) > 1 else "" for parts in inside)
    scenes = tuple(map(str, paths))
    return RatingTable(paths=paths, mos=np.ones(len(paths)), scenes=scenes, splits=splits)


@dataclass(frozen=True, slots=True)
class SetCheck:
    """What a check found.

    Attributes:
        check: What became of the photos.
        pairs: Pairs of near-copies, in one split or across.
        crossing: Split and photo of the one, split and photo of the other, per pair that crosses.
        leaks: How many photos of each split have a near-copy in another.
    """

    check: PhotoCheck
    pairs: int
    crossing: tuple[tuple[str, Path, str, Path], ...]
    leaks: tuple[Leak, ...]

    @property
    def passed(self) -> bool:
        """Whether every photo can be read and no near-copies cross."""
        return self.check.usable == self.check.photos and not self.crossing

    def describe(self) -> str:
        """The findings, a line each."""
        near = f"{self.pairs} pairs of near-copies, {len(self.crossing)} across splits"
        return "\n".join([*self.check.lines(), near, *map(str, self.leaks)])


def check_set(
    table: RatingTable, *, threads: int = 4, report: Callable[[int, int], None] | None = None
) -> SetCheck:
    """Read all photos and look for near-copies that cross from one split to another.

    Args:
        table: The photos; their ratings do not matter.
        threads: Photos read at a time.
        report: Called with photos done and photos in all.
    """
    paths, splits = table.paths, table.splits
    there = np.array([path.is_file() for path in paths], dtype=bool)
    rows = np.flatnonzero(there)
    signatures = read_signatures([paths[row] for row in rows], threads=threads, report=report)
    pairs = rows[near_copies(signatures)]
    missing = tuple(paths[row] for row in np.flatnonzero(~there))
    broken = tuple((paths[rows[number]], reason) for number, reason in signatures.unreadable)
    crossing = crossing_pairs(pairs, splits)
    return SetCheck(
        check=PhotoCheck(len(paths), missing, broken),
        pairs=len(pairs),
        crossing=tuple((splits[a], paths[a], splits[b], paths[b]) for a, b in crossing.tolist()),
        leaks=measure_leaks(pairs, splits, table.subsets),
    )


def crossing_lines(crossing: Sequence[tuple[str, Path, str, Path]], limit: int) -> list[str]:
    """The first crossing pairs for a person to read, and how many more there are."""
    lines = [
        f"{split}: {photo}  ~  {other_split}: {other}"
        for split, photo, other_split, other in crossing[:limit]
    ]
    more = len(crossing) - limit
    return [*lines, f"... and {more} more pairs"] if more > 0 else lines
