"""Result tables: CSV, JSON Lines and Parquet, written row by row, never left half-written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from siamese_nima.csv_rows import as_on_disk, csv_writer, read_text, table_lines
from siamese_nima.errors import ConfigError, MissingExtraError, NimaError, RatingError, TableError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.ranking import RankPlace
from siamese_nima.scoring.results import ScoredPhoto, rounded

if sys.platform != "win32":
    import fcntl

TABLE_FORMATS = (".csv", ".jsonl", ".parquet")
_PARQUET_ROWS = 4096
_PLACE = ("rank", "rank_best", "rank_worst", "over_next")
_NUMBERS = ("score", "spread", "percentile")
_WANTED = ("path", "score", "scale", "model")  # of a table that is read back
_NUMBERS_READ = ("score", "mean", "percentile")
_OF_A_MODEL = (*_NUMBERS, "distribution", "scale", "model")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a table has: the same in every format.

    Attributes:
        scales: Rating scale of every model by its name, in the order of the columns. Where there
            are several models, their columns begin with their names: "quality_score".
        ranked: Whether rows have a place in a ranking.
    """

    scales: Mapping[str, RatingScale]
    ranked: bool = False

    def prefixes(self) -> dict[str, str]:
        """What the columns of each model begin with."""
        return {name: f"{name}_" if len(self.scales) > 1 else "" for name in self.scales}

    def row(self, result: ScoredPhoto, place: RankPlace | None) -> dict[str, Any]:
        """The values of one photo by column; scores have 4 decimals, probabilities 6."""
        row: dict[str, Any] = {"path": result.path}
        if self.ranked:
            row |= _place_values(place)
        results = (result, *result.others.values())
        for prefix, own in zip(self.prefixes().values(), results, strict=True):
            values = own.to_dict()
            row |= {f"{prefix}{column}": values[column] for column in _OF_A_MODEL}
        return row | {"error": "; ".join(result.errors) or None}


class ResultWriter(Protocol):
    """Takes one result at a time."""

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        """Append one result, with its place where the table is of a ranking."""


