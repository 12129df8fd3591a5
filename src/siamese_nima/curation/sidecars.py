"""XMP sidecars on disk: where they are, and writing them so that all can be put back."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from siamese_nima.atomic_write import remove_file, unfinished, write_whole
from siamese_nima.curation.journal import Journal, read_journal
from siamese_nima.errors import SidecarError
from siamese_nima.photos.formats import PHOTO_EXTENSIONS
from siamese_nima.photos.shots import Listing, folded
from siamese_nima.printable import printable

# "full": photo.jpg.xmp (darktable, digiKam). "stem": photo.xmp (Adobe), which all files of that
# stem share, such as a raw file and its JPEG.
Naming = Literal["auto", "full", "stem"]

_SUFFIX = ".xmp"
_LARGEST = 256 << 20  # bytes of a sidecar, or of a JPEG file that is written to


class Folder(Listing):
    """The names in one folder, and the sidecars among them.

    Attributes:
        naming: The convention that most of its sidecars follow; "full" where there are none.
    """

    def __init__(self, path: Path) -> None:
        """List a folder.

        Raises:
            SidecarError: It cannot be listed.
        """
        try:
            super().__init__(path)
        except OSError as error:
            raise SidecarError(f"{path}: cannot be listed ({error.strerror})") from error
        names = {folded(name) for name in self.names}
        self._stems = {_stem(name) for name in self.names if _is_photo(name)}
        stems = {folded(stem) for stem in self._stems}
        sidecars = [folded(_stem(name)) for name in self.names if name.lower().endswith(_SUFFIX)]
        full = sum(stem in names for stem in sidecars)
        by_stem = sum(stem in stems and stem not in names for stem in sidecars)
        self.naming: Naming = "stem" if by_stem > full else "full"

    def sidecars(self, photo: str) -> dict[Naming, Path]:
        """The sidecars that a photo has, by convention.

        Raises:
            SidecarError: It has two that only differ in how they are spelled.
        """
        found: dict[Naming, Path] = {}
        if name := self._existing(photo, self.names):
            found["full"] = self.path / name
        if name := self._existing(_stem(photo), self._stems):
            found["stem"] = self.path / name
        return found

    def sidecar(self, photo: str, naming: Naming) -> Path:
        """The sidecar to use for a photo; it need not exist yet.

        Raises:
            SidecarError: It has one of each kind, and `naming` does not choose.
        """
        existing = self.sidecars(photo)
        if naming == "auto":
            if len(existing) > 1:
                advice = "; choose one kind: full or stem"
                raise _two_sidecars(self.path / photo, existing.values(), advice)
            naming = next(iter(existing), self.naming)
        name = f"{photo if naming == 'full' else _stem(photo)}{_SUFFIX}"
        return existing.get(naming, self.path / name)

    def _existing(self, base: str, others: Collection[str]) -> str | None:
        """The sidecar of the photo or stem `base`, in whatever spelling.

        Args:
            base: As it is spelled on the disk.
            others: All photos or stems: a sidecar is of the one that is spelled as it is.
        """
        found = self.alike(base + _SUFFIX)
        own = [name for name in found if _stem(name) == base or _stem(name) not in others]
        if len(own) > 1:
            raise _two_sidecars(self.path / base, map(Path, own), "; remove one")
        return own[0] if own else None


def _two_sidecars(photo: Path, sidecars: Iterable[Path], advice: str) -> SidecarError:
    both = " and ".join(printable(path.name) for path in sidecars)
    return SidecarError(f"{photo}: has two sidecars, {both}{advice}")


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 -- a name, not a path


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_EXTENSIONS  # noqa: PTH122


_HEADER = {"what": "siamese-nima stars, undo log", "format": 1}
_KEYS = {"sidecar", "before", "after"}
# Of a photo only the bytes that changed are kept, and how to know the whole.
_PHOTO_KEYS = {"photo", "at", "before", "length", "was", "after"}


def read_sidecar(path: Path) -> bytes | None:
    """The bytes of a sidecar; None where there is none.

    Raises:
        SidecarError: It is a link, not a regular file, or cannot be read.
    """
    try:
        if path.is_symlink():
            raise SidecarError(
                f"{path}: a link, which writing would replace. Rate the photo beside the real one."
            )
        if not path.exists():
            return None
        if not path.is_file():
            raise SidecarError(f"{path}: not a regular file")
        if path.stat().st_size > _LARGEST:
            raise SidecarError(f"{path}: more than {_LARGEST >> 20} MB, too large to be rated")
        return path.read_bytes()
    except OSError as error:
        raise SidecarError(f"{path}: cannot be read ({error.strerror or error})") from error


class UndoLog(Journal):
    """What each sidecar or photo was before stars were written; `undo_stars` puts it back."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(Path(path), _HEADER)

    def write(self, sidecar: Path, before: bytes | None, after: bytes) -> None:
        """Replace the content of a sidecar or photo, or make a new sidecar.

        Raises:
            SidecarError: It has changed since `before` was read, or cannot be written.
            NimaError: The log exists already, or cannot be written; no sidecar has changed then.
        """
        if read_sidecar(sidecar) != before:
            raise SidecarError(f"{sidecar}: changed while stars were given; run again")
        if before is not None and sidecar.suffix.lower() in PHOTO_EXTENSIONS:
            self.add(_photo_line(sidecar, before, after))
        else:
            self.add(
                {
                    "sidecar": str(sidecar.absolute()),
                    "before": None if before is None else base64.b64encode(before).decode(),
                    "after": hashlib.sha256(after).hexdigest(),
                }
            )
        write_whole(sidecar, after, SidecarError)


