"""Which photos of a folder a person has chosen, kept in a file there."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Self

from siamese_nima.errors import NimaError

_NAME = "nima-choices.sqlite"
_APPLICATION_ID = 0x4E434843  # "NCHC": this and nothing else is written to
_TABLE = "CREATE TABLE IF NOT EXISTS chosen(path BLOB PRIMARY KEY) WITHOUT ROWID"


class ChoiceStore:
    """A file of choices; may be used by threads, and by several programs at a time.

    A choice is on the disk when `choose` returns. Photos are known by their paths in the folder.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open, or make, the file of a folder.

        Raises:
            NimaError: It cannot be made or read, or is something else.
        """
        self.path = Path(folder) / _NAME
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                self.path, timeout=10, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise NimaError(f"{self.path}: choices cannot be kept ({error})") from error
        try:
            found = self._database.execute("PRAGMA application_id").fetchone()[0]
            empty = not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if found != _APPLICATION_ID and not empty:
                raise NimaError(f"{self.path}: not a file of choices; move it elsewhere")
            self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._database.execute(_TABLE)
        except BaseException as error:
            self._database.close()
            if isinstance(error, sqlite3.Error):
                raise NimaError(f"{self.path}: choices cannot be kept ({error})") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def chosen(self) -> set[str]:
        """The paths that are chosen, relative to the folder.

        Raises:
            NimaError: The file cannot be read.
        """
        return {os.fsdecode(row[0]) for row in self._asked("SELECT path FROM chosen")}

    def choose(self, path: str, *, chosen: bool) -> None:
        """Choose a photo, or no longer.

        Raises:
            NimaError: The file cannot be written.
        """
        change = "REPLACE INTO chosen VALUES (?)" if chosen else "DELETE FROM chosen WHERE path = ?"
        self._asked(change, os.fsencode(path))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _asked(self, statement: str, *values: bytes) -> list[tuple[bytes]]:
        with self._lock:
            try:
                return self._database.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise NimaError(f"{self.path}: choices cannot be kept ({error})") from error
