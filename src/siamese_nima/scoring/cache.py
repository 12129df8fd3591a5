"""What was scored before: rating distributions by content of the photo and by what rated it."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from siamese_nima.errors import ConfigError
from siamese_nima.user_folders import cache_folder

CACHE_VARIABLE = "SIAMESE_NIMA_CACHE"

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_Distribution = NDArray[np.float32]

_FLUSH_S = 1.0
_FLUSH_ROWS = 1000
_MAX_BYTES = 256 << 20
_MAX_READ_BYTES = 1 << 30

_APPLICATION_ID = 0x4E494D41  # "NIMA"; bytes 68 to 72 of the file
_FORMAT = 1
_BUSY_S = 30.0
_MAGIC = b"SQLite format 3\0"
# Python fails to decode the message of an error that quotes damaged text.
_DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
# Our own statements are right, so that a complaint about one is about the tables it finds.
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS files(
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER,
    content BLOB);
CREATE TABLE IF NOT EXISTS settings(settings_id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS scores(
    content BLOB, settings_id INTEGER, distribution BLOB, PRIMARY KEY (content, settings_id));
COMMIT;
"""

# Clocks of file systems tick every few milliseconds to 2 s (FAT). A file that changes twice within
# a tick looks unchanged, so the state of one that has just changed is not trusted.
_SETTLED_NS = 2_000_000_000


