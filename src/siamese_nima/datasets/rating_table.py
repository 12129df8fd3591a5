"""The rating table: photos, what people thought of them, and which photos belong together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_nima.csv_rows import spellings
from siamese_nima.errors import TableError, name_some
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.formats import PHOTO_EXTENSIONS
from siamese_nima.photos.shots import folded
from siamese_nima.ratings import (
    AVA_SCALE,
    RatingScale,
    distribution_from_mos,
    distribution_from_votes,
    map_distribution,
    map_mean,
    spread_limits,
)
from siamese_nima.ratings import spread as vote_spread

Floats = NDArray[np.float64]

_ROUNDING = 0.05  # of published spreads and means


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RatingTable:
    """Photos with their ratings, one row per photo.

    Attributes:
        paths: Where the photos lie, N of them, each once.
        mos: Shape (N,), mean opinion scores on `scale`; higher is better.
        scale: The scale people rated on. A set that publishes scores of 0..1 has RatingScale(0, 1).
        votes: Shape (N, K), vote counts per grade of `scale`, or their shares, or None where only
            means are known.
        spread: Shape (N,), standard deviations of the votes in points of `scale`, or None.
        raters: Shape (N,), how many people rated each photo, or None; with `votes` not needed.
        scenes: Per photo, the group of near-copies it belongs to; its own name where it has none.
            A split must keep a scene on one side.
        subsets: Per photo, the part of the data set it comes from; "" where there are no parts.
        splits: Per photo "train", "val", "test", or "" where the set is not split.

    Raises:
        TableError: Columns differ in length, a photo appears twice, a score lies outside the scale,
            or a scene is in two splits.
    """

    paths: tuple[Path, ...]
    mos: Floats
    scale: RatingScale = AVA_SCALE
    votes: Floats | None = None
    spread: Floats | None = None
    raters: Floats | None = None
    scenes: tuple[str, ...] = ()
    subsets: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.paths)
        object.__setattr__(self, "mos", np.asarray(self.mos, dtype=np.float64))
        for name, default in (
            ("scenes", tuple(path.stem for path in self.paths)),
            ("subsets", ("",) * count),
            ("splits", ("",) * count),
        ):
            object.__setattr__(self, name, tuple(getattr(self, name)) or default)
        _check_lengths(self, count)
        _check_unique(self.paths)
        if self.raters is not None and not np.all(self.raters >= 1):
            raise TableError(f"every photo needs a rater, one has {np.min(self.raters):g}")
        outside = ~((self.mos >= self.scale.low) & (self.mos <= self.scale.high))
        if np.any(outside):
            i = int(np.flatnonzero(outside)[0])
            raise TableError(
                f"{self.paths[i].name}: score {self.mos[i]:g} is outside the scale {self.scale}"
            )
        _check_scenes(self.scenes, self.splits)

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, rows: ArrayLike) -> RatingTable:
        """The rows with these indices, in this order, or those that a boolean mask keeps."""
        index = np.arange(len(self))[np.asarray(rows)]
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: taken(column, index) for name, column in columns.items()})

    def split(self, name: str) -> RatingTable:
        """The photos of one split, by its name in upper or lower case.

        Raises:
            TableError: No photo is in that split.
        """
        mask = np.array([split.casefold() == name.casefold() for split in self.splits])
        if not mask.any():
            known = sorted(set(self.splits) - {""})
            raise TableError(f"no photo is in split {name!r}; splits are {known or 'not given'}")
        return self.select(mask)

    def means(self, scale: RatingScale) -> Floats:
        """Shape (N,), the mean opinion scores at their relative position of another scale."""
        return map_mean(self.mos, self.scale, scale)

    def distributions(self, scale: RatingScale) -> Floats:
        """What a network is trained on: rating distributions on `scale`, shape (N, K).

        From votes where there are votes; else of maximum entropy for the mean and, where known, the
        spread.

        Raises:
            TableError: A spread larger than any distribution with that mean has. A smaller one than
            whole grades can have is raised to theirs.
        """
        if self.votes is not None:
            shares = distribution_from_votes(self.votes, self.scale)
            return shares if scale == self.scale else map_distribution(shares, self.scale, scale)
        means = self.means(scale)
        if self.spread is None:
            return distribution_from_mos(means, scale)
        factor = (scale.high - scale.low) / (self.scale.high - self.scale.low)
        spread = self.spread * factor
        least, most = spread_limits(means, scale)
        if np.any(wide := spread > most * (1 + _ROUNDING) + _ROUNDING * factor):
            i = int(np.flatnonzero(wide)[0])
            raise TableError(
                f"{self.paths[i].name}: ratings on {self.scale} with the mean {self.mos[i]:g} have "
                f"a standard deviation of at most {most[i] / factor:.3g}, not {self.spread[i]:g}"
            )
        # Of raters who agree, between two grades of another scale, or with fractions of grades.
        return distribution_from_mos(means, scale, spread=np.clip(spread, least, most))

    def standard_errors(self, scale: RatingScale) -> Floats | None:
        """Shape (N,), standard errors of the mean opinion scores in points of another scale.

        From votes, or from spread and number of raters; None where neither is known. A panel that
        agrees is not certain for that: one further vote, a grade off, is added to each.
        """
        spread, raters = self.spread, self.rater_counts()
        if self.votes is not None:
            spread = vote_spread(distribution_from_votes(self.votes, self.scale), self.scale)
        if spread is None or raters is None:
            return None
        factor = (scale.high - scale.low) / (self.scale.high - self.scale.low)
        widened = np.sqrt((raters * spread**2 + 1) / (raters + 1))
        return np.asarray(factor * widened / np.sqrt(raters))

    def rater_counts(self) -> Floats | None:
        """Shape (N,), how many people rated each photo; None where that is not known.

        Votes that are shares of one say nothing about it.
        """
        if self.votes is None or self.raters is not None:
            return self.raters
        counts = self.votes.sum(axis=1)
        shares = np.any(self.votes != np.floor(self.votes)) and np.allclose(counts, 1)
        return None if shares else counts

    @property
    def ratings_differ(self) -> bool:
        """Whether there is anything to learn: not all photos have the same mean."""
        width = self.scale.high - self.scale.low
        return len(self) < 2 or bool(np.ptp(self.mos) > 1e-9 * width)  # more than rounding

    def missing_photos(self) -> tuple[Path, ...]:
        """The photos that are not there, in table order."""
        return tuple(path for path in self.paths if not path.is_file())

    def require_photos(self) -> None:
        """Stop unless every photo is there.

        Raises:
            TableError: Names the first missing photos and says how many there are.
        """
        if missing := self.missing_photos():
            raise TableError(
                f"{len(missing)} of {len(self)} photos are missing: {name_some(missing)}. "
                "Check the folder, or leave them out (--skip-unreadable, RatingTable.select)."
            )

    def fingerprint(self) -> str:
        """SHA-256 over the set of photo contents; order, names and ratings do not matter.

        Two tables with the same photos have the same fingerprint wherever the photos lie.

        Raises:
            TableError: A photo is missing.
        """
        return fingerprint_of(photo_hashes(self))


def taken(column: Any, index: NDArray[np.intp]) -> Any:
    """Some values of a column, by row; what is no column, such as a scale, stays."""
    if isinstance(column, tuple):
        return tuple(column[row] for row in index)
    return column[index] if isinstance(column, np.ndarray) else column


def photo_hashes(table: RatingTable) -> tuple[str, ...]:
    """SHA-256 of each photo file's bytes, in table order.

    Raises:
        TableError: A photo is missing.
    """
    table.require_photos()
    return tuple(map(file_hash, table.paths))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    found = path.stat()
    return _file_hash(path, found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=1 << 20)
def _file_hash(path: Path, *state: int) -> str:
    """SHA-256 of a file, read once as long as it is the same file."""
    del state
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(hashes: Iterable[str]) -> str:
    """One SHA-256 for a set of photo hashes, in whatever order they come."""
    return hashlib.sha256("\n".join(sorted(set(hashes))).encode()).hexdigest()


def photo_paths(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Where photos of these names lie below a folder, in order.

    Label files disagree with the disk in upper and lower case, composed and decomposed letters and
    separators, and some name photos without the ending or by number; a name with a photo's ending
    matches whatever its case, any other also the only photo of that stem. A name without a folder
    is looked for in all folders below, too. A photo that is not there keeps the path under which
    it was wanted.

    Raises:
        TableError: Folders below have several photos of such a name.
    """
    places = _Places(folder)
    return tuple(map(places.path, names))


