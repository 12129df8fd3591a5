"""One worker of a distributed run: a model, and slices of the photos one after another."""

from __future__ import annotations

import io
import json
import platform
import tempfile
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from siamese_nima.errors import ConfigError
from siamese_nima.scale.apart import scored_apart
from siamese_nima.scale.listed_photos import photos_of
from siamese_nima.scale.plan import NOTES, Slice
from siamese_nima.scale.stores import Folder, StoredPhoto
from siamese_nima.scoring.in_order import in_order
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
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
        view, device, exact, batch_size: As `Scorer` has them.
        threads: Cores that a worker keeps busy.
    """

    results: str
    start: str
    models: Mapping[str, bytes]
    settings: tuple[str, ...]
    view: str | None = None
    device: str = "cpu"
    exact: bool = False
    batch_size: int = 4
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
            scorer = Scorer(
                paths,
                view=self.view,
                batch_size=self.batch_size,
                workers=self.threads,
                device=self.device,
                exact=self.exact,
            )
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
            yield from scored_apart(self._job.scorer, self._scorer, photos)


def _begun(rows: Slice) -> str:
    """A note of how often a slice was begun."""
    return f"{NOTES}/begun/{rows.index:07d}"
