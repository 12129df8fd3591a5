"""The photos that some rows of a Parquet table list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from siamese_nima.errors import PhotoError, TableError
from siamese_nima.photos.read import PhotoSource
from siamese_nima.scale.plan import Slice
from siamese_nima.scale.stores import StoredPhoto, is_url, open_store, retried

# What results call a photo, and the photo.
NamedPhoto: TypeAlias = tuple[str, PhotoSource]

_ROWS = 64  # rows read at a time: a table may hold whole photos


def no_photo(reason: str) -> PhotoSource:
    """What stands for a photo that is not there: reading it raises `PhotoError` with the reason."""
    return cast(PhotoSource, _NoPhoto(reason))


@dataclass(frozen=True, slots=True)
class _NoPhoto:
    reason: str

    def read(self) -> bytes:
        raise PhotoError(self.reason)


def photos_of(rows: Slice, folder: str) -> Iterator[NamedPhoto]:
    """The photos of a slice, in order.

    Args:
        rows: Which rows of which table.
        folder: Where relative paths start from.

    Raises:
        TableError: The table has fewer rows, or cannot be read any more.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    system, path = open_store(rows.table)
    found = 0
    try:
        with retried(lambda: system.open(path, "rb")) as opened:
            table = pq.ParquetFile(opened)
            with_bytes = "bytes" in table.schema_arrow.names
            for row in _rows(table, rows, ["path", "bytes"] if with_bytes else ["path"]):
                yield _photo(row, rows.first + found, folder, with_bytes=with_bytes)
                found += 1
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{rows.table}: cannot be read any more ({error})") from error
    if found < rows.count:
        raise TableError(
            f"{rows.table}: rows {rows.first} to {rows.first + rows.count} were wanted, {found} "
            "found; the table has changed since the run began"
        )


def _rows(table: Any, rows: Slice, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Values of the columns of each row; row groups without any of the rows are not read."""
    groups: list[int] = []
    start = group_first = 0
    for group in range(table.num_row_groups):
        end = start + table.metadata.row_group(group).num_rows
        if start < rows.first + rows.count and end > rows.first:
            group_first = group_first if groups else start
            groups.append(group)
        start = end
    passed, left = rows.first - group_first, rows.count
    for batch in table.iter_batches(_ROWS, row_groups=groups, columns=columns):
        wanted = batch.slice(passed, left) if passed < batch.num_rows else batch.slice(0, 0)
        passed = max(0, passed - batch.num_rows)
        left -= wanted.num_rows
        yield from zip(*(wanted.column(name).to_pylist() for name in columns), strict=True)
        if not left:
            return


def _photo(row: tuple[Any, ...], place: int, folder: str, *, with_bytes: bool) -> NamedPhoto:
    if row[0] is None:
        name = f"<row {place + 1}>"
        return name, no_photo(f"{name}: no name, its 'path' is null.")
    name = os.fsdecode(row[0])
    if with_bytes:
        missing = row[1] is None
        return name, no_photo(f"{name}: no photo, its 'bytes' is null.") if missing else row[1]
    return name, cast(PhotoSource, StoredPhoto(name)) if is_url(name) else Path(folder, name)
