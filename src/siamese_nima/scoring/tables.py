"""Result tables: CSV, JSON Lines and Parquet, written row by row, never left half-written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from siamese_nima.atomic_write import check_output, put_in_place
from siamese_nima.csv_rows import as_on_disk, csv_writer, read_text, table_lines
from siamese_nima.errors import (
    ConfigError,
    MissingExtraError,
    NimaError,
    RatingError,
    TableError,
    did_you_mean,
)
from siamese_nima.ratings import AVA_SCALE, RatingScale
from siamese_nima.scoring.ranking import RankPlace
from siamese_nima.scoring.results import ScoredPhoto, rounded

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

TABLE_FORMATS = (".csv", ".jsonl", ".parquet", ".tsv", ".json")
READABLE_FORMATS = (".csv", ".jsonl", ".tsv", ".json")
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
        distribution: Whether rows have the rating distribution.
        only: Just these columns, in this order; empty for all.
        kept: What is kept of the photos' sources, with their Arrow types, or aliases
            of these. A name
            that a column of ours has too gets "data_" before it.
        names: All columns, in their order; a rating distribution is one.

    Raises:
        ConfigError: `only` names a column that there is not.
    """

    scales: Mapping[str, RatingScale]
    ranked: bool = False
    distribution: bool = True
    only: tuple[str, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = field(init=False)
    _prefixes: Mapping[str, RatingScale] = field(init=False)
    _kept_names: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        several = len(self.scales) > 1
        prefixes = {f"{name}_" if several else "": scale for name, scale in self.scales.items()}
        of_models = [f"{prefix}{column}" for prefix in prefixes for column in _OF_A_MODEL]
        own = ("path", *(_PLACE if self.ranked else ()), *of_models, "error")
        kept = {name: f"data_{name}" if name in own else name for name in self.kept}
        known = (*own, *kept.values())
        hidden = () if self.distribution else [f"{prefix}distribution" for prefix in prefixes]
        # Asked for with every row.
        object.__setattr__(self, "_prefixes", prefixes)
        object.__setattr__(self, "_kept_names", kept)
        names = self.only or tuple(name for name in known if name not in hidden)
        object.__setattr__(self, "names", names)
        for name in self.only:
            if name not in known:
                raise ConfigError(
                    f"no column {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
                )

    def kept_names(self) -> Mapping[str, str]:
        """The columns of what is kept, by its name at the source."""
        return self._kept_names

    def prefixes(self) -> Mapping[str, RatingScale]:
        """What the columns of each model begin with, and its rating scale."""
        return self._prefixes

    def row(self, result: ScoredPhoto, place: RankPlace | None) -> dict[str, Any]:
        """The values of one photo by column; scores have 4 decimals, probabilities 6."""
        row: dict[str, Any] = {"path": result.path}
        if self.ranked:
            row |= _place_values(place)
        results = (result, *result.others.values())
        for prefix, own in zip(self.prefixes(), results, strict=True):
            values = own.to_dict(distribution=self.distribution)
            row |= {f"{prefix}{column}": values[column] for column in _OF_A_MODEL}
        row["error"] = "; ".join(result.errors) or None
        for name, column in self.kept_names().items():
            row[column] = result.about.get(name)
        return {name: row[name] for name in self.names}


class ResultWriter(Protocol):
    """Takes one result at a time."""

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        """Append one result, with its place where the table is of a ranking."""


def write_table(results: Iterable[ScoredPhoto], path: str | os.PathLike[str]) -> None:
    """Write results as a table, one row per photo in their order.

    Args:
        results: Of one scorer; of none there is a header for the scale 1..10.
        path: Ends in one of `TABLE_FORMATS`; it appears under its name only when it is complete.

    Raises:
        ConfigError, MissingExtraError, NimaError: As `open_table`.
    """
    rows = iter(results)
    first = next(rows, None)
    scales = {"model": AVA_SCALE} if first is None else _scales(first)
    with open_table(path, Columns(scales)) as table:
        for result in () if first is None else chain([first], rows):
            table.write(result)


def _scales(result: ScoredPhoto) -> dict[str, RatingScale]:
    others = {name: other.scale for name, other in result.others.items()}
    return {result.model.rpartition("-")[0]: result.scale} | others


@contextmanager
def open_table(path: str | os.PathLike[str], columns: Columns) -> Iterator[ResultWriter]:
    """Open a table for results; it appears under its name only when it is complete.

    Args:
        path: Ends in .csv, .tsv, .json, .jsonl or .parquet (the last needs the `parquet` extra).
        columns: Which columns it has.

    Raises:
        ConfigError: Another ending.
        MissingExtraError: Parquet without pyarrow.
        NimaError: The file cannot be written, or another run is writing it; or another
            program holds it open in the end, then the message names the finished file.
    """
    target = Path(path)
    kind = target.suffix.lower()
    check_output(target, "a table", TABLE_FORMATS)
    try:
        with _part_of(target) as part:
            if kind == ".parquet":
                # Opened here, as Arrow takes no names that are not Unicode.
                with part.open("wb") as sink, parquet_writer(sink, columns) as parquet:
                    yield parquet
            else:
                # Names that are not valid UTF-8 keep their bytes.
                with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                    if kind == ".json":
                        with _json_array(file, columns) as array:
                            yield array
                    elif kind == ".jsonl":
                        yield JsonLinesWriter(file, columns)
                    else:
                        yield CsvWriter(file, columns, "\t" if kind == ".tsv" else ",")
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
    with _claimed(target):
        try:
            yield part
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        try:
            put_in_place(part, target)
        except PermissionError as error:
            raise NimaError(
                f"{target}: cannot be replaced ({error.strerror}), so another program may have it "
                f"open; the finished table is {_kept(part, target)}"
            ) from error


def _kept(part: Path, target: Path) -> Path:
    """The finished table under a name that no run uses."""
    names = (target.with_stem(f"{target.stem}-{number}") for number in count(2))
    kept = next(name for name in names if not name.exists())
    put_in_place(part, kept)
    return kept


@contextmanager
def _claimed(target: Path) -> Iterator[None]:
    """Keep other runs from a table, by a locked file; the lock ends with the process at the latest.

    Raises:
        NimaError: Another run is writing the table.
    """
    path = target.with_name(f".{target.name}.lock")
    claim = _locked(path)
    if claim is None:
        raise NimaError(
            f"{target}: another run is writing this table; wait for it or write elsewhere"
        )
    try:
        yield
    finally:
        # While it is locked, so that nobody locks a file that is gone; Windows removes no open one.
        with suppress(OSError):
            path.unlink()
        claim.close()
        if sys.platform == "win32":
            with suppress(OSError):
                path.unlink()


def _locked(path: Path) -> BinaryIO | None:
    """The file, open and locked; None if another has locked it."""
    while True:
        claim = path.open("ab")
        try:
            if sys.platform == "win32":
                msvcrt.locking(claim.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(claim.fileno()), path.stat()):
                return claim
        except FileNotFoundError:
            pass  # the run that had locked it has just removed it
        except OSError:
            claim.close()
            return None
        claim.close()


class CsvWriter:
    """One row per photo; a header first; empty cells where there is no value."""

    def __init__(self, file: TextIO, columns: Columns, delimiter: str = ",") -> None:
        self._rows = csv_writer(file, delimiter)
        self._columns = columns
        # The rating scale of each column that is written in another way than in the other formats.
        self._distributions = {f"{p}distribution": s for p, s in columns.prefixes().items()}
        self._scales = {f"{prefix}scale": scale for prefix, scale in columns.prefixes().items()}
        header: list[str] = []
        for name in columns.names:
            if name in self._distributions:
                prefix = name.removesuffix("distribution")
                header += [f"{prefix}p{grade:g}" for grade in self._distributions[name].grades]
            else:
                header.append(name)
        self._rows.writerow(header)

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        """Append one row: probabilities in columns of their own, the scale as "1..10"."""
        cells: list[Any] = []
        for name, value in self._columns.row(result, place).items():
            if name in self._distributions:
                cells += value or [None] * self._distributions[name].size
            elif name in self._scales:
                cells.append(str(self._scales[name]))
            else:
                cells.append(_json(value) if isinstance(value, list | dict) else value)
        self._rows.writerow(cells)


class JsonLinesWriter:
    """One JSON object per photo and line; scales as [low, high]."""

    def __init__(self, file: TextIO, columns: Columns) -> None:
        self._file = file
        self._columns = columns

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        """Append one line."""
        self._file.write(_json(self._columns.row(result, place)) + "\n")


class _JsonArrayWriter:
    def __init__(self, file: TextIO, columns: Columns) -> None:
        self._file = file
        self._columns = columns
        self._before = "[\n"

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        self._file.write(self._before + _json(self._columns.row(result, place)))
        self._before = ",\n"

    def end(self) -> None:
        self._file.write("[]\n" if self._before == "[\n" else "\n]\n")


@contextmanager
def _json_array(file: TextIO, columns: Columns) -> Iterator[ResultWriter]:
    """One array of objects such as `JsonLinesWriter` writes."""
    writer = _JsonArrayWriter(file, columns)
    yield writer
    writer.end()


class _ParquetWriter:
    def __init__(self, writer: Any, schema: Any, columns: Columns) -> None:
        self._writer = writer
        self._schema = schema
        self._columns = columns
        self._waiting: list[dict[str, Any]] = []

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        row = self._columns.row(result, place)
        for column, value in row.items():
            if isinstance(value, str):
                row[column] = _utf8(value)
        self._waiting.append(row)
        if len(self._waiting) >= _PARQUET_ROWS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting = []


@contextmanager
def parquet_writer(where: BinaryIO, columns: Columns) -> Iterator[ResultWriter]:
    """A Parquet table, written into an open file.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.of("a Parquet table", "parquet") from error
    kinds = {"path": pa.string(), "error": pa.string(), _PLACE[-1]: pa.float64()}
    kinds |= dict.fromkeys(_PLACE[:-1], pa.int64())
    for prefix, scale in columns.prefixes().items():
        kinds |= {f"{prefix}{column}": pa.float64() for column in _NUMBERS}
        kinds |= {
            f"{prefix}distribution": pa.list_(pa.float32(), scale.size),
            f"{prefix}scale": pa.list_(pa.int32(), 2),
            f"{prefix}model": pa.string(),
        }
    for name, kind in columns.kept.items():
        known = pa.type_for_alias(kind) if isinstance(kind, str) else kind
        kinds[columns.kept_names()[name]] = known
    schema = pa.schema([(name, kinds[name]) for name in columns.names])
    with pq.ParquetWriter(where, schema) as file:
        writer = _ParquetWriter(file, schema, columns)
        yield writer
        writer.flush()


def read_table(path: str | os.PathLike[str]) -> list[ScoredPhoto]:
    """The results in a table that `nima score` or `nima rank` wrote, without distributions.

    Paths are as they stand in the table: relative ones start from the current folder.

    Args:
        path: A .csv, .tsv, .json or .jsonl file, of one model.

    Raises:
        TableError: The table cannot be read, or lacks a column.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in READABLE_FORMATS:
        raise TableError(
            f"{path}: wanted a table of nima score that ends in {' or '.join(READABLE_FORMATS)}"
        )
    rows = _json_rows(path, kind) if kind.startswith(".json") else _csv_rows(path)
    return list(_results(path, rows))


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    delimiter, lines = table_lines(path)
    _, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    for line, cells in lines:
        if len(cells) != len(names):
            raise TableError(f"{path} line {line}: {len(cells)} cells, wanted {len(names)}")
        # Names of files may begin or end with blanks.
        padded = zip(names, cells, strict=True)
        row: dict[str, Any] = {name: c if name == "path" else c.strip() for name, c in padded}
        for name in _NUMBERS_READ:
            # A spreadsheet that separates by semicolons writes decimal commas.
            if delimiter != "," and name in row:
                row[name] = row[name].replace(",", ".")
        yield row


def _json_rows(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    text = read_text(path)
    parts = [text] if kind == ".json" else filter(str.strip, text.split("\n"))
    for part in parts:
        try:
            found = json.loads(part)
        except (ValueError, RecursionError) as error:
            raise TableError(f"{path}: no table of nima score ({error})") from error
        for row in found if isinstance(found, list) else [found]:
            if not isinstance(row, dict):
                raise TableError(f"{path}: no table of nima score; wanted an object per photo")
            yield row


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


def _json(value: Any) -> str:
    """As JSON; times and the like, which data sets may have, as text."""
    return json.dumps(value, default=str)


def _utf8(text: str) -> str:
    """Parquet text is UTF-8; bytes of a file name that are not appear as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
