"""Parquet tables with a photo in each row, as Hugging Face data sets have them or by paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from siamese_nima.errors import MissingExtraError, PhotoError, TableError
from siamese_nima.photos.archives import MOST_BYTES, ArchivedPhoto
from siamese_nima.photos.loading import FetchedPhoto
from siamese_nima.photos.read import PhotoSource
from siamese_nima.photos.stores import (
    StoredPhoto,
    is_url,
    open_file,
    reason_of,
    state_of,
    without_file_scheme,
)

_ROWS = 64  # rows read at a time: a table may hold whole photos
_IMAGE = "image"  # what Hugging Face data sets mostly call it
_MOST_GROUP_BYTES = 4 << 30  # of the photos of a row group, which is unpacked together
JOINED = ("key", "row")  # columns of ours that join results to their sources


@dataclass(frozen=True, slots=True)
class PhotoTable:
    """A Parquet file with a photo per row.

    The photos are in a column of structs with `bytes` and `path`, as Hugging Face data sets have
    it; or in `path`, and perhaps their contents in `bytes`.

    Attributes:
        file: URL or absolute path.
        rows: How many photos.
        state: Tells whether the file has changed: its size and, where the store knows, its time.
        label: What names of photos in it begin with.
        image: The column of structs, or of bytes; None where it is `path`.
        kept: Types of the other columns that results can keep.
    """

    file: str
    rows: int
    state: str
    label: str = ""
    image: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """One photo of a source.

    Attributes:
        name: What results call it.
        photo: The photo, as `read_photo` takes it; one with `read` is not in memory yet.
        about: Values of the columns that join results to it.
    """

    name: str
    photo: PhotoSource
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def remote(self) -> bool:
        """Whether reading it waits for a store."""
        archived = isinstance(self.photo, ArchivedPhoto) and is_url(self.photo.archive)
        return archived or isinstance(self.photo, StoredPhoto)


def kept_name(column: str) -> str:
    """What results call another column of a table: its own name, unless that is one of `JOINED`."""
    return f"data_{column}" if column in JOINED else column


def kept_column(name: str) -> str:
    """The column of a table that results call so; the reverse of `kept_name`."""
    return name.removeprefix("data_") if name in map(kept_name, JOINED) else name


def listed_member(photo: ArchivedPhoto, row: int) -> ListedPhoto:
    """A photo of an archive that is the one at this place of it."""
    return ListedPhoto(photo.name, cast(PhotoSource, photo), {"key": photo.key, "row": row})


@dataclass(frozen=True, slots=True)
class EmbeddedPhoto(FetchedPhoto):
    """A photo whose bytes came with its name, or the reason why there are none."""

    name: str
    content: bytes = b""
    flaw: str = ""

    def read(self) -> bytes:
        """The photo's bytes; raises `PhotoError` with the reason where there are none."""
        if self.flaw:
            raise PhotoError(f"{self.name}: {self.flaw}.")
        return self.content


def table_photos(table: PhotoTable, first: int, count: int, folder: str) -> Iterator[ListedPhoto]:
    """The photos of some rows of a table, in order.

    Args:
        table: Which table; its number of rows is of no account.
        first: The first row.
        count: How many rows.
        folder: Where relative paths start from.

    Raises:
        TableError: The table has fewer rows, or cannot be read any more.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = 0
    try:
        with open_file(table.file) as opened:
            parquet = pq.ParquetFile(opened)
            names = parquet.schema_arrow.names
            own = [table.image] if table.image else [c for c in ("path", "bytes") if c in names]
            if "archive" in names and table.image is None:
                own = [f.name for f in fields(ArchivedPhoto)]
            columns = [*own, *(name for name in table.kept if name in names)]
            for row in _rows(parquet, first, count, columns):
                values = dict(zip(columns, row, strict=True))
                yield _row_photo(values, table, first + found, folder)
                found += 1
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{table.file}: cannot be read any more ({error})") from error
    if found < count:
        raise TableError(
            f"{table.file}: rows {first} to {first + count} were wanted, {found} "
            "found; the table has changed since the run began"
        )


def photo_table(file: str, image_column: str | None = None) -> PhotoTable:
    """Look at a Parquet file that has a photo in each row.

    Raises:
        MissingExtraError: pyarrow is not installed.
        TableError: It cannot be read, or its columns do not fit.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.of("a table of photos", "scale") from error
    try:
        with open_file(file) as opened:
            table = pq.ParquetFile(opened)
            schema, metadata = table.schema_arrow, table.metadata
        state = state_of(file)
    # Every store has errors of its own.
    except Exception as error:
        reason = reason_of(error)
        raise TableError(f"{file}: not a Parquet file that can be read ({reason})") from error
    image = _image_column(file, schema, image_column)
    if image is None:
        _check_path_columns(file, schema)
    else:
        _check_groups(file, metadata)
    others = {f.name: f.type for f in schema if f.name != image and not _has_bytes(f.type)}
    return PhotoTable(
        file=file if is_url(file) else str(Path(file).absolute()),
        rows=metadata.num_rows,
        state=state,
        label=file,
        image=image,
        kept={} if image is None else others,
    )


