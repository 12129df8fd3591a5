"""Result tables: CSV, JSON Lines and Parquet, written row by row and never left half-written."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from siamese_nima.errors import ConfigError, MissingExtraError, NimaError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.scored_photo import ScoredPhoto

TABLE_FORMATS = (".csv", ".jsonl", ".parquet")
_PARQUET_ROWS = 4096


class ResultWriter(Protocol):
    """Takes one result at a time."""

    def write(self, result: ScoredPhoto) -> None:
        """Append one result."""


@contextmanager
def open_table(path: str | os.PathLike[str], scale: RatingScale) -> Iterator[ResultWriter]:
    """Open a table for results; it appears under its name only when it is complete.

    Args:
        path: Ends in .csv, .jsonl or .parquet (the last needs the `parquet` extra).
        scale: The rating scale of the results; it names the columns of the distribution.

    Raises:
        ConfigError: Another ending.
        MissingExtraError: Parquet without pyarrow.
        NimaError: The file cannot be written.
    """
    target = Path(path)
    if target.suffix not in TABLE_FORMATS:
        raise ConfigError(f"{target}: a table ends in {', '.join(TABLE_FORMATS)}")
    part = target.with_name(f".{target.name}.part")
    try:
        if target.suffix == ".parquet":
            with _parquet_writer(part, scale) as parquet:
                yield parquet
        else:
            # Names that are not valid UTF-8 keep their bytes.
            with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                if target.suffix == ".csv":
                    yield CsvWriter(file, scale)
                else:
                    yield JsonLinesWriter(file)
                file.flush()
                os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise NimaError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


class CsvWriter:
    """One row per photo; a header first; empty cells where there is no value."""

    def __init__(self, file: TextIO, scale: RatingScale) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._scale = scale
        self._rows.writerow(_columns(scale))

    def write(self, result: ScoredPhoto) -> None:
        """Append one row; scores have 4 decimals, probabilities 6."""
        distribution = result.distribution or [None] * self._scale.size
        self._rows.writerow(
            [
                result.path,
                _rounded(result.mean, 4),
                _rounded(result.spread, 4),
                _rounded(result.percentile, 2),
                *(_rounded(p, 6) for p in distribution),
                str(result.scale),
                result.model,
                result.error,
            ]
        )


class JsonLinesWriter:
    """One JSON object per photo and line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, result: ScoredPhoto) -> None:
        """Append one line."""
        self._file.write(json.dumps(as_json(result)) + "\n")


def as_json(result: ScoredPhoto) -> dict[str, Any]:
    """The result with the names of its fields; the scale as [low, high]."""
    return {
        "path": result.path,
        "mean": _rounded(result.mean, 4),
        "spread": _rounded(result.spread, 4),
        "percentile": _rounded(result.percentile, 2),
        "distribution": result.distribution and [round(p, 6) for p in result.distribution],
        "scale": [result.scale.low, result.scale.high],
        "model": result.model,
        "error": result.error,
    }


class _ParquetWriter:
    def __init__(self, writer: Any, schema: Any) -> None:
        self._writer = writer
        self._schema = schema
        self._waiting: list[dict[str, Any]] = []

    def write(self, result: ScoredPhoto) -> None:
        row = as_json(result)
        row["path"] = _utf8(result.path)
        row["error"] = result.error and _utf8(result.error)
        row["distribution"] = result.distribution
        self._waiting.append(row)
        if len(self._waiting) >= _PARQUET_ROWS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting = []


@contextmanager
def _parquet_writer(path: Path, scale: RatingScale) -> Iterator[_ParquetWriter]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.of("a Parquet table", "parquet") from error
    schema = pa.schema(
        [
            ("path", pa.string()),
            ("mean", pa.float64()),
            ("spread", pa.float64()),
            ("percentile", pa.float64()),
            ("distribution", pa.list_(pa.float32(), scale.size)),
            ("scale", pa.list_(pa.int32(), 2)),
            ("model", pa.string()),
            ("error", pa.string()),
        ]
    )
    with pq.ParquetWriter(path, schema) as file:
        writer = _ParquetWriter(file, schema)
        yield writer
        writer.flush()


def _columns(scale: RatingScale) -> list[str]:
    grades = [f"p{grade:g}" for grade in scale.grades]
    return ["path", "mean", "spread", "percentile", *grades, "scale", "model", "error"]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _utf8(text: str) -> str:
    """Parquet text is UTF-8; bytes of a file name that are not appear as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
