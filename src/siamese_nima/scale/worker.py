"""One worker of a distributed run: a model, and slices of the photos one after another."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import platform
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias, cast

from siamese_nima.errors import ConfigError, PhotoError, TableError
from siamese_nima.ordered_pool import in_order
from siamese_nima.photos.read import PhotoSource
from siamese_nima.scale.plan import NOTES, Slice
from siamese_nima.scale.stores import Folder, StoredPhoto, is_url, open_store, retried
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer, ScorerOptions
from siamese_nima.scoring.tables import Columns, parquet_writer

_ERRORS_TOLD = 20
# A slice that so many processes did not survive may hold a photo that ends them.
_TRUSTED = 2
# A thread that waits for a store leaves its core to others.
_THREADS_PER_CORE_FROM_STORES = 3
# What results call a photo, and the photo.
NamedPhoto: TypeAlias = tuple[str, PhotoSource]

_ROWS = 64  # rows read at a time: a table may hold whole photos


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every worker must know.

    Attributes:
        results: Folder or URL for the files of results.
        start: The folder that relative paths of photos start from.
        models: Content of each model file by the model's name.
        settings: What scores depend on besides the photos; a worker that differs is refused.
        options: How photos are scored; the cache is of no use on other machines.
        threads: Cores that a worker keeps busy.
    """

    results: str
    start: str
    models: Mapping[str, bytes]
    settings: tuple[str, ...]
    options: ScorerOptions = field(default_factory=ScorerOptions)
    threads: int = 1

    def scorer(self) -> Scorer:
        """A scorer with the models.

        Raises:
            ConfigError: Other versions are installed here than where the run was begun.
        """
        with tempfile.TemporaryDirectory(prefix="siamese-nima-") as folder:
            paths = [Path(folder, f"{name}.onnx") for name in self.models]
            for path, content in zip(paths, self.models.values(), strict=True):
                path.write_bytes(content)
            scorer = Scorer(paths, self.options, workers=self.threads, cache=None)
        if scorer.settings() != self.settings:
            raise ConfigError(
                f"machine {platform.node()} would score otherwise than the one where the run was "
                f"begun: {'; '.join(scorer.settings())} here, {'; '.join(self.settings)} there. "
                "Install the same versions on both."
            )
        return scorer


@dataclass(frozen=True, slots=True)
class Done:
    """A file of results that is whole.

    Attributes:
        photos: How many rows it has.
        failed: How many of them have an error.
        errors: The first of these errors.
        earlier: Whether it was there already.
    """

    photos: int
    failed: int
    errors: tuple[str, ...]
    earlier: bool = False

    def row(self) -> dict[str, Any]:
        """As a row for Ray, whose text is UTF-8 where names of files need not be."""
        return {
            "photos": self.photos,
            "failed": self.failed,
            "errors": json.dumps(self.errors),
            "earlier": self.earlier,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Done:
        """The same from such a row."""
        errors = tuple(json.loads(row["errors"]))
        return cls(int(row["photos"]), int(row["failed"]), errors, bool(row["earlier"]))


class Worker:
    """Scores slices; Ray calls it with rows that are slices, and gets rows that are `Done`."""

    def __init__(self, job: Job) -> None:
        """Load the models."""
        self._job = job
        self._results = Folder(job.results)
        self._scorer = job.scorer()
        self._columns = Columns(self._scorer.scales)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """One slice: its file of results is written, unless it is there and whole."""
        rows = Slice(**row)
        return (self._earlier(rows) or self._score(rows)).row()

    def _earlier(self, rows: Slice) -> Done | None:
        """A worker or driver that was lost may have left results that nobody has heard of."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = self._results.read(rows.results)
        if content is None:
            return None
        try:
            column = pq.read_table(io.BytesIO(content), columns=["error"]).column("error")
        except pa.ArrowException:
            return None  # damaged since: it is written anew
        if len(column) != rows.count:
            return None
        errors = column.drop_null().slice(0, _ERRORS_TOLD).to_pylist()
        return Done(rows.count, len(column) - column.null_count, tuple(errors), earlier=True)

    def _score(self, rows: Slice) -> Done:
        content, failed, errors = io.BytesIO(), 0, []
        with parquet_writer(content, self._columns) as table, closing(self._scored(rows)) as scored:
            for result in scored:
                table.write(result)
                if result.errors:
                    failed += 1
                    errors.append("; ".join(result.errors))
        self._results.write(rows.results, content.getvalue())
        self._results.remove(_begun(rows))
        return Done(rows.count, failed, tuple(errors[:_ERRORS_TOLD]))

    def _scored(self, rows: Slice) -> Generator[ScoredPhoto, None, None]:
        photos = photos_of(rows, self._job.start)
        note = _begun(rows)
        begun = int(self._results.read(note) or 0)
        self._results.write(note, str(begun + 1).encode())
        if begun < _TRUSTED:
            first = next(photos)
            stored = isinstance(first[1], StoredPhoto)
            yield from in_order(
                self._scorer.score_together,
                chain([first], photos),
                batch_size=self._scorer.batch_size,
                workers=self._job.threads * (_THREADS_PER_CORE_FROM_STORES if stored else 1),
            )
        else:
            yield from scored_isolated(self._job.scorer, self._scorer, photos)


def _begun(rows: Slice) -> str:
    """A note of how often a slice was begun."""
    return f"{NOTES}/begun/{rows.index:07d}"


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
        return name, _no_photo(f"{name}: no name, its 'path' is null.")
    name = os.fsdecode(row[0])
    if with_bytes:
        missing = row[1] is None
        return name, _no_photo(f"{name}: no photo, its 'bytes' is null.") if missing else row[1]
    return name, cast(PhotoSource, StoredPhoto(name)) if is_url(name) else Path(folder, name)


def _no_photo(reason: str) -> PhotoSource:
    """What stands for a photo that is not there: reading it raises `PhotoError` with the reason."""
    return cast(PhotoSource, _NoPhoto(reason))


@dataclass(frozen=True, slots=True)
class _NoPhoto:
    reason: str

    def read(self) -> bytes:
        raise PhotoError(self.reason)


_scorer: Scorer


def scored_isolated(
    make_scorer: Callable[[], Scorer], here: Scorer, photos: Iterator[NamedPhoto]
) -> Generator[ScoredPhoto, None, None]:
    """Results of photos, one after the other, from a process that may end at any of them.

    A decoder that crashes, or a photo that takes all memory, ends a worker; Ray would give the same
    photos to the next one, for ever. So a photo that ends its process becomes a row with an error.

    Args:
        make_scorer: Makes a scorer in that process.
        here: An equal scorer, for the errors of photos that ended it.
        photos: In the order of the results.
    """
    pool: ProcessPoolExecutor | None = None
    try:
        for name, photo in photos:
            pool = pool or _process(make_scorer)
            try:
                yield pool.submit(_score, name, photo).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = None
                reason = f"{name}: ended the process that read it; damaged, or too large to decode."
                yield here.score_together([(name, _no_photo(reason))])[0]
    finally:
        if pool:
            pool.shutdown()


def _process(make_scorer: Callable[[], Scorer]) -> ProcessPoolExecutor:
    # Not a fork, which would hang on locks that other threads hold.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(make_scorer,))
    # No photo is to be blamed for a process that does not even start.
    pool.submit(_ready).result()
    return pool


def _begin(make_scorer: Callable[[], Scorer]) -> None:
    global _scorer
    _scorer = make_scorer()


def _ready() -> None:
    return None


def _score(name: str, photo: PhotoSource) -> ScoredPhoto:
    return _scorer.score_together([(name, photo)])[0]
