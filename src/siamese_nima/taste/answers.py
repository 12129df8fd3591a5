"""What one person said of two photos, kept in one file beside the photos or as a CSV table."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal, Self, get_args
from urllib.parse import quote_from_bytes

from siamese_nima.atomic_write import write_whole
from siamese_nima.csv_rows import as_on_disk, csv_text, table_lines
from siamese_nima.errors import AnswerError
from siamese_nima.printable import printable

Choice = Literal["left", "right", "tie", "flag"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
SOMEBODY = "me"  # who answers where no name is given

_LONGEST_PERSON = 80


def now() -> str:
    """The present moment as an answer notes it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person said of two photos.

    Attributes:
        left: The photo shown on the left: its path relative to the folder of photos, with slashes.
        right: The photo shown on the right, likewise; another one.
        choice: Which is better, "left" or "right"; "tie" for too close to call; "flag" for a pair
            that was set aside, which says nothing of which is better.
        person: Who answered.
        at: When, in ISO 8601 with a time zone.
        seconds: How long the pair was looked at; None where that is not known.
    """

    left: str
    right: str
    choice: Choice
    person: str = SOMEBODY
    at: str
    seconds: float | None = None

    def __post_init__(self) -> None:
        for photo in (self.left, self.right):
            _check_photo(photo)
        if self.left == self.right:
            raise AnswerError(
                f"left and right are both '{printable(self.left)}'; a pair needs two photos"
            )
        if self.choice not in CHOICES:
            raise AnswerError(f"the choice is {self.choice!r}, wanted {', '.join(CHOICES)}")
        check_person(self.person)
        _check_moment(self.at)
        if self.seconds is not None and not (self.seconds >= 0 and math.isfinite(self.seconds)):
            raise AnswerError(f"seconds must be 0 or more, got {self.seconds}")

    @property
    def pair(self) -> tuple[str, str]:
        """The two photos in alphabetical order: the same for every time the pair was shown."""
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)

    @property
    def better(self) -> str | None:
        """The photo that was preferred; None for a tie and a flag."""
        return {"left": self.left, "right": self.right}.get(self.choice)


def check_person(name: str) -> None:
    """Refuse what cannot be a person's name.

    Raises:
        AnswerError: It is empty, longer than 80 characters, or has characters that do not print.
    """
    if not (name.strip() and name.isprintable() and len(name) <= _LONGEST_PERSON):
        raise AnswerError(
            f"the person is '{printable(name)}'; wanted a name of 1 to {_LONGEST_PERSON} "
            "characters that print"
        )


def _check_photo(name: str) -> None:
    path = PurePosixPath(name)
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts or str(path) != name:
        raise AnswerError(
            f"the photo is '{printable(name)}'; wanted a path below the folder of photos, with "
            "slashes, such as day-1/beach.jpg"
        )


def _check_moment(text: str) -> None:
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise AnswerError(
            f"the moment is '{printable(text)}'; wanted ISO 8601 with a time zone, such as "
            "2026-05-01T09:30:00+00:00"
        )


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


def in_words(person: str) -> str:
    """A person as sentences name them."""
    return "you" if person == SOMEBODY else person


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


def _read_only_uri(path: PurePath) -> str:
    r"""What SQLite opens a file by; other than in a usual URL no host comes before a share's path.

    >>> from pathlib import PureWindowsPath
    >>> _read_only_uri(PureWindowsPath(r"\\server\share\a b.sqlite"))
    'file:////server/share/a%20b.sqlite?mode=ro'
    >>> _read_only_uri(PureWindowsPath(r"C:\photos\a.sqlite"))
    'file:///C:/photos/a.sqlite?mode=ro'
    """
    place = quote_from_bytes(os.fsencode(path.as_posix()), safe="/:")
    return f"file://{'' if place.startswith('/') else '/'}{place}?mode=ro"


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    # Not by a URI without need: those of Windows paths and of odd names are hard to get right.
    database = sqlite3.connect(
        _read_only_uri(path.absolute()) if read_only else path,
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


COLUMNS = ("left", "right", "choice", "person", "at", "seconds")
_NEEDED = ("left", "right", "choice")
_PREFERRED = ("winner", "loser")  # a list of pairs, the better photo first
_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # a list without times counts a second per line


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write answers and flags to a CSV file, which replaces an older one when it is complete.

    Raises:
        AnswerError: The file cannot be written.
    """
    text = csv_text([COLUMNS, *([getattr(a, column) for column in COLUMNS] for a in answers)])
    # Names of files need not be Unicode; their bytes go out as they are.
    write_whole(path, text.encode(errors="surrogateescape"), AnswerError)


