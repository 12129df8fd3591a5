"""Shots: a camera raw file and its JPEG are one photo, and other files belong to it.

Cameras write one press of the button as several files that share a name up to the ending: camera
raw and JPEG, HEIC and JPEG, a picture and the short video of a Live Photo.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.photos.capture import Capture, read_capture
from siamese_nima.photos.formats import HEIF_EXTENSIONS, JPEG_EXTENSIONS, RAW_EXTENSIONS

# The first of a shot's files is the one that is read: a JPEG is what the camera made of the shot,
# and everything can read it.
_KINDS = (JPEG_EXTENSIONS, HEIF_EXTENSIONS, RAW_EXTENSIONS)
_APART_S = 2.0  # times of one shot differ by less; some files have no fractions of a second
# What else belongs to a shot: IMG_1.MOV of a Live Photo, edits by Apple, a thumbnail, a note; and
# sidecars of either convention.
_BY_STEM = frozenset({".xmp", ".mov", ".aae", ".thm", ".wav"})
_BY_NAME = frozenset({".xmp", ".pp3", ".dop"})


@dataclass(frozen=True, slots=True)
class Shot:
    """The files of one press of the button.

    Attributes:
        photo: The file that stands for all.
        twins: The other pictures, in the order in which they would stand in for it.
    """

    photo: str
    twins: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All pictures."""
        return (self.photo, *self.twins)


def folded(name: str) -> str:
    """A name by which a disk that ignores case, and composes letters or not, finds a file.

    >>> folded("CAFE\\u0301.JPG") == folded("caf\\u00e9.jpg")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def group_shots(names: Iterable[str]) -> list[Shot]:
    """The shots that photo files make, in the order of their first files.

    Files are of one shot if they are in one folder, their names are equal up to the ending, no
    two are of one kind (JPEG, HEIC, one kind of camera raw), and they were not taken at different
    times. Other files, such as an edited TIFF, are photos of their own.

    Args:
        names: Paths; each file once.
    """
    place = {name: number for number, name in enumerate(names)}
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in place:
        folder, base = os.path.split(name)
        groups[(name,) if _kind(base) is None else (folder, folded(_stem(base)))].append(name)
    shots = [shot for group in groups.values() for shot in _shots_of(group)]
    return sorted(shots, key=lambda shot: min(place[name] for name in shot.files))


class Listing:
    """The names in one folder, found as a disk that ignores case finds them.

    Attributes:
        path: The folder.
        names: What is in it.
    """

    def __init__(self, path: Path) -> None:
        """List a folder.

        Raises:
            OSError: It cannot be listed.
        """
        self.path = path
        self.names = frozenset(os.listdir(path))  # noqa: PTH208 -- names, not paths
        self._by_name = _index(self.names, lambda name: name)
        self._by_stem = _index(self.names, _stem)

    def alike(self, name: str) -> Sequence[str]:
        """Names that differ from one in case and composition of letters at most."""
        return self._by_name.get(folded(name), ())

    def find(self, name: str) -> str | None:
        """What a file is called on this disk; None where there is none of that name."""
        if name in self.names:
            return name
        composed = unicodedata.normalize("NFC", name)
        for other in self.alike(name):
            if unicodedata.normalize("NFC", other) == composed or os.path.lexists(self.path / name):
                return other
        return None

    def shot(self, name: str) -> Shot:
        """The shot that a photo of this folder is of, with whole paths; the photo comes first."""
        photo = str(self.path / name)
        if _kind(name) is not None:
            alike = [n for n in self._by_stem.get(folded(_stem(name)), ()) if _kind(n) is not None]
            for shot in _shots_of([str(self.path / other) for other in alike]):
                if photo in shot.files:
                    return Shot(photo, tuple(file for file in shot.files if file != photo))
        return Shot(photo)

    def companions(self, shot: Shot) -> list[Path]:
        """Sidecars, the video of a Live Photo and the like: what a copy of a shot takes along."""
        found: dict[str, None] = {}
        for file in shot.files:
            base = os.path.basename(file)  # noqa: PTH119 -- a name, not a path
            for stem, endings in ((_stem(base), _BY_STEM), (base, _BY_NAME)):
                for name in self._by_stem.get(folded(stem), ()):
                    if _ending(name) in endings:
                        found[name] = None
        return [self.path / name for name in found]


class FilesOfShots:
    """What belongs to photos, looked up in their folders; each folder is listed once."""

    def __init__(self) -> None:
        self._listings: dict[Path, Listing] = {}

    def of(self, photo: Path) -> list[Path]:
        """The photo, the other pictures of its shot, and what goes with them.

        Raises:
            OSError: Its folder cannot be listed.
        """
        if photo.parent not in self._listings:
            self._listings[photo.parent] = Listing(photo.parent)
        listing = self._listings[photo.parent]
        shot = listing.shot(photo.name)
        return [*map(Path, shot.files), *listing.companions(shot)]


def _shots_of(group: Sequence[str], *, spelled: bool = False) -> list[Shot]:
    """The shots among files of one folder whose names are alike up to the ending."""
    kinds = {name: _kind(name) for name in group}
    if len(group) < 2 or None in kinds.values():
        return [Shot(name) for name in group]
    if len(set(kinds.values())) < len(group):
        if spelled:
            return [Shot(name) for name in group]
        # On disks that tell capitals apart there may be img_1.jpg beside IMG_1.JPG and IMG_1.CR2.
        by_stem: dict[str, list[str]] = defaultdict(list)
        for name in group:
            by_stem[_stem(name)].append(name)
        return [shot for part in by_stem.values() for shot in _shots_of(part, spelled=True)]
    first, *others = sorted(group, key=lambda name: kinds[name] or (0, ""))
    moment = read_capture(first)
    twins = [name for name in others if _one_moment(moment, read_capture(name))]
    rest = [name for name in others if name not in twins]
    return [Shot(first, tuple(twins)), *(_shots_of(rest) if rest else ())]


def _one_moment(first: Capture | None, second: Capture | None) -> bool:
    """Whether two files may be of one moment; where it is not known, their name says so."""
    if first is None or second is None or first.in_utc != second.in_utc:
        return True
    return abs(first.seconds - second.seconds) < _APART_S


def _kind(name: str) -> tuple[int, str] | None:
    """Which of a shot's files a name means; None for what is a photo of its own."""
    ending = _ending(name)
    for number, endings in enumerate(_KINDS):
        if ending in endings:
            # A DNG may have been made of the camera's own raw file.
            return number, ending if endings is RAW_EXTENSIONS else ""
    return None


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 -- a name, not a path


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _index(names: Iterable[str], part: Callable[[str], str]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        found[folded(part(name))].append(name)
    return found
