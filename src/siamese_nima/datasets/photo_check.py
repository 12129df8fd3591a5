"""Which photos of a rating table cannot be used, and why."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.datasets.rating_table import RatingTable, name_some
from siamese_nima.errors import PhotoError
from siamese_nima.photos.read import read_photo

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

    def describe(self) -> str:
        """Counts, and the names of a few photos of each kind."""
        text = f"{self.usable} of {self.photos} photos are usable"
        if self.missing:
            text += f"; {len(self.missing)} are missing: {name_some(self.missing)}"
        if self.broken:
            reasons = [reason for _, reason in self.broken]
            text += f"; {len(self.broken)} cannot be read: {name_some(reasons)}"
        return text


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
    with ThreadPoolExecutor(threads) as pool:
        for done, problem in enumerate(pool.map(_problem, present), start=1):
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