@dataclass(frozen=True, slots=True)
class Undone:
    """What undoing did to one sidecar or photo.

    Attributes:
        sidecar: Its path.
        action: "restored", "removed", or "untouched" where it is as before already.
        error: Why it could not be put back.
    """

    sidecar: Path
    action: str
    error: str | None = None


def undo_stars(log: str | os.PathLike[str]) -> Iterator[Undone]:
    """Put sidecars back as they were before the run that wrote `log`, the last one first.

    A sidecar that has changed since is left as it is, and is an error.

    Raises:
        NimaError: The log cannot be read or is none.
    """
    lines = read_journal(Path(log), _HEADER, (_KEYS, _PHOTO_KEYS), "nima stars")
    if lines:
        # Sidecars are written one by one: only the last one's writing can have been cut short.
        with suppress(OSError):
            for part in unfinished(_path_of(lines[-1])):
                part.unlink()
    for line in reversed(lines):
        path = _path_of(line)
        before = None if line["before"] is None else base64.b64decode(line["before"])
        try:
            if "photo" in line:
                yield Undone(path, _put_photo_back(path, before or b"", line))
            else:
                yield Undone(path, _put_back(path, before, line["after"]))
        except SidecarError as error:
            yield Undone(path, "failed", str(error))


def _path_of(line: dict[str, Any]) -> Path:
    return Path(line["photo"] if "photo" in line else line["sidecar"])


def _photo_line(photo: Path, before: bytes, after: bytes) -> dict[str, Any]:
    """What changed, between what both have at the start and at the end."""
    shorter = min(len(before), len(after))
    old, new = (np.frombuffer(content, np.uint8) for content in (before, after))
    differ = np.flatnonzero(old[:shorter] != new[:shorter])
    at = int(differ[0]) if len(differ) else shorter
    room = shorter - at
    tails = (content[len(content) - room :][::-1] for content in (old, new))
    differ = np.flatnonzero(np.not_equal(*tails))
    same = int(differ[0]) if len(differ) else room
    return {
        "photo": str(photo.absolute()),
        "at": at,
        "before": base64.b64encode(before[at : len(before) - same]).decode(),
        "length": len(after) - same - at,
        "was": hashlib.sha256(before).hexdigest(),
        "after": hashlib.sha256(after).hexdigest(),
    }


def _put_photo_back(photo: Path, part: bytes, line: dict[str, Any]) -> str:
    now = read_sidecar(photo)
    digest = None if now is None else hashlib.sha256(now).hexdigest()
    if digest == line["was"]:
        return "untouched"
    at, end = line["at"], line["at"] + line["length"]
    if now is None or digest != line["after"]:
        raise SidecarError(f"{photo}: changed since it got its stars; it is left as it is")
    before = now[:at] + part + now[end:]
    if hashlib.sha256(before).hexdigest() != line["was"]:
        raise SidecarError(f"{photo}: its line in the undo log is damaged; it is left as it is")
    write_whole(photo, before, SidecarError)
    return "restored"


def _put_back(sidecar: Path, before: bytes | None, after: str) -> str:
    now = read_sidecar(sidecar)
    if now == before:
        return "untouched"
    if now is None or hashlib.sha256(now).hexdigest() != after:
        raise SidecarError(f"{sidecar}: changed since it got its stars; it is left as it is")
    if before is not None:
        write_whole(sidecar, before, SidecarError)
        return "restored"
    try:
        remove_file(sidecar)
    except OSError as error:
        raise SidecarError(f"{sidecar}: cannot be removed ({error.strerror})") from error
    return "removed"
