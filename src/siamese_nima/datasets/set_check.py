"""What is wrong with a set of photos before anything is trained or judged with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.datasets.near_copies import Leak, crossing_pairs, measure_leaks, near_copies
from siamese_nima.datasets.rating_table import RatingTable, name_some
from siamese_nima.errors import TableError
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.signatures import read_signatures

CROSSING_COLUMNS = ("split", "photo", "other_split", "other_photo")


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Photos with the split and subset of each, "" where there is none; ratings do not matter."""

    paths: tuple[Path, ...]
    splits: tuple[str, ...]
    subsets: tuple[str, ...]

    @classmethod
    def of_table(cls, table: RatingTable) -> PhotoSet:
        """The photos of a rating table."""
        return cls(table.paths, table.splits, table.subsets)

    @classmethod
    def of_folder(cls, folder: Path) -> PhotoSet:
        """All photos of a folder, recursively; each is in the split that its first subfolder names.

        Raises:
            TableError: There is no photo.
        """
        paths = find_photos([folder]).paths
        if not paths:
            raise TableError(f"{folder}: no photo in it")
        inside = [path.relative_to(folder).parts for path in paths]
        splits = tuple(parts[0] if len(parts) > 1 else "" for parts in inside)
        return cls(paths, splits, ("",) * len(paths))


@dataclass(frozen=True, slots=True)
class SetCheck:
    """What a check found.

    Attributes:
        photos: How many photos there are in all.
        missing: Photos that are not on the disk.
        unreadable: Why each photo that is there cannot be read.
        pairs: Pairs of near-copies, in one split or across.
        crossing: Split and photo of the one, split and photo of the other, per pair that crosses.
        leaks: How many photos of each split have a near-copy in another.
    """

    photos: int
    missing: tuple[Path, ...]
    unreadable: tuple[str, ...]
    pairs: int
    crossing: tuple[tuple[str, Path, str, Path], ...]
    leaks: tuple[Leak, ...]

    @property
    def passed(self) -> bool:
        """Whether every photo can be read and no near-copies cross."""
        return not (self.missing or self.unreadable or self.crossing)

    def describe(self) -> str:
        """The findings, a line each."""
        usable = self.photos - len(self.missing) - len(self.unreadable)
        lines = [f"{usable} of {self.photos} photos can be read"]
        if self.missing:
            lines.append(f"{len(self.missing)} are missing: {name_some(self.missing)}")
        if self.unreadable:
            lines.append(f"{len(self.unreadable)} are broken: {name_some(self.unreadable)}")
        lines.append(f"{self.pairs} pairs of near-copies, {len(self.crossing)} across splits")
        return "\n".join([*lines, *map(str, self.leaks)])


def check_set(
    photo_set: PhotoSet, *, threads: int = 4, report: Callable[[int, int], None] | None = None
) -> SetCheck:
    """Read all photos and look for near-copies that cross from one split to another.

    Args:
        photo_set: The photos.
        threads: Photos read at a time.
        report: Called with photos done and photos in all.
    """
    paths, splits = photo_set.paths, photo_set.splits
    signatures = read_signatures(paths, threads=threads, report=report)
    pairs = near_copies(signatures)
    missing = tuple(path for path in paths if not path.is_file())
    crossing = crossing_pairs(pairs, splits)
    return SetCheck(
        photos=len(paths),
        missing=missing,
        unreadable=tuple(
            reason for row, reason in signatures.unreadable if paths[row] not in set(missing)
        ),
        pairs=len(pairs),
        crossing=tuple((splits[a], paths[a], splits[b], paths[b]) for a, b in crossing.tolist()),
        leaks=measure_leaks(pairs, splits, photo_set.subsets),
    )


def crossing_lines(crossing: Sequence[tuple[str, Path, str, Path]], limit: int) -> list[str]:
    """The first crossing pairs for a person to read, and how many more there are."""
    lines = [
        f"{split}: {photo}  ~  {other_split}: {other}"
        for split, photo, other_split, other in crossing[:limit]
    ]
    more = len(crossing) - limit
    return [*lines, f"... and {more} more pairs"] if more > 0 else lines
