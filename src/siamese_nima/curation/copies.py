"""Copies of the best photos in a folder, under names that begin with their rank."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.atomic_write import copy_whole, remove_file
from siamese_nima.errors import NimaError
from siamese_nima.photos.shots import FilesOfShots
from siamese_nima.printable import counted
from siamese_nima.scoring.results import ScoredPhoto

_LONGEST_NAME = 255  # bytes that file systems allow
_RANKED_NAME = re.compile(r"\d{4,}-(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """What copying ranked photos into a folder would do.

    Attributes:
        folder: Made if missing.
        copies: All copies, best first.
        missing: Those still to be made, each after its photo.
        stale: Copies that an earlier run made and that are not among these. The photo of each is
            there with the same bytes, so that nothing is lost with them.
        other: Files named like copies that are of no photo that was ranked; they stay.
    """

    folder: Path
    copies: tuple[Path, ...]
    missing: tuple[tuple[Path, Path], ...]
    stale: tuple[Path, ...] = ()
    other: tuple[Path, ...] = ()

    def write(self, *, replace: bool = False) -> None:
        """Remove the stale copies and make the missing ones; each appears complete or not at all.

        Raises:
            NimaError: There are stale copies, and `replace` is not set; or a copy cannot be
                written, then the message says how far it came.
        """
        if self.stale and not replace:
            raise NimaError(
                f"{self.folder}: has {counted(len(self.stale), 'copy', 'copies')} of an earlier "
                f"ranking, such as {self.stale[0].name}. Nothing is copied: give --replace-copies "
                "to replace exactly these, or another folder"
            )
        done = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for copy in self.stale:
                remove_file(copy)
            for source, copy in self.missing:
                copy_whole(source, copy)
                done += 1
        except (OSError, NimaError) as error:
            raise NimaError(
                f"{self.folder}: {done} of {len(self.missing)} copies made, then it could not be "
                f"written ({error}). The same command goes on from there."
            ) from error


def plan_copies(
    best: Iterable[ScoredPhoto],
    folder: str | os.PathLike[str],
    *,
    among: Iterable[ScoredPhoto] = (),
    apart: bool = False,
) -> CopyPlan:
    """Decide everything before the first copy is made.

    With a photo go the other files of its shot, such as its camera raw file, and the sidecars.

    Args:
        best: The photos to copy, best first; photos without a score are left out.
        folder: Where they are to go. A copy that is there already stays, from an earlier run that
            was cut short perhaps; another file under its name is never overwritten.
        among: All photos that were ranked, to know copies of an earlier ranking by.
        apart: Copy the photos alone.

    Raises:
        NimaError: Another file has the name of a copy, or a photo or the folder cannot be read.
    """
    target = Path(folder)
    belonging = FilesOfShots()

    def files_of(result: ScoredPhoto) -> list[Path]:
        photo = Path(result.path)
        return [photo] if apart or not photo.exists() else belonging.of(photo)

    try:
        shots = [files_of(result) for result in best if result.score is not None]
        sources = [path for files in shots for path in files]
        copies = [
            target / copy_name(rank, path.name)
            for rank, files in enumerate(shots, start=1)
            for path in files
        ]
        there = [path for path in _ranked_files(target) if path not in set(copies)]
        photos = _by_name([*sources, *(path for result in among for path in files_of(result))])
        stale = [path for path in there if _is_copy(path, photos)]
        missing, displaced = [], []
        for source, copy in zip(sources, copies, strict=True):
            if not os.path.lexists(copy):
                missing.append((source, copy))
            elif not _same(source, copy):
                if not _is_copy(copy, photos):
                    raise NimaError(
                        f"{copy}: another file exists already; give an empty or a new folder"
                    )
                displaced.append(copy)
                missing.append((source, copy))
    except OSError as error:
        raise NimaError(f"{target}: the copies cannot be written ({error})") from error
    return CopyPlan(
        folder=target,
        copies=tuple(copies),
        missing=tuple(missing),
        stale=(*stale, *displaced),
        other=tuple(path for path in there if path not in set(stale)),
    )


def copy_ranked(
    best: Iterable[ScoredPhoto],
    folder: str | os.PathLike[str],
    *,
    among: Iterable[ScoredPhoto] = (),
    replace: bool = False,
    apart: bool = False,
) -> list[Path]:
    """Copy ranked photos into a folder under names that begin with the rank, "0001-beach.jpg".

    Args:
        best: As `plan_copies` takes it, like `folder` and `among`.
        folder: Where they go.
        among: All photos that were ranked.
        replace: Remove the copies of earlier runs that are not among these.
        apart: Copy the photos alone.

    Returns:
        The copies, best first.

    Raises:
        NimaError: Another file has the name of a copy, there are copies of an earlier run and
            `replace` is not set, or the folder cannot be written.
    """
    plan = plan_copies(best, folder, among=among, apart=apart)
    plan.write(replace=replace)
    return list(plan.copies)


def copy_name(rank: int, name: str) -> str:
    """The name of a copy: the rank before the photo's name, which is shortened if need be.

    >>> copy_name(7, "beach.jpg")
    '0007-beach.jpg'
    """
    start = f"{rank:04d}-"
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 -- of a name, not of a path
    while stem and len(os.fsencode(f"{start}{stem}{suffix}")) > _LONGEST_NAME:
        stem = stem[:-1]
    return f"{start}{stem}{suffix}"


def _ranked_files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if _RANKED_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            yield path


def _by_name(photos: Iterable[Path]) -> dict[str, set[Path]]:
    found: dict[str, set[Path]] = {}
    for photo in photos:
        found.setdefault(copy_name(1, photo.name).partition("-")[2], set()).add(photo)
    return found


def _is_copy(path: Path, photos: Mapping[str, Iterable[Path]]) -> bool:
    """Whether a file is a copy of one of these photos: its name after a rank, and its bytes."""
    named = _RANKED_NAME.fullmatch(path.name)
    if named is None or path.is_symlink() or not path.is_file():
        return False
    return any(photo != path and _same(photo, path) for photo in photos.get(named[1], ()))


def _same(photo: Path, copy: Path) -> bool:
    try:
        return filecmp.cmp(photo, copy, shallow=False)
    except FileNotFoundError:
        return False
