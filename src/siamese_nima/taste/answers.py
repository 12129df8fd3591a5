"""Answers, kept in one file beside the photos."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from siamese_nima.errors import AnswerError
from siamese_nima.photos.names import printable
from siamese_nima.taste.answer import Answer

ANSWERS_FILE = "nima-answers.sqlite"

_APPLICATION_ID = 0x4E494D50  # "NIMP"; bytes 68 to 72 of the file
_FORMAT = 1
_BUSY_S = 30.0
# Python fails to decode the message of an error that quotes damaged text.
_DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_TABLES = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {_APPLICATION_ID};
CREATE TABLE IF NOT EXISTS answers(
    number INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL, left_photo NOT NULL,
    right_photo NOT NULL, choice TEXT NOT NULL, at TEXT NOT NULL, seconds REAL,
    UNIQUE (person, at, left_photo, right_photo));
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


def answers_path(folder: str | os.PathLike[str]) -> Path:
    """Where the answers on the photos of a folder are kept unless another file is named."""
    return Path(folder) / ANSWERS_FILE


class AnswerStore:
    """A file of answers, open; may be used from several threads and processes at once.

    When `add` returns, the answer is on the disk, and outlives the end of this process and of the
    machine's power. It is an SQLite file with nothing beside it while no answer is being written,
    so that it can be copied with the photos.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        """Open a file of answers, or make one.

        Args:
            path: The file; its folder must exist.
            read_only: Never write; the file must then exist.

        Raises:
            AnswerError: The file is something else, damaged, missing, or cannot be written.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        if read_only and not self.path.exists():
            raise AnswerError(f"{self.path}: no answers yet; 'nima pick' gathers them")
        with self._told():
            self._database = _connect(self.path, read_only=read_only)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def add(self, answer: Answer) -> None:
        """Keep one answer; it is on the disk when this returns.

        Raises:
            AnswerError: It cannot be written.
        """
        with self._transaction() as database:
            database.execute(_ADD, _row(answer))

    def merge(self, answers: Sequence[Answer]) -> int:
        """Keep answers that are not there yet, all or none of them.

        Returns:
            How many were not there yet. One is there if the same person said the same of the same
            photos at the same moment.

        Raises:
            AnswerError: One contradicts what is there; nothing is kept then.
        """
        added = 0
        with self._transaction() as database:
            for answer in answers:
                row = _row(answer)
                added += database.execute(f"{_ADD} ON CONFLICT DO NOTHING", row).rowcount
                (known,) = database.execute(_CHOICE_OF, row[:4]).fetchone()
                if known != answer.choice:
                    raise AnswerError(
                        f"{self.path}: {answer.person} said {known!r}, not {answer.choice!r}, of "
                        f"{printable(answer.left)} and {printable(answer.right)} at {answer.at}"
                    )
        return added

    def take_back(self, answer: Answer) -> bool:
        """Forget one answer or flag; whether it was there.

        Raises:
            AnswerError: The file cannot be written.
        """
        with self._transaction() as database:
            return database.execute(_TAKE_BACK, _row(answer)[:4]).rowcount > 0

    def answers(self, people: Collection[str] | None = None) -> list[Answer]:
        """What was preferred, in the order it was kept; flags are left out.

        Args:
            people: Whose answers; None for everybody's.
        """
        return [answer for answer in self.records(people) if answer.choice != "flag"]

    def flags(self, people: Collection[str] | None = None) -> list[Answer]:
        """The pairs that were set aside, in the order they were."""
        return [answer for answer in self.records(people) if answer.choice == "flag"]

    def records(self, people: Collection[str] | None = None) -> list[Answer]:
        """Answers and flags, in the order they were kept."""
        with self._lock, self._told():
            rows = self._database.execute(f"SELECT {_COLUMNS} FROM answers ORDER BY number")
            answers = [_answer(row) for row in rows]
        return [answer for answer in answers if people is None or answer.person in people]

    def people(self) -> dict[str, int]:
        """How many answers each person gave, flags left out; in the order of their first one."""
        counts: dict[str, int] = {}
        for answer in self.records():
            counts[answer.person] = counts.get(answer.person, 0) + (answer.choice != "flag")
        return counts

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database, in words."""
        try:
            yield
        except _DATABASE_ERRORS as error:
            raise AnswerError(f"{self.path}: {_reason(error)}") from error


_COLUMNS = "person, at, left_photo, right_photo, choice, seconds"
_ADD = f"INSERT INTO answers({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_THIS_ONE = "WHERE person = ? AND at = ? AND left_photo = ? AND right_photo = ?"
_CHOICE_OF = f"SELECT choice FROM answers {_THIS_ONE}"
_TAKE_BACK = f"DELETE FROM answers {_THIS_ONE}"


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    # Not by a URI without need: those of Windows paths and of odd names are hard to get right.
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro" if read_only else path,
        uri=read_only,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # One moment for all three: another process may be making the file.
        database.execute("BEGIN")
        made_by, version, tables = (
            database.execute(question).fetchone()[0]
            for question in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        database.execute("COMMIT")
        if made_by != _APPLICATION_ID and (tables or made_by or read_only):
            raise AnswerError(f"{path}: an SQLite file, but not of answers; it is left as it is")
        if version not in (0, _FORMAT):
            raise AnswerError(f"{path}: written by a newer siamese-nima (format {version})")
        # A rollback journal, so that one file is all there is, also on network drives; EXTRA and
        # fullfsync wait for the disk itself.
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("PRAGMA fullfsync = ON")
        if version == 0 and not read_only:
            database.executescript(_TABLES)
    except BaseException:
        database.close()
        raise
    return database


def _reason(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"answers cannot be written there ({error}); name another file with --answers"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_BUSY:
            return f"answers cannot be kept ({error})"
        case sqlite3.SQLITE_NOTADB:
            return "not a file of answers; it is left as it is. Name another with --answers"
    return f"the file of answers is damaged ({error}); put back a copy of it, or a CSV export"


def _row(answer: Answer) -> tuple[str | bytes | float | None, ...]:
    return (
        answer.person,
        answer.at,
        _stored(answer.left),
        _stored(answer.right),
        answer.choice,
        answer.seconds,
    )


def _answer(row: Sequence[Any]) -> Answer:
    person, at, left, right, choice, seconds = row
    return Answer(
        person=person,
        at=at,
        left=_name(left),
        right=_name(right),
        choice=choice,
        seconds=seconds,
    )


def _stored(photo: str) -> str | bytes:
    """SQLite takes no names that are not Unicode, as those of old memory cards can be."""
    try:
        photo.encode()
    except UnicodeEncodeError:
        return os.fsencode(photo)
    return photo


def _name(value: str | bytes) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else value
