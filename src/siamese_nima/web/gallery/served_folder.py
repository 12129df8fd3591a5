"""Photos of one folder by opaque ids, and nothing else of the machine."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from siamese_nima.errors import PhotoError

_ID_DIGITS = 20


class ServedFolder:
    """What may be read, by id; an id that was not given out means nothing.

    A photo's id is a hash of its path inside the folder, the same after a restart.

    Attributes:
        given: The folder as it was named.
        root: The folder, without links.
        photos: Paths by id, as they were given.
        outside: Paths that were left out: links that lead out of the folder.
    """

    def __init__(self, folder: str | os.PathLike[str], paths: Iterable[Path]) -> None:
        """Take the photos that are inside.

        Args:
            folder: The folder that is served.
            paths: Photos in it, as `find_photos` gives them.
        """
        self.given = Path(folder)
        self.root = Path(os.path.realpath(folder))
        self.outside: list[Path] = []
        photos: dict[str, Path] = {}
        for path in paths:
            if self._real(path) is None:
                self.outside.append(path)
            else:
                photos[_id(os.path.relpath(path, folder))] = path
        self.photos: Mapping[str, Path] = photos

    def open(self, photo_id: str) -> BinaryIO:
        """Open a photo for reading.

        Where its path leads is looked at again: a link may have been put there in the meantime.

        Raises:
            PhotoError: No such id; or the photo is gone, no regular file, or no longer inside.
        """
        path = self.photos.get(photo_id)
        if path is None:
            raise PhotoError(f"no photo has the id {photo_id[:40]!r}")
        real = self._real(path)
        if real is None:
            raise PhotoError("the photo is no longer in the folder")
        try:
            # Without waiting, if it has become a pipe; not through a link put there just now.
            flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            flags |= getattr(os, "O_BINARY", 0)
            file = os.fdopen(os.open(real, os.O_RDONLY | flags), "rb")
        except OSError as error:
            raise PhotoError(f"the photo cannot be read ({error.strerror})") from error
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or self._real(path) != real:
                raise PhotoError("the photo is no longer a file in the folder")
        except BaseException:
            file.close()
            raise
        return file

    def _real(self, path: Path) -> Path | None:
        """Where a path leads; None if that is not inside the folder."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            return None
        return real if real != self.root and real.is_relative_to(self.root) else None


def _id(relative: str) -> str:
    return hashlib.sha256(os.fsencode(Path(relative).as_posix())).hexdigest()[:_ID_DIGITS]
