"""The SQLite file of the result cache: made, recognised, and thrown away when it is damaged."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

from siamese_nima.errors import ConfigError

_log = logging.getLogger(__name__)

_APPLICATION_ID = 0x4E494D41  # "NIMA"; bytes 68 to 72 of the file
_FORMAT = 1
_BUSY_S = 30.0
_MAGIC = b"SQLite format 3\0"
# Python fails to decode the message of an error that quotes damaged text.
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
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


def open_database(path: Path, *, ours: bool) -> sqlite3.Connection:
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
        except DATABASE_ERRORS as error:
            if not is_damage(error):
                raise
            _log.warning("%s: the cache is damaged (%s); it is begun anew", path, error)
            remove_database(path)
            return _connect(path)
    except (OSError, *DATABASE_ERRORS) as error:
        raise ConfigError(
            f"{path}: the result cache cannot be used ({error}). Name another file with --cache or "
            "the environment variable SIAMESE_NIMA_CACHE, or do without: --no-cache"
        ) from error


def is_damage(error: Exception) -> bool:
    """Whether an error means a damaged file, not one that is locked, full or forbidden."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _DAMAGE


def remove_database(path: Path) -> None:
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
