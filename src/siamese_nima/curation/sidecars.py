"""Where the XMP sidecar of a photo is, by the two conventions there are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from siamese_nima.errors import SidecarError
from siamese_nima.photos.formats import PHOTO_EXTENSIONS
from siamese_nima.photos.names import printable

# "full": photo.jpg.xmp (darktable, digiKam). "stem": photo.xmp (Adobe), which all files of that
# stem share, such as a raw file and its JPEG.
Naming = Literal["auto", "full", "stem"]

_SUFFIX = ".xmp"


@dataclass(frozen=True, slots=True)
class Folder:
    """The names in one folder.

    Attributes:
        path: The folder.
        names: What is in it.
        naming: The convention that most of its sidecars follow; "full" where there are none.
    """

    path: Path
    names: frozenset[str]
    naming: Naming

    @classmethod
    def read(cls, path: Path) -> Folder:
        """List a folder.

        Raises:
            SidecarError: It cannot be listed.
        """
        try:
            names = frozenset(os.listdir(path))  # noqa: PTH208 -- names, not paths
        except OSError as error:
            raise SidecarError(f"{path}: cannot be listed ({error.strerror})") from error
        stems = {_stem(name) for name in names if _is_photo(name)}
        sidecars = [_stem(name) for name in names if name.lower().endswith(_SUFFIX)]
        full = sum(stem in names for stem in sidecars)
        by_stem = sum(stem in stems and stem not in names for stem in sidecars)
        return cls(path, names, "stem" if by_stem > full else "full")

    def sidecars(self, photo: str) -> dict[Naming, Path]:
        """The sidecars that a photo has, by convention."""
        found: dict[Naming, Path] = {}
        if name := self._existing(photo):
            found["full"] = self.path / name
        if name := self._existing(_stem(photo)):
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
                both = " and ".join(printable(path.name) for path in existing.values())
                raise SidecarError(
                    f"{self.path / photo}: has two sidecars, {both}; choose one kind: full or stem"
                )
            naming = next(iter(existing), self.naming)
        name = f"{photo if naming == 'full' else _stem(photo)}{_SUFFIX}"
        return existing.get(naming, self.path / name)

    def _existing(self, base: str) -> str | None:
        names = base + _SUFFIX, base + _SUFFIX.upper()
        return next((name for name in names if name in self.names), None)


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 -- a name, not a path


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_EXTENSIONS  # noqa: PTH122
