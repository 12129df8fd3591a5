"""Files wherever fsspec reaches them: local paths, file://, s3://, gs:// and more."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import unquote

from siamese_nima.errors import ConfigError, MissingExtraError, PhotoError
from siamese_nima.photos.loading import FetchedPhoto

Answer = TypeVar("Answer")

ATTEMPTS = 4
_FILE = "file://"
_FIRST_PAUSE_S = 0.5
# What another attempt does not change.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def is_url(name: str) -> bool:
    """Whether a name is a URL of a store; `file://` ones are local paths to `without_file_scheme`.

    >>> is_url("s3://bucket/a.jpg"), is_url("a.jpg")
    (True, False)
    """
    return "://" in name


def without_file_scheme(name: str, *, windows: bool = os.name == "nt") -> str:
    """A `file://` URL as the path it means; other names as they are.

    Percent signs stand for themselves where there is such a file, else for what URLs mean by them.

    >>> without_file_scheme("file:///photos/a.jpg")
    '/photos/a.jpg'
    >>> without_file_scheme("file://localhost/photos/a%20b.jpg")
    '/photos/a b.jpg'
    >>> without_file_scheme("file:///C:/a.jpg", windows=True)
    'C:/a.jpg'
    >>> without_file_scheme("file://server/share/a.jpg", windows=True)
    '//server/share/a.jpg'
    """
    if not name.lower().startswith(_FILE):
        return name
    rest = name[len(_FILE) :]
    if rest.lower().startswith("localhost/"):
        rest = rest[len("localhost") :]
    if windows:
        rest = rest[1:] if rest.startswith("/") else f"//{rest}"
    return rest if os.path.lexists(rest) else unquote(rest, errors="surrogateescape")


def open_store(name: str) -> tuple[Any, str]:
    """The fsspec file system of a URL or local path, and the path in it.

    Raises:
        MissingExtraError: The package for this kind of store is not installed.
        ConfigError: There is no such kind of store.
    """
    try:
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem
    except ImportError as error:
        raise MissingExtraError.of("Reading from a store", "scale") from error
    if not is_url(name):
        # Not as a URL: "::" in one would chain stores.
        return LocalFileSystem(), str(Path(name).absolute())
    try:
        system, path = url_to_fs(name)
    except ImportError as error:
        raise MissingExtraError(f"{name}: {error}, on every machine that takes part") from error
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    return system, path


def retried(call: Callable[[], Answer]) -> Answer:
    """What `call` returns, tried again after a pause where a store failed in passing.

    Raises:
        Exception: That of the last attempt, or one that says that there is no such file or no
            permission, at once.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except _FINAL:
            raise
        # Every store has errors of its own.
        except Exception:
            time.sleep(_FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))
    return call()


def reason_of(error: Exception) -> str:
    """What an error of a store says, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@dataclass(frozen=True, slots=True)
class StoredPhoto(FetchedPhoto):
    """A photo in a store, fetched when it is read."""

    url: str

    @property
    def name(self) -> str:
        """What results call it."""
        return self.url

    def read(self) -> bytes:
        """The whole file.

        Raises:
            PhotoError: The store failed several times.
            OSError: There is no such file, or no permission.
        """
        system, path = open_store(self.url)
        return _fetched(self.url, lambda: system.cat_file(path))


def _fetched(photo: str, call: Callable[[], bytes]) -> bytes:
    try:
        return retried(call)
    except _FINAL:
        raise
    except Exception as error:
        reason = reason_of(error)
        raise PhotoError(f"{photo}: not fetched in {ATTEMPTS} attempts ({reason}).") from error


def open_file(name: str) -> BinaryIO:
    """A file that can seek, local or in a store.

    Raises:
        OSError: There is no such file, or no permission.
        Exception: Of the store, when it failed several times.
    """
    if not is_url(name):
        return Path(name).open("rb")
    system, path = open_store(name)
    return cast(BinaryIO, retried(lambda: system.open(path, "rb")))


def state_of(name: str) -> str:
    """Tells whether a file has changed: its size and, where the store knows, its time."""
    if not is_url(name):
        found = Path(name).stat()
        return f"{found.st_size} {found.st_mtime}"
    system, path = open_store(name)
    details = system.info(path)
    time = next((details[key] for key in ("ETag", "mtime", "updated") if key in details), "")
    return f"{details.get('size')} {time}".strip()


def read_range(file: str, start: int, end: int, photo: str) -> bytes:
    """Bytes of a file, fewer where it ends before.

    Args:
        file: A local path, or a URL of a store.
        start: Place of the first byte.
        end: Place behind the last one.
        photo: Whose bytes these are, for the error.

    Raises:
        PhotoError: The store failed several times.
        OSError: There is no such file, or no permission.
    """
    if not is_url(file):
        with Path(file).open("rb") as opened:
            opened.seek(start)
            return opened.read(end - start)
    system, path = open_store(file)
    return _fetched(photo, lambda: system.cat_file(path, start=start, end=end))
