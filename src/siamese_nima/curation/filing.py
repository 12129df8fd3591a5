"""Copy photos into a folder, or move them into one; nothing is ever deleted."""

from __future__ import annotations

import errno
import filecmp
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from siamese_nima.atomic_write import copy_whole, put_in_place, remove_file
from siamese_nima.curation.bursts import Burst, keepers
from siamese_nima.curation.journal import Journal, read_journal
from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.photos.shots import FilesOfShots
from siamese_nima.scoring.results import ScoredPhoto

_HEADER = {"what": "siamese-nima bursts, undo log", "format": 1}
_KEYS = ({"copied", "from"}, {"moved", "from"})


@dataclass(frozen=True, slots=True)
class Filed:
    """A file that is copied or moved.

    Attributes:
        how: Which of the two, or what undoing did: "put back", "removed", or "untouched" where it
            is as before already.
        source: Where it is.
        target: Where it goes.
        error: Why it was left where it is.
    """

    how: Literal["copy", "move", "put back", "removed", "untouched"]
    source: Path
    target: Path
    error: str | None = None


class FilingLog(Journal):
    """What was copied and moved; `undo_filing` puts it back."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _HEADER)


def plan_filing(
    photos: Sequence[str],
    *,
    copy: Collection[str] = (),
    copy_to: Path | None = None,
    move: Collection[str] = (),
    move_to: Path | None = None,
    apart: bool = False,
) -> list[Filed]:
    """Decide which files go where; nothing is written.

    With a photo go the other files of its shot, such as its camera raw file, and the sidecars. What
    it shares with a photo that stays, such as a sidecar, stays. Below the new folder everything is
    as it was below the folder that all photos have in common. Copies that are there already are
    not made again.

    Args:
        photos: Paths of all photos.
        copy: Those to copy.
        copy_to: Where to; None copies nothing.
        move: Those to move.
        move_to: Where to; None moves nothing.
        apart: The photos alone.

    Raises:
        ConfigError: Both folders are one.
        NimaError: A file of another content has the name of one to be made; or a folder cannot be
            read.
    """
    if copy_to is not None and move_to is not None and _real(copy_to) == _real(move_to):
        raise ConfigError(f"{copy_to}: the best and the rest need a folder each")
    copied, moved = set(copy), set(move)
    belonging = FilesOfShots()

    def files(path: str) -> list[Path]:
        return [Path(path)] if apart else belonging.of(Path(path))

    try:
        start = _common_folder(photos)
        stay = {_real(file) for path in photos if path not in moved for file in files(path)}
        plan = [
            *(Filed("copy", f, copy_to / _below(f, start))
              for path in photos if copy_to and path in copied for f in files(path)),
            *(Filed("move", f, move_to / _below(f, start))
              for path in photos if move_to and path in moved for f in files(path)
              if _real(f) not in stay),
        ]  # fmt: skip
        return _checked(plan)
    except OSError as error:
        raise NimaError(f"{error.filename}: cannot be read ({error.strerror})") from error


def plan_filing_of_bursts(
    results: Sequence[ScoredPhoto],
    bursts: Sequence[Burst],
    *,
    best_to: Path | None = None,
    rest_to: Path | None = None,
    apart: bool = False,
) -> list[Filed]:
    """The same by bursts.

    Args:
        results: All photos.
        bursts: As `group_bursts` finds them.
        best_to: Copy the best photo of each burst and all photos in none there.
        rest_to: Move the others of each burst there.
        apart: The photos alone.
    """
    kept = {photo.path for photo in keepers(results, bursts)}
    rest = [photo.path for burst in bursts for photo in burst.photos if photo.path not in kept]
    return plan_filing(
        [photo.path for photo in results],
        copy=kept,
        copy_to=best_to,
        move=rest,
        move_to=rest_to,
        apart=apart,
    )


def file_photos(plan: Iterable[Filed], log: FilingLog) -> Iterator[Filed]:
    """Do what `plan_filing` plans, one file at a time.

    Yields:
        Every file, with an error if it could not be copied or moved; it is where it was then.

    Raises:
        NimaError: The log cannot be written.
    """
    for filed in plan:
        key = "copied" if filed.how == "copy" else "moved"
        log.add({key: str(filed.target.absolute()), "from": str(filed.source.absolute())})
        try:
            filed.target.parent.mkdir(parents=True, exist_ok=True)
            if filed.how == "copy":
                _copy(filed.source, filed.target)
            else:
                _move(filed.source, filed.target)
        except (OSError, NimaError) as error:
            yield replace(filed, error=f"{filed.source}: not {key} ({error})")
            continue
        yield filed


def undo_filing(log: Path) -> Iterator[Filed]:
    """Put files back where they were before the run that wrote `log`, the last one first.

    Copies are removed if they are still what they are copies of. What cannot be put back without
    overwriting is left where it is, and is an error.

    Raises:
        NimaError: The log cannot be read or is none.
    """
    for line in reversed(read_journal(log, _HEADER, _KEYS, "nima bursts")):
        source = Path(line["from"])
        target = Path(line["copied"] if "copied" in line else line["moved"])
        try:
            undo = _remove_copy if "copied" in line else _put_back
            yield Filed(undo(source, target), target, source)
            with suppress(OSError):  # not empty: others have put something there
                target.parent.rmdir()
        except (OSError, NimaError) as error:
            yield Filed("untouched", target, source, error=f"{target}: not put back ({error})")


def _remove_copy(source: Path, copy: Path) -> Literal["removed", "untouched"]:
    if not copy.exists():
        return "untouched"
    if not source.exists() or not filecmp.cmp(source, copy, shallow=False):
        raise NimaError("it is no longer what it is a copy of")
    remove_file(copy)
    return "removed"


def _put_back(source: Path, moved: Path) -> Literal["put back", "untouched"]:
    if not moved.exists() and source.exists():
        return "untouched"
    source.parent.mkdir(parents=True, exist_ok=True)
    _move(moved, source)
    return "put back"


def _copy(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise NimaError(f"{target} exists")
    copy_whole(source, target)


def _move(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise NimaError(f"{target} exists")
    try:
        put_in_place(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another disk: the file is gone here only when it is whole there.
        _copy(source, target)
        if not filecmp.cmp(source, target, shallow=False):
            raise NimaError(f"{target} is not the same after copying") from error
        remove_file(source)


def _checked(plan: Sequence[Filed]) -> list[Filed]:
    """Without what is there already; raises `NimaError` where two files would have one name."""
    wanted: dict[Path, Filed] = {}
    for filed in plan:
        other = wanted.get(filed.target)
        if other is not None and other.source != filed.source:
            raise NimaError(f"{filed.target}: both {other.source} and {filed.source} would be it")
        if not os.path.lexists(filed.target):
            wanted[filed.target] = filed
        elif filed.how == "move" or not filecmp.cmp(filed.source, filed.target, shallow=False):
            raise NimaError(f"{filed.target}: another file exists already; give a new folder")
    return list(wanted.values())


def _common_folder(paths: Iterable[str]) -> str:
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}  # noqa: PTH100, PTH120
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # several drives
        return ""


def _below(file: Path, start: str) -> Path:
    """A file's place below a folder; its name alone where it is not below it."""
    absolute = Path(os.path.abspath(file))  # noqa: PTH100 -- links stay as they are
    return (
        absolute.relative_to(start) if start and absolute.is_relative_to(start) else Path(file.name)
    )


def _real(path: Path) -> str:
    return os.path.realpath(path)
