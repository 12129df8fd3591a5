"""Files that appear complete or not at all."""

from __future__ import annotations

import gc
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from siamese_nima.errors import ConfigError, NimaError

_END = ".part"
# Between attempts, about a second in all.
_PAUSES_S = (0.05, 0.1, 0.2, 0.3, 0.4)


def check_output(
    path: str | os.PathLike[str],
    what: str,
    endings: Iterable[str],
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Whether a result may be written at `path`; better asked before it is made.

    Args:
        path: Where it is to appear.
        what: What it is, such as "a table": the message begins so.
        endings: Those that fit, with their dots, in lower case; none: any will do.
        inputs: Files that the result is made of.

    Raises:
        ConfigError: The ending does not fit, it is a folder, its folder is missing, or it is one
            of the inputs, by whatever name; or another program holds it open, as spreadsheets do.
    """
    target, fitting = Path(path), list(endings)
    if fitting and target.suffix.lower() not in fitting:
        raise ConfigError(f"{target}: {what} ends in {', '.join(fitting)}")
    if target.is_dir():
        raise ConfigError(f"{target}: a folder; wanted the name of a file")
    if not target.parent.is_dir():
        raise ConfigError(
            f"{target}: cannot be written (No such file or directory: {target.parent})"
        )
    if not target.exists():
        return
    there = target.stat()
    for source in inputs:
        if _is_file(source, there):
            raise ConfigError(f"{target}: is read, and would be replaced; choose another name")
    try:
        # Changes nothing, and fails where the file could not be replaced.
        put_in_place(target, target)
    except PermissionError as error:
        raise ConfigError(
            f"{target}: cannot be replaced ({error.strerror}); if another program has it open, as "
            "spreadsheets do, close it there, or choose another name"
        ) from error


def put_in_place(part: Path, target: Path) -> None:
    """Let a finished file take the place of another, or of none.

    On Windows a file that somebody has open can be neither renamed nor replaced, and programs that
    look for viruses hold new files open for a moment: so it is tried for about a second.

    Raises:
        PermissionError: It is still held, or may not be replaced.
        OSError: Something else.
    """
    _patiently(lambda: part.replace(target))


def remove_file(path: Path) -> None:
    """Remove a file, as patiently as `put_in_place` replaces one.

    Raises:
        PermissionError: It is still held, or may not be removed.
        OSError: Something else.
    """
    _patiently(path.unlink)


def clear_away(folder: Path) -> str:
    """Remove a folder of files that nobody needs any more.

    Files that are still mapped into memory cannot be removed on Windows; let go of them before.

    Returns:
        What could not be removed and why, for a warning; empty if all is well.
    """
    gc.collect()  # or cycles of objects would keep maps of files
    try:
        _patiently(lambda: shutil.rmtree(folder))
    except OSError as error:
        return f"{folder}: could not be removed ({error.strerror or error}); nobody needs it"
    return ""


def _patiently(call: Callable[[], object]) -> None:
    for pause in _PAUSES_S:
        try:
            call()
        except PermissionError:
            time.sleep(pause)
        else:
            return
    call()


def _is_file(path: str | os.PathLike[str], found: os.stat_result) -> bool:
    try:
        # Of all photos of a run: four times as fast as Path.stat.
        return os.path.samestat(os.stat(path), found)  # noqa: PTH116
    except (OSError, ValueError):
        return False


@contextmanager
def replacing(path: str | os.PathLike[str], error: type[NimaError] = NimaError) -> Iterator[Path]:
    """A new file beside `path`, which takes its place when the block ends without error.

    Whoever reads `path` sees the old content or the new one, whole, even if the machine loses its
    power or several write it at the same time. An existing file's permissions are kept.

    Args:
        path: The file to write, or to replace.
        error: Class of the error if it cannot be written.

    Raises:
        NimaError: Of class `error`: it cannot be written; nothing has changed then.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(_END, _start(target), target.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            with part.open("r+b") as file:
                os.fsync(file.fileno())
            part.chmod(_mode(target))
            put_in_place(part, target)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as problem:
        reason = problem.strerror or problem
        raise error(f"{target}: cannot be written ({reason})") from problem


def write_whole(
    path: str | os.PathLike[str], content: bytes, error: type[NimaError] = NimaError
) -> None:
    """Write a file, or replace one, as `replacing` does."""
    with replacing(path, error) as part:
        part.write_bytes(content)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file and its times, as `replacing` does."""
    with replacing(target) as part:
        shutil.copyfile(source, part)
        times = source.stat()
        os.utime(part, ns=(times.st_atime_ns, times.st_mtime_ns))


def unfinished(path: Path) -> Iterator[Path]:
    """Files that runs which were killed while they wrote `path` have left beside it."""
    return path.parent.glob(f"{glob.escape(_start(path))}*{_END}")


def _start(path: Path) -> str:
    # Names have at most 255 bytes, a character at most 4, and more is to come.
    return f".{path.name[:50]}."


def _mode(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mode & 0o7777
    # Reading the umask takes setting it.
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