def cache_path() -> Path:
    """Where results are kept.

    The environment variable SIAMESE_NIMA_CACHE (a file), or else the platform's folder for caches.

    Raises:
        ConfigError: This user has no home folder.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return cache_folder() / "results.sqlite"


def usual_cache() -> Path | None:
    """`cache_path()`; None, and a line in the log, for a user without a home folder."""
    try:
        return cache_path()
    except ConfigError as error:
        _log.warning("no results are kept: %s", error)
        return None


def open_cache(path: Path) -> ResultCache | None:
    """The cache in that file; None, and a line in the log, if it is the usual one and unusable.

    Raises:
        ConfigError: It was named, and is no cache or cannot be made.
    """
    try:
        return ResultCache(path)
    except ConfigError as error:
        if path != cache_path():
            raise
        _log.warning("no results are kept: %s", error)
        return None


class ResultCache:
    """A cache file, open; may be used from several threads and processes at once.

    A distribution is found by the digest of the photo's bytes and by its *settings*: a text that
    names the model by its hash and all else that can change a score. So a photo that was moved or
    renamed is found again, and one that was changed is not. The state of a file spares reading it:
    a path with the size, times and inode that the cache knows has the content that it knows.

    Rows are written about once a second, in transactions: a process that is killed loses the last
    second of its work and harms nothing. A damaged file is thrown away and begun anew; one that
    cannot be written is left alone. Both are logged, and the photos are then scored as usual.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open, or make, a cache file.

        Raises:
            ConfigError: The file is something else than a cache, or cannot be made.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._files: list[tuple[bytes, int, int, int, int, bytes]] = []
        self._scores: list[tuple[bytes, str, bytes]] = []
        self._flushed = time.monotonic()
        self._database: sqlite3.Connection | None = _open_database(
            self.path, ours=self.path == cache_path()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def content(self, path: str | os.PathLike[str]) -> Content | None:
        """The content of a photo file, read only where the cache does not know its state.

        None for what is no regular file or cannot be read, and for files of more than 1 GiB: what
        is that large is seldom a photo, and the decoder refuses it sooner than it could be read.
        """
        known, _ = self.known(path)
        if known is not None:
            return known
        name = _absolute(path)
        try:
            state = FileState.of(name)
            settled = state.settled
            # A pipe must not be opened.
            if not os.path.isfile(name) or state.size > _MAX_READ_BYTES:  # noqa: PTH113
                return None
            return Content(name, state, _digest_of(name), known=False, settled=settled)
        except (OSError, ValueError):
            return None

    def known(
        self, path: str | os.PathLike[str], settings: Sequence[str] = ()
    ) -> tuple[Content | None, dict[str, _Distribution]]:
        """The content of a photo file whose state the cache knows, without opening it.

        Returns:
            The content, None where it is not known, and its distributions by those settings of
            which there are some.
        """
        name = _absolute(path)
        try:
            state = FileState.of(name)
        except (OSError, ValueError):
            return None, {}
        rows = self._ask(lambda database: database.execute(_KNOWN, (os.fsencode(name),)).fetchall())
        if not rows or rows[0][:4] != state.numbers or not isinstance(rows[0][4], bytes):
            return None, {}
        content = Content(name, state, rows[0][4], known=True, settled=state.settled)
        found = {
            text: self._unpacked(content, text, packed)
            for *_, text, packed in rows
            if text in settings
        }
        return content, {text: value for text, value in found.items() if value is not None}

    def content_of(self, contents: bytes) -> Content:
        """The content of a photo that was read from somewhere else than a file of its own."""
        digest = hashlib.blake2b(contents, digest_size=20).digest()
        return Content("", FileState(len(contents), 0, 0, 0), digest, known=True, settled=False)

    def find(self, content: Content, settings: Sequence[str]) -> dict[str, _Distribution]:
        """The distributions that are known of this content, by settings."""
        rows = self._ask(
            lambda database: [
                (text, database.execute(_FIND, (content.digest, text)).fetchone())
                for text in settings
            ]
        )
        found = {text: self._unpacked(content, text, row[0]) for text, row in rows or () if row}
        return {text: value for text, value in found.items() if value is not None}

    def keep(self, content: Content, distributions: Mapping[str, _Distribution]) -> None:
        """Remember distributions by settings, and the file's state, if it is still the same file.

        Call it after the photo was decoded: what changed in between is not remembered.
        """
        new_file = content.settled and not content.known
        try:
            if not (distributions or new_file) or not content.still_there():
                return
        except OSError:
            return
        with self._lock:
            if new_file:
                self._files.append(content.row)
            for text, distribution in distributions.items():
                self._scores.append((content.digest, text, _packed(content, text, distribution)))
            waiting = len(self._files) + len(self._scores)
            due = time.monotonic() - self._flushed > _FLUSH_S or waiting > _FLUSH_ROWS
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        self._ask(self._write)

    def close(self) -> None:
        """Write what is not written yet, throw away the oldest where it is too much, and close."""
        self.flush()
        self._ask(_shrink)
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def counts(self) -> dict[str, int]:
        """How many files and distributions it holds, and its size in bytes."""
        found = self._ask(
            lambda database: {
                "files": database.execute("SELECT count(*) FROM files").fetchone()[0],
                "distributions": database.execute("SELECT count(*) FROM scores").fetchone()[0],
            }
        )
        return (found or {}) | {"bytes": self.path.stat().st_size}

    def clear(self) -> None:
        """Forget everything."""
        self._ask(_clear)

    def _write(self, database: sqlite3.Connection) -> None:
        if self._files or self._scores:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", self._files)
            texts = {text for _, text, _ in self._scores}
            database.executemany(
                "INSERT OR IGNORE INTO settings(text) VALUES (?)", [(text,) for text in texts]
            )
            database.executemany(_KEEP, self._scores)
            database.execute("COMMIT")
            self._files, self._scores = [], []
        self._flushed = time.monotonic()

    def _unpacked(self, content: Content, text: str, packed: object) -> _Distribution | None:
        if isinstance(packed, bytes) and _check(content, text, packed[:-4]) == packed[-4:]:
            return np.frombuffer(packed[:-4], np.float32)
        self._ask(_raise_damaged)
        return None

    def _ask(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer | None:
        """The answer of the database; None, and a line in the log, where it has a problem."""
        with self._lock:
            if self._database is None:
                return None
            try:
                return question(self._database)
            except _DATABASE_ERRORS as error:
                self._recover(error)
                return None

    def _recover(self, error: Exception) -> None:
        """Begin a damaged file anew; go on without one that cannot be used."""
        assert self._database is not None
        with suppress(sqlite3.Error):
            self._database.close()
        self._database = None
        if not _is_damage(error):
            _log.warning("%s: the cache cannot be used (%s); going on without", self.path, error)
            return
        _log.warning("%s: the cache is damaged (%s); it is begun anew", self.path, error)
        _remove_database(self.path)
        with suppress(ConfigError):
            self._database = _open_database(self.path, ours=True)


# All that is known of a photo by one question: photos that were scored before take hardly more.
_KNOWN = """SELECT size, mtime_ns, ctime_ns, inode, content, text, distribution
    FROM files LEFT JOIN scores USING (content) LEFT JOIN settings USING (settings_id)
    WHERE path = ?"""
_FIND = """SELECT distribution FROM scores JOIN settings USING (settings_id)
    WHERE content = ? AND text = ?"""
_KEEP = """REPLACE INTO scores(content, settings_id, distribution)
    VALUES (?1, (SELECT settings_id FROM settings WHERE text = ?2), ?3)"""


def _packed(content: Content, text: str, distribution: _Distribution) -> bytes:
    values = np.ascontiguousarray(distribution, np.float32).tobytes()
    return values + _check(content, text, values)


def _check(content: Content, text: str, values: bytes) -> bytes:
    """A check sum over a distribution and its key: damage must not become a score."""
    return zlib.crc32(values, zlib.crc32(text.encode(), zlib.crc32(content.digest))).to_bytes(4)


def _raise_damaged(database: sqlite3.Connection) -> None:  # noqa: ARG001
    raise sqlite3.DatabaseError("a check sum is wrong")


def _clear(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    for table in ("files", "scores", "settings"):
        database.execute(f"DELETE FROM {table}")
    database.execute("COMMIT")
    database.execute("VACUUM")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _shrink(database: sqlite3.Connection) -> None:
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    if pages * database.execute("PRAGMA page_size").fetchone()[0] <= _MAX_BYTES:
        return
    database.execute("BEGIN IMMEDIATE")
    for table in ("files", "scores"):
        database.execute(
            f"DELETE FROM {table} WHERE rowid <= (SELECT rowid FROM {table} ORDER BY rowid "
            f"LIMIT 1 OFFSET (SELECT count(*) / 2 FROM {table}))"
        )
    database.execute("COMMIT")
    database.execute("VACUUM")


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
    def numbers(self) -> tuple[int, int, int, int]:
        """Size, both times and inode."""
        return self.size, self.mtime_ns, self.ctime_ns, self.inode

    @property
    def settled(self) -> bool:
        """Whether the last change is so long ago that another one would show."""
        now = time.time_ns()
        return abs(now - self.mtime_ns) > _SETTLED_NS and abs(now - self.ctime_ns) > _SETTLED_NS


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
        """Whether the file has this content now; what is no file of its own cannot change."""
        if not self.path:
            return True
        same = FileState.of(self.path) == self.state
        return same and (self.settled or _digest_of(self.path) == self.digest)

    @property
    def row(self) -> tuple[bytes, int, int, int, int, bytes]:
        """The row of the table `files`."""
        return (os.fsencode(self.path), *self.state.numbers, self.digest)


def _absolute(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(path)  # noqa: PTH100 -- keeps bytes that are not Unicode as they are


def _digest_of(path: str) -> bytes:
    """BLAKE2b of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).digest()


def _open_database(path: Path, *, ours: bool) -> sqlite3.Connection:
    """Open a cache file, making it if it is missing or damaged.

    Args:
        path: Its folder is made too.
        ours: Whether nobody else would put a file there, so that one that cannot be recognised is
            a damaged cache.

    Raises:
        ConfigError: The file is something else, or cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (_recognised(path) or ours):
            raise ConfigError(
                f"{path}: not a result cache, so it is left as it is. Name another file for the "
                "cache, or delete this one if it is a damaged cache."
            )
        try:
            return _connect(path)
        except _DATABASE_ERRORS as error:
            if not _is_damage(error):
                raise
            _log.warning("%s: the cache is damaged (%s); it is begun anew", path, error)
            _remove_database(path)
            return _connect(path)
    except (OSError, *_DATABASE_ERRORS) as error:
        raise ConfigError(
            f"{path}: the result cache cannot be used ({error}). Name another file with --cache or "
            "the environment variable SIAMESE_NIMA_CACHE, or do without: --no-cache"
        ) from error


def _is_damage(error: Exception) -> bool:
    """Whether an error means a damaged file, not one that is locked, full or forbidden."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _DAMAGE


def _remove_database(path: Path) -> None:
    """Delete a cache file with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _recognised(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(72)
    except FileNotFoundError:
        return True
    return not head or (head.startswith(_MAGIC) and head[68:] == _APPLICATION_ID.to_bytes(4))


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        if _number(database, "user_version") not in (0, _FORMAT):
            raise sqlite3.DatabaseError("made by another version")
        if _number(database, "application_id") == 0:
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        _write_ahead(database)
        database.execute("PRAGMA synchronous = NORMAL")
        if _number(database, "user_version") == 0:
            database.executescript(_TABLES)
            database.execute(f"PRAGMA user_version = {_FORMAT}")
    except BaseException:
        database.close()
        raise
    return database


def _number(database: sqlite3.Connection, pragma: str) -> int:
    return int(database.execute(f"PRAGMA {pragma}").fetchone()[0])


def _write_ahead(database: sqlite3.Connection) -> None:
    """Readers then never wait for writers. SQLite gives up at once while others switch, too."""
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.01)
