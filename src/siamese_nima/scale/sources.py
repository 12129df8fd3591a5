"""What the arguments of a distributed run mean: names of photos, and tables that list photos."""

from __future__ import annotations

import glob
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import IO, Any

from siamese_nima.csv_rows import read_lines
from siamese_nima.errors import NimaError, TableError
from siamese_nima.photos.find import FoundPhotos, find_photos, natural_key
from siamese_nima.photos.formats import PHOTO_EXTENSIONS
from siamese_nima.scale.stores import is_url, open_store, reason_of, retried, without_file_scheme

_LISTING, _TABLE = ".txt", ".parquet"
_READERS = 16  # tables looked at together: each waits for its store


@dataclass(frozen=True, slots=True)
class PhotoTable:
    """A Parquet file with a photo per row: `path`, and perhaps its contents in `bytes`.

    Attributes:
        file: URL or absolute path.
        rows: How many photos.
        state: Tells whether the file has changed: its size and, where the store knows, its time.
    """

    file: str
    rows: int
    state: str


@dataclass(slots=True)
class Sources:
    """Photos to score, in the order of the arguments.

    Attributes:
        parts: Names of photos, or a table; neighbouring names are one part.
        skipped: What was passed over; its names are empty.
    """

    parts: list[list[str] | PhotoTable] = field(default_factory=list)
    skipped: FoundPhotos = field(default_factory=lambda: FoundPhotos(names=()))

    @property
    def photos(self) -> int:
        """How many."""
        return sum(part.rows if isinstance(part, PhotoTable) else len(part) for part in self.parts)


def find_sources(patterns: Sequence[str], *, stdin: IO[bytes] | None = None) -> Sources:
    """What files, folders, globs, URLs, listing files and `-` stand for, each photo once.

    - A local path or glob is what `find_photos` makes of it.
    - A URL is a photo, a folder that is searched in the order and by the rules of local ones, or a
      glob of photos.
    - A name that ends in .txt is a listing: one name or URL a line, taken literally; `-` is one on
      standard input.
    - A name that ends in .parquet is a table of photos, or a glob of such.

    Args:
        patterns: These.
        stdin: Read for `-` instead of standard input.

    Raises:
        NimaError: A folder of a store cannot be searched, or a listing cannot be read.
        TableError: A table cannot be read, or has no fitting column.
        PhotoError: A pattern is the empty string.
    """
    sources = Sources()
    known: set[str] = set()
    plain = [without_file_scheme(pattern) for pattern in patterns]
    for is_table, group in groupby(plain, key=lambda pattern: pattern.endswith(_TABLE)):
        if is_table:
            files = list(dict.fromkeys(file for pattern in group for file in _tables(pattern)))
            with ThreadPoolExecutor(_READERS) as pool:
                sources.parts += pool.map(photo_table, files)
        else:
            names: list[str] = []
            for found in _found(group, stdin):
                new = [name for name in found.names if name not in known]
                known.update(new)
                names += new
                repeats = len(found.names) - len(new)
                sources.skipped = _sum(sources.skipped, found, repeats)
            if names:
                sources.parts.append(names)
    return sources