class _Places:
    """Finds photos by what a table calls them; each folder is listed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listings: dict[str, _Listing] = {}

    def path(self, name: str) -> Path:
        for spelling in spellings(name):
            inside, last = os.path.split(spelling)
            if inside not in self._listings:
                parent = self._folder / inside
                present = sorted(parent.iterdir()) if parent.is_dir() else []
                self._listings[inside] = _Listing(present)
            if len(found := self._listings[inside].find(last)) == 1:
                return found[0]
        deeper = self._below and not ("/" in name or "\\" in name)
        return self._deeper(name) if deeper else self._folder / name

    def _deeper(self, name: str) -> Path:
        for spelling in spellings(name):
            found = self._below.find(spelling)
            if len(found) > 1:
                raise TableError(
                    f"{name}: several photos are called so, {name_some(found)}; the table must say "
                    f"which, by its path below {self._folder}"
                )
            if found:
                return found[0]
        return self._folder / name

    @cached_property
    def _below(self) -> _Listing:
        found = find_photos([self._folder]).paths if self._folder.is_dir() else ()
        return _Listing(path for path in found if path.parent != self._folder)


class _Listing:
    def __init__(self, present: Iterable[Path]) -> None:
        self._exact: dict[str, list[Path]] = {}
        self._alike: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in present:
            self._exact.setdefault(path.name, []).append(path)
            self._alike.setdefault(folded(path.name), []).append(path)
            if path.suffix.lower() in PHOTO_EXTENSIONS:
                self._by_stem.setdefault(folded(path.stem), []).append(path)

    def __len__(self) -> int:
        return len(self._exact)

    def find(self, name: str) -> Sequence[Path]:
        """What the name means: itself, in another case, or, without an ending, a stem."""
        if found := self._exact.get(name) or self._alike.get(folded(name)):
            return found
        has_ending = name.lower().endswith(tuple(PHOTO_EXTENSIONS))
        return () if has_ending else self._by_stem.get(folded(name), ())


def _check_lengths(table: RatingTable, count: int) -> None:
    for field in fields(table):
        values = getattr(table, field.name)
        if field.name in ("paths", "scale") or values is None:
            continue
        if len(values) != count:
            raise TableError(f"{count} photos have {len(values)} {field.name}")
    if table.votes is not None and table.votes.shape != (count, table.scale.size):
        raise TableError(
            f"votes on the scale {table.scale} have shape ({count}, {table.scale.size}), "
            f"got {table.votes.shape}"
        )


def _check_unique(paths: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise TableError(f"{path} appears twice in the rating table")
        seen.add(path)


def _check_scenes(scenes: Sequence[str], splits: Sequence[str]) -> None:
    split_of: dict[str, str] = {}
    for scene, split in zip(scenes, splits, strict=True):
        # A photo that is yet to be divided is in no split.
        if split and split_of.setdefault(scene, split) != split:
            raise TableError(
                f"scene {scene!r} is in two splits, {split_of[scene]!r} and {split!r}: near-copies "
                "of training photos would be tested on"
            )