def read_answers(
    path: Path, *, person: str | None = None, folder: Path | None = None
) -> list[Answer]:
    """Answers and flags of a CSV file with a header; commas, semicolons or tabs separate its cells.

    Columns are `left`, `right` and `choice` (left, right, tie or flag), or `winner` and `loser`;
    and where they are known `at`, `person` and `seconds`. Other columns are an error. Without `at`
    every line is an answer of its own: a pair that is there twice counts twice, and the same list
    is not taken twice.

    Args:
        path: The file.
        person: Who gave the answers, whatever the file says.
        folder: The photos; names that another system spelled otherwise then find their files.

    Raises:
        AnswerError: The file cannot be read, or a line is none of an answer; the message names it.
    """
    _, rows = table_lines(path, AnswerError)
    _, cells = next(rows, (1, []))
    answers = list(_answers_of(path, rows, _checked_header(path, cells), person))
    if folder is None:
        return answers
    return [
        replace(answer, left=_spelled(answer.left, folder), right=_spelled(answer.right, folder))
        for answer in answers
    ]


def _spelled(name: str, folder: Path) -> str:
    return as_on_disk(name, folder).relative_to(folder).as_posix()


def _checked_header(path: Path, cells: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    listed = set(_PREFERRED) <= set(header)
    wrong = [] if listed else [name for name in _NEEDED if name not in header]
    if wrong:
        raise AnswerError(
            f"{path} line 1: no column {wrong[0]!r}, found {', '.join(header) or 'nothing'}; "
            f"wanted {', '.join(COLUMNS)}, or winner and loser"
        )
    known = (*_PREFERRED, *COLUMNS[3:]) if listed else COLUMNS
    odd = [name for name in header if name not in known or header.count(name) > 1]
    if odd:
        raise AnswerError(f"{path} line 1: a column {odd[0]!r} too many; wanted {', '.join(known)}")
    return header


def _answers_of(
    path: Path, rows: Iterator[tuple[int, list[str]]], header: list[str], person: str | None
) -> Iterator[Answer]:
    for line, cells in rows:
        try:
            yield _answer_of(header, cells, person, line)
        except AnswerError as error:
            raise AnswerError(f"{path} line {line}: {error}") from error


def _answer_of(header: list[str], cells: list[str], person: str | None, line: int) -> Answer:
    if len(cells) != len(header):
        raise AnswerError(f"{len(cells)} cells, wanted {len(header)}")
    row = dict(zip(header, cells, strict=True))
    more = {"person": name} if (name := person or row.get("person")) else {}
    if "winner" in row:
        # Lists are written by hand and elsewhere, where paths may have backslashes.
        names = [row[name].strip().replace("\\", "/") for name in _PREFERRED]
        row |= {"left": names[0], "right": names[1], "choice": "left"}
    at = row.get("at", "").strip() or (_NO_TIME + timedelta(seconds=line)).isoformat()
    return Answer(
        left=row["left"],
        right=row["right"],
        choice=row["choice"].strip().lower(),  # type: ignore[arg-type]
        at=at,
        seconds=_seconds(row.get("seconds", "")),
        **more,
    )


def _seconds(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise AnswerError(f"seconds are {text!r}, wanted a number or nothing") from error
