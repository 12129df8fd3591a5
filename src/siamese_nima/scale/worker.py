"""One worker of a distributed run: a model, and slices of the photos one after another."""

from __future__ import annotations

import io
import json
import multiprocessing
import platform
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

from siamese_nima.errors import ConfigError
from siamese_nima.ordered_pool import in_order
from siamese_nima.photos.read import PhotoSource
from siamese_nima.photos.tables import (
    JOINED,
    EmbeddedPhoto,
    ListedPhoto,
    PhotoTable,
    kept_column,
    table_photos,
)
from siamese_nima.scale.plan import NOTES, Folder, Slice
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer, ScorerOptions
from siamese_nima.scoring.tables import Columns, parquet_writer

_ERRORS_TOLD = 20
# A slice that so many processes did not survive may hold a photo that ends them.
_TRUSTED = 2
# A thread that waits for a store leaves its core to others.
_THREADS_PER_CORE_FROM_STORES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every worker must know.

    Attributes:
        results: Folder or URL for the files of results.
        start: The folder that relative paths of photos start from.
        models: Content of each model file by the model's name.
        settings: What scores depend on besides the photos; a worker that differs is refused.
        options: How photos are scored; the cache is of no use on other machines.
        kept: Columns that results keep of their sources, as `Sources.kept` says.
        threads: Cores that a worker keeps busy.
    """

    results: str
    start: str
    models: Mapping[str, bytes]
    settings: tuple[str, ...]
    options: ScorerOptions = field(default_factory=ScorerOptions)
    kept: Mapping[str, Any] = field(default_factory=dict)
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
        self._columns = Columns(self._scorer.scales, kept=job.kept)

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
        photos = photos_of(rows, self._job.start, self._job.kept)
        note = _begun(rows)
        begun = int(self._results.read(note) or 0)
        self._results.write(note, str(begun + 1).encode())
        if begun < _TRUSTED:
            first = next(photos)
            yield from in_order(
                self._score_together,
                chain([first], photos),
                batch_size=self._scorer.batch_size,
                workers=self._job.threads * (_THREADS_PER_CORE_FROM_STORES if first.remote else 1),
            )
        else:
            yield from scored_isolated(self._job.scorer, self._scorer, photos)

    def _score_together(self, photos: Sequence[ListedPhoto]) -> list[ScoredPhoto]:
        results = self._scorer.score_together([(one.name, one.photo) for one in photos])
        return [
            replace(result, about=photo.about)
            for result, photo in zip(results, photos, strict=True)
        ]


def _begun(rows: Slice) -> str:
    """A note of how often a slice was begun."""
    return f"{NOTES}/begun/{rows.index:07d}"


def photos_of(rows: Slice, folder: str, kept: Mapping[str, Any]) -> Iterator[ListedPhoto]:
    """The photos of a slice, in order.

    Args:
        rows: Which rows of which table.
        folder: Where relative paths start from.
        kept: Columns that are kept of tables with photos in them.

    Raises:
        TableError: The table has fewer rows, or cannot be read any more.
    """
    columns = {kept_column(name): kind for name, kind in kept.items() if name not in JOINED}
    table = PhotoTable(rows.table, rows.count, "", rows.label, rows.image or None, columns)
    return table_photos(table, rows.first, rows.count, folder)


_scorer: Scorer


def scored_isolated(
    make_scorer: Callable[[], Scorer], here: Scorer, photos: Iterator[ListedPhoto]
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
        for listed in photos:
            pool = pool or _process(make_scorer)
            try:
                result = pool.submit(_score, listed.name, listed.photo).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = None
                flaw = "ended the process that read it; damaged, or too large to decode"
                nothing = cast(PhotoSource, EmbeddedPhoto(listed.name, flaw=flaw))
                result = here.score_together([(listed.name, nothing)])[0]
            yield replace(result, about=listed.about)
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
