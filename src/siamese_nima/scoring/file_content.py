"""What is in a photo file: told by its bytes, or by its state where that is known."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Clocks of file systems tick every few milliseconds to 2 s (FAT). A file that changes twice within
# a tick looks unchanged, so the state of one that has just changed is not trusted.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file system says of a file without opening it; a change of content changes it.

    The time of the last status change is there because a program can set the modification time
    back, but not that one (except on Windows, which has none).
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: str) -> Self:
        """The state now."""
        found = os.stat(path)  # noqa: PTH116 -- four times as fast as Path.stat
        inode = found.st_ino & 0x7FFF_FFFF_FFFF_FFFF  # SQLite's integers have a sign
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, inode)

    @property
    def settled(self) -> bool:
        """Whether the last change is so long ago that another one would show."""
        now = time.time_ns()
        return all(abs(now - at) > _SETTLED_NS for at in (self.mtime_ns, self.ctime_ns))


@dataclass(frozen=True, slots=True)
class Content:
    """A photo file, by what is in it.

    Attributes:
        path: Its absolute path.
        state: Its state when it was read.
        digest: BLAKE2b of its bytes.
        known: Whether the cache has path and state already.
        settled: Whether any later change would show in the state.
    """

    path: str
    state: FileState
    digest: bytes
    known: bool
    settled: bool

    def still_there(self) -> bool:
        """Whether the file has this content now."""
        same = FileState.of(self.path) == self.state
        return same and (self.settled or digest_of(self.path) == self.digest)

    @property
    def row(self) -> tuple[bytes, int, int, int, int, bytes]:
        """The row of the table `files`."""
        state = self.state
        numbers = (state.size, state.mtime_ns, state.ctime_ns, state.inode)
        return (os.fsencode(self.path), *numbers, self.digest)


def digest_of(path: str) -> bytes:
    """BLAKE2b of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).digest()
