"""What a run changes on disk, written down before it changes, so that all can be put back."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from siamese_nima.errors import NimaError


class Journal:
    """A file of JSON lines, one per change.

    A line is on disk before its change is made, so that even a run that is killed can be undone.
    Use as a context manager; the file appears with the first change.

    Attributes:
        path: The file.
        begun: Whether there is anything to undo.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.begun = False
        self._header = header
        self._file: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line down.

        Raises:
            NimaError: The file exists already, or cannot be written.
        """
        if self._file is None:
            self._begin()
        self._write(line)

    def _begin(self) -> None:
        try:
            self._file = self.path.open("x", encoding="ascii")
        except FileExistsError as error:
            raise NimaError(f"{self.path}: exists already; give the undo log a new name") from error
        except OSError as error:
            raise NimaError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._write(self._header)
        self.begun = True

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise NimaError(f"{self.path}: cannot be written ({error.strerror})") from error


def read_journal(
    path: Path, header: Mapping[str, Any], keys: Collection[Collection[str]], what: str
) -> list[dict[str, Any]]:
    """The lines of a journal, in order, without the header.

    Args:
        path: The file.
        header: What its first line must say.
        keys: The keys that each other line may have.
        what: Which command wrote it, for messages.

    Raises:
        NimaError: It cannot be read or is none.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NimaError(f"{path}: cannot be read ({reason})") from error
    found = []
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            known = line == header if number == 1 else line.keys() in keys
        except (ValueError, TypeError, AttributeError):
            # A run that was killed while it wrote a line had not made that change yet.
            known = 1 < number == len(lines)
            line = None
        if not known:
            raise NimaError(f"{path}: line {number} is none of an undo log of {what}")
        if line is not None and number > 1:
            found.append(line)
    if not lines:
        raise NimaError(f"{path}: empty; wanted an undo log of {what}")
    return found
