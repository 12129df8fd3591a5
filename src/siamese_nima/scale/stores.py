"""Files wherever fsspec reaches them: local paths, file://, s3://, gs:// and more."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from siamese_nima.atomic_write import write_whole
from siamese_nima.errors import ConfigError, MissingExtraError, NimaError, PhotoError

Answer = TypeVar("Answer")

ATTEMPTS = 4
_FIRST_PAUSE_S = 0.5
# What another attempt does not change.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def is_url(name: str) -> bool:
    """Whether a name is a URL of a store; `file://` ones are local paths to `without_file_scheme`.

    >>> is_url("s3://bucket/a.jpg"), is_url("a.jpg")
    (True, False)
    """
    return "://" in name


def without_file_scheme(name: str) -> str:
    """A `file://` URL as the path it means; other names as they are.

    >>> without_file_scheme("file:///photos/a.jpg")
    '/photos/a.jpg'
    """
    return name.removeprefix("file://")


def open_store(name: str) -> tuple[Any, str]:
    """The fsspec file system of a URL or local path, and the path in it.

    Raises:
        MissingExtraError: The package for this kind of store is not installed.
        ConfigError: There is no such kind of store.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError.of("Reading from a store", "scale") from error
    try:
        system, path = url_to_fs(name if is_url(name) else f"file://{Path(name).absolute()}")
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
class StoredPhoto:
    """A photo in a store, fetched when it is read."""

    url: str

    def read(self) -> bytes:
        """The whole file.

        Raises:
            PhotoError: The store failed several times.
            OSError: There is no such file, or no permission.
        """
        system, path = open_store(self.url)
        try:
            contents: bytes = retried(lambda: system.cat_file(path))
        except _FINAL:
            raise
        except Exception as error:
            reason = reason_of(error)
            raise PhotoError(
                f"{self.url}: not fetched in {ATTEMPTS} attempts ({reason})."
            ) from error
        return contents


class Folder:
    """A folder of results, on a disk or in a store.

    Attributes:
        url: Its URL, or an absolute local path.
    """

    def __init__(self, url: str) -> None:
        """Nothing is made or read yet; raises what `open_store` does."""
        plain = without_file_scheme(url)
        self._system, self._root = open_store(plain)
        self.url = plain.rstrip("/") if is_url(plain) else self._root
        self._local = not is_url(plain)

    def file(self, name: str) -> str:
        """URL or local path of a file in it."""
        return f"{self.url}/{name}"

    def names(self) -> set[str]:
        """What is in it: files, and folders that have files.

        Raises:
            NimaError: It cannot be listed.
        """
        self._system.invalidate_cache()
        try:
            entries = retried(lambda: self._system.ls(self._root, detail=False))
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise NimaError(f"{self.url}: cannot be listed ({reason_of(error)})") from error
        return {entry.rstrip("/").rpartition("/")[2] for entry in entries}

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none.

        Raises:
            NimaError: There may be one, but it cannot be read.
        """
        path = f"{self._root}/{name}"
        try:
            content: bytes = retried(lambda: self._system.cat_file(path))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise NimaError(f"{self.file(name)}: cannot be read ({reason_of(error)})") from error
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it: at any moment it is whole, the old one, or absent.

        Several may write the same file at the same time.

        Raises:
            NimaError: It cannot be written.
        """
        path = f"{self._root}/{name}"
        try:
            if self._local:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, content)
            else:
                # An object appears when its upload is complete.
                retried(lambda: self._system.pipe_file(path, content))
        except NimaError:
            raise
        except Exception as error:
            raise NimaError(f"{self.file(name)}: cannot be written ({reason_of(error)})") from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = f"{self._root}/{name}"
        try:
            retried(lambda: self._system.rm_file(path))
        except FileNotFoundError:
            return