def _image_column(file: str, schema: Any, wanted: str | None) -> str | None:
    import pyarrow as pa

    name = wanted or _IMAGE
    if name not in schema.names:
        if wanted is None:
            return None
        raise TableError(f"{file}: no column {name!r} among {', '.join(schema.names)}")
    kind = schema.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return name
    if wanted is None:
        return None
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return name
    raise TableError(
        f"{file}: column {name!r} is {kind}; wanted bytes, or a struct with bytes and path"
    )


def _check_path_columns(file: str, schema: Any) -> None:
    import pyarrow as pa

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
                "'bytes' or, as structs with bytes and path, in 'image'; --image-column names "
                "another one"
            )


def _check_groups(file: str, metadata: Any) -> None:
    for number in range(metadata.num_row_groups):
        size = metadata.row_group(number).total_byte_size
        if size > _MOST_GROUP_BYTES:
            raise TableError(
                f"{file}: row group {number} has {size} bytes; at most {_MOST_GROUP_BYTES} are "
                "read together. Write the table with smaller row groups."
            )


def _has_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return any(_has_bytes(kind.field(index).type) for index in range(kind.num_fields))
    fixed = pa.types.is_fixed_size_binary(kind)
    return bool(fixed or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _row_photo(values: Mapping[str, Any], table: PhotoTable, row: int, folder: str) -> ListedPhoto:
    if "archive" in values and table.image is None:
        texts = {k: os.fsdecode(v) if isinstance(v, bytes) else v for k, v in values.items()}
        return listed_member(ArchivedPhoto(**cast(Any, texts)), row)
    if table.image is None:
        return _path_row(values, row, folder)
    image = values[table.image]
    given = image if isinstance(image, dict) else {"bytes": image}
    path, content = given.get("path"), given.get("bytes")
    name = f"{table.label}::{row if path is None else os.fsdecode(path)}"
    others = {kept_name(column): values.get(column) for column in table.kept}
    about = {"key": path, "row": row} | others
    if content is None and path is not None:
        return ListedPhoto(name, named_photo(os.fsdecode(path), folder), about)
    flaw = "no photo, the row holds none" if content is None else ""
    if content is not None and len(content) > MOST_BYTES:
        content, flaw = b"", f"it has {len(content)} bytes; at most {MOST_BYTES} are read"
    return ListedPhoto(name, cast(PhotoSource, EmbeddedPhoto(name, content or b"", flaw)), about)


def _path_row(values: Mapping[str, Any], row: int, folder: str) -> ListedPhoto:
    if values["path"] is None:
        name = f"<row {row + 1}>"
        nothing = EmbeddedPhoto(name, flaw="no name, its 'path' is null")
        return ListedPhoto(name, cast(PhotoSource, nothing))
    name = os.fsdecode(values["path"])
    if "bytes" not in values:
        return ListedPhoto(name, named_photo(name, folder))
    content = values["bytes"]
    flaw = "no photo, its 'bytes' is null" if content is None else ""
    return ListedPhoto(name, cast(PhotoSource, EmbeddedPhoto(name, content or b"", flaw)))


def named_photo(name: str, folder: str) -> PhotoSource:
    """A photo by its path, relative to a folder, or by its URL."""
    name = without_file_scheme(name)
    if is_url(name):
        return cast(PhotoSource, StoredPhoto(name))
    return name if folder == os.curdir else Path(folder, name)


def _rows(table: Any, first: int, count: int, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Values of the columns of each row; row groups without any of the rows are not read."""
    groups: list[int] = []
    start = group_first = 0
    for group in range(table.num_row_groups):
        end = start + table.metadata.row_group(group).num_rows
        if start < first + count and end > first:
            group_first = group_first if groups else start
            groups.append(group)
        start = end
    passed, left = first - group_first, count
    for batch in table.iter_batches(_ROWS, row_groups=groups, columns=list(columns)):
        wanted = batch.slice(passed, left) if passed < batch.num_rows else batch.slice(0, 0)
        passed = max(0, passed - batch.num_rows)
        left -= wanted.num_rows
        yield from zip(*(wanted.column(name).to_pylist() for name in columns), strict=True)
        if not left:
            return