@contextmanager
def open_table(path: str | os.PathLike[str], columns: Columns) -> Iterator[ResultWriter]:
    """Open a table for results; it appears under its name only when it is complete.

    Args:
        path: Ends in .csv, .jsonl or .parquet (the last needs the `parquet` extra).
        columns: Which columns it has.

    Raises:
        ConfigError: Another ending.
        MissingExtraError: Parquet without pyarrow.
        NimaError: The file cannot be written, or another run is writing it (not seen on Windows).
    """
    target = Path(path)
    if target.suffix not in TABLE_FORMATS:
        raise ConfigError(f"{target}: a table ends in {', '.join(TABLE_FORMATS)}")
    try:
        with _part_of(target) as part:
            if target.suffix == ".parquet":
                with parquet_writer(part, columns) as parquet:
                    yield parquet
            else:
                # Names that are not valid UTF-8 keep their bytes.
                with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                    if target.suffix == ".csv":
                        yield CsvWriter(file, columns)
                    else:
                        yield JsonLinesWriter(file, columns)
                    file.flush()
                    os.fsync(file.fileno())
    except OSError as error:
        raise NimaError(f"{target}: cannot be written ({error.strerror or error})") from error


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """A file to write that takes the place of `target` at the end, for one run at a time.

    Not `atomic_write.replacing`: a run over a folder can take days, so that two at once are more
    likely a mistake, and what a killed one leaves behind is large. So the file has a fixed name,
    which is locked and used again.
    """
    part = target.with_name(f".{target.name}.part")
    with _claimed(part, target):
        try:
            yield part
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextmanager
def _claimed(part: Path, target: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    with part.open("ab") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NimaError(
                f"{target}: another run is writing this table; wait for it or write elsewhere"
            ) from error
        yield


class CsvWriter:
    """One row per photo; a header first; empty cells where there is no value."""

    def __init__(self, file: TextIO, columns: Columns) -> None:
        self._rows = csv_writer(file)
        self._columns = columns
        header = ["path", *(_PLACE if columns.ranked else ())]
        for name, prefix in columns.prefixes().items():
            grades = [f"p{grade:g}" for grade in columns.scales[name].grades]
            header += [f"{prefix}{column}" for column in (*_NUMBERS, *grades, "scale", "model")]
        self._rows.writerow([*header, "error"])

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        """Append one row: probabilities in columns of their own, the scale as "1..10"."""
        row = self._columns.row(result, place)
        for name, prefix in self._columns.prefixes().items():
            scale = self._columns.scales[name]
            row[f"{prefix}distribution"] = row[f"{prefix}distribution"] or [None] * scale.size
            row[f"{prefix}scale"] = str(scale)
        cells: list[Any] = []
        for value in row.values():
            cells += value if isinstance(value, list) else [value]
        self._rows.writerow(cells)


class JsonLinesWriter:
    """One JSON object per photo and line; scales as [low, high]."""

    def __init__(self, file: TextIO, columns: Columns) -> None:
        self._file = file
        self._columns = columns

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        """Append one line."""
        self._file.write(json.dumps(self._columns.row(result, place)) + "\n")


class _ParquetWriter:
    def __init__(self, writer: Any, schema: Any, columns: Columns) -> None:
        self._writer = writer
        self._schema = schema
        self._columns = columns
        self._waiting: list[dict[str, Any]] = []

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        row = self._columns.row(result, place)
        for column in ("path", "error"):
            row[column] = row[column] and _utf8(row[column])
        self._waiting.append(row)
        if len(self._waiting) >= _PARQUET_ROWS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting = []


@contextmanager
def parquet_writer(where: Path | BinaryIO, columns: Columns) -> Iterator[ResultWriter]:
    """A Parquet table, written to a file of that path or into an open one.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.of("a Parquet table", "parquet") from error
    fields = [("path", pa.string())]
    if columns.ranked:
        fields += [(column, pa.int64()) for column in _PLACE[:-1]]
        fields.append((_PLACE[-1], pa.float64()))
    for name, prefix in columns.prefixes().items():
        fields += [(f"{prefix}{column}", pa.float64()) for column in _NUMBERS]
        fields += [
            (f"{prefix}distribution", pa.list_(pa.float32(), columns.scales[name].size)),
            (f"{prefix}scale", pa.list_(pa.int32(), 2)),
            (f"{prefix}model", pa.string()),
        ]
    schema = pa.schema([*fields, ("error", pa.string())])
    with pq.ParquetWriter(where, schema) as file:
        writer = _ParquetWriter(file, schema, columns)
        yield writer
        writer.flush()


def read_table(path: str | os.PathLike[str]) -> list[ScoredPhoto]:
    """The results in a table that `nima score` or `nima rank` wrote, without distributions.

    Paths are as they stand in the table: relative ones start from the current folder.

    Args:
        path: A .csv or .jsonl file, of one model.

    Raises:
        TableError: The table cannot be read, or lacks a column.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl"):
        raise TableError(f"{path}: wanted a table of nima score that ends in .csv or .jsonl")
    rows = _csv_rows(path) if kind == ".csv" else _json_rows(path)
    return list(_results(path, rows))


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    delimiter, lines = table_lines(path)
    _, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    for line, cells in lines:
        if len(cells) != len(names):
            raise TableError(f"{path} line {line}: {len(cells)} cells, wanted {len(names)}")
        row: dict[str, Any] = dict(zip(names, cells, strict=True))
        for name in _NUMBERS_READ:
            # A spreadsheet that separates by semicolons writes decimal commas.
            if delimiter != "," and name in row:
                row[name] = row[name].replace(",", ".")
        yield row


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    for text in filter(str.strip, read_text(path).split("\n")):
        try:
            yield json.loads(text)
        except ValueError as error:
            raise TableError(f"{path}: no table of nima score ({error})") from error


def _results(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[ScoredPhoto]:
    for number, row in enumerate(rows, start=1):
        if "score" not in row and "mean" in row:  # as it was called before
            row = {**row, "score": row["mean"]}
        missing = [name for name in _WANTED if name not in row]
        if missing:
            raise TableError(
                f"{path}: no column {', '.join(missing)}; wanted a table of nima score by one model"
            )
        try:
            yield _result(row)
        except (ValueError, TypeError, RatingError) as error:
            raise TableError(f"{path}: photo {number}: {error}") from error


def _result(row: Mapping[str, Any]) -> ScoredPhoto:
    scale, path = row["scale"], as_on_disk(row["path"])
    score, percentile = _number(row["score"]), _number(row.get("percentile"))
    # A rating beside a photo that is gone would be an orphan.
    gone = None if _is_url(row["path"]) or path.exists() else f"{path}: no such file"
    return ScoredPhoto(
        path=row["path"] if _is_url(row["path"]) else str(path),
        model=row["model"],
        scale=RatingScale.parse(scale) if isinstance(scale, str) else RatingScale(*scale),
        score=None if gone else score,
        percentile=None if gone else percentile,
        error=gone or row.get("error") or None,
    )


def _is_url(name: str) -> bool:
    """Whether a name in a table is a URL."""
    return "://" in name


def _number(cell: str | float | None) -> float | None:
    return None if cell in (None, "") else float(cell)


def _place_values(place: RankPlace | None) -> dict[str, Any]:
    if place is None:
        return dict.fromkeys(_PLACE)
    values = (place.rank, place.best, place.worst, rounded(place.over_next, 4))
    return dict(zip(_PLACE, values, strict=True))


def _utf8(text: str) -> str:
    """Parquet text is UTF-8; bytes of a file name that are not appear as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