def photo_table(file: str) -> PhotoTable:
    """Look at a Parquet file that lists photos.

    Raises:
        TableError: It cannot be read, or its columns do not fit.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    system, path = open_store(file)
    try:
        with system.open(path, "rb") as opened:
            table = pq.ParquetFile(opened)
            schema, rows = table.schema_arrow, table.metadata.num_rows
        state = _state(system, path)
    # Every store has errors of its own.
    except Exception as error:
        reason = reason_of(error)
        raise TableError(f"{file}: not a Parquet file that can be read ({reason})") from error
    for column, kinds in (("path", "text"), ("bytes", "binary")):
        if column in schema.names:
            kind = schema.field(column).type
            binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
            text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            if not (binary or (text and column == "path")):
                raise TableError(f"{file}: column {column!r} is {kind}; wanted {kinds}")
        elif column == "path":
            raise TableError(
                f"{file}: no column 'path' among {', '.join(schema.names)}; wanted the names of "
                "photos in 'path', and where the table holds the photos themselves, those in "
                "'bytes'"
            )
    return PhotoTable(file=file if is_url(file) else path, rows=rows, state=state)


def _state(system: Any, path: str) -> str:
    details = system.info(path)
    time = next((details[key] for key in ("ETag", "mtime", "updated") if key in details), "")
    return f"{details.get('size')} {time}".strip()


def _tables(pattern: str) -> Iterator[str]:
    if not glob.has_magic(pattern):
        yield pattern
        return
    system, path = open_store(pattern)
    system.invalidate_cache()
    try:
        matches = sorted(retried(lambda: system.glob(path)), key=natural_key)
    except Exception as error:
        raise NimaError(f"{pattern}: cannot be searched ({reason_of(error)})") from error
    if not matches:
        raise TableError(f"{pattern}: no such table")
    for match in matches:
        yield system.unstrip_protocol(match) if is_url(pattern) else match


def _found(patterns: Iterable[str], stdin: IO[bytes] | None) -> Iterator[FoundPhotos]:
    for pattern in patterns:
        if pattern == "-":
            yield from _listed(read_lines(stdin or sys.stdin.buffer, "standard input"))
        elif pattern.endswith(_LISTING):
            yield from _listed(read_lines(io.BytesIO(_listing(pattern)), pattern))
        elif is_url(pattern):
            yield _search(pattern)
        else:
            yield find_photos([pattern])


def _listing(file: str) -> bytes:
    system, path = open_store(file)
    try:
        content: bytes = retried(lambda: system.cat_file(path))
    except Exception as error:
        raise NimaError(f"{file}: the listing cannot be read ({reason_of(error)})") from error
    return content


def _listed(lines: Iterable[str]) -> Iterator[FoundPhotos]:
    """Names are taken literally; local ones may be folders, as those on standard input are."""
    for remote, group in groupby(lines, key=is_url):
        if remote:
            names = tuple(without_file_scheme(line) for line in group)
            yield FoundPhotos(names=names)
        else:
            yield find_photos(["-"], stdin=io.StringIO("\n".join(group)))


def _search(url: str) -> FoundPhotos:
    """The photos that a URL stands for, in the order in which a local folder is searched."""
    system, root = open_store(url)
    system.invalidate_cache()
    try:
        if not glob.has_magic(root) and retried(lambda: system.isfile(root)):
            return FoundPhotos(names=(url,))
        search = system.glob if glob.has_magic(root) else system.find
        entries = retried(lambda: search(root, detail=True))
    except Exception as error:
        raise NimaError(f"{url}: cannot be searched ({reason_of(error)})") from error
    files = [path for path, details in entries.items() if details["type"] != "directory"]
    if not files:
        return FoundPhotos(names=(url,))  # reading it says what is wrong
    start = "" if glob.has_magic(root) else root.rstrip("/") + "/"
    found, hidden, other = [], 0, 0
    for path in files:
        inside = PurePosixPath(path.removeprefix(start))
        if any(part.startswith(".") for part in inside.parts):
            hidden += 1
        elif inside.suffix.lower() not in PHOTO_EXTENSIONS:
            other += 1
        else:
            found.append((_order(inside), path))
    names = tuple(system.unstrip_protocol(path) for _, path in sorted(found))
    return FoundPhotos(names=names, skipped_hidden=hidden, skipped_other=other)


def _order(path: PurePosixPath) -> list[tuple[bool, Any]]:
    """Sorts a folder's own photos before those of the folders in it."""
    return [
        *((True, natural_key(folder)) for folder in path.parts[:-1]),
        (False, natural_key(path.name)),
    ]


def _sum(before: FoundPhotos, found: FoundPhotos, repeats: int) -> FoundPhotos:
    return replace(
        before,
        skipped_hidden=before.skipped_hidden + found.skipped_hidden,
        skipped_other=before.skipped_other + found.skipped_other,
        skipped_special=before.skipped_special + found.skipped_special,
        skipped_repeats=before.skipped_repeats + found.skipped_repeats + repeats,
    )
