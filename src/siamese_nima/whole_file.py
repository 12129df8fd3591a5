"""Small files that appear complete or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or replace one; whoever reads it sees the old content or the new one.

    An existing file's permissions are kept.

    Raises:
        OSError: It cannot be written; nothing has changed then.
    """
    mode = _mode(path)
    part = part_of(path)
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """The file that `write_whole` writes first; one that was killed can leave it behind."""
    return path.with_name(f".{path.name[:240]}.part")


def _mode(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mode & 0o7777
    # Reading the umask takes setting it.
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
