"""Results of an earlier run, read back from its table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from siamese_nima.csv_rows import as_on_disk, read_text, table_lines
from siamese_nima.errors import RatingError, TableError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.results import ScoredPhoto

_WANTED = ("path", "mean", "scale", "model")
_NUMBERS = ("mean", "percentile")


def read_scored(path: Path) -> list[ScoredPhoto]:
    """The results in a table that `nima score` or `nima rank` wrote, without distributions.

    Paths are as they stand in the table: relative ones start from the current folder.

    Args:
        path: A .csv or .jsonl file, of one model.

    Raises:
        TableError: The table cannot be read, or lacks a column.
    """
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
        for name in _NUMBERS:
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
    mean, percentile = _number(row["mean"]), _number(row.get("percentile"))
    # A rating beside a photo that is gone would be an orphan.
    gone = None if _is_url(row["path"]) or path.exists() else f"{path}: no such file"
    return ScoredPhoto(
        path=row["path"] if _is_url(row["path"]) else str(path),
        model=row["model"],
        scale=RatingScale.parse(scale) if isinstance(scale, str) else RatingScale(*scale),
        mean=None if gone else mean,
        percentile=None if gone else percentile,
        error=gone or row.get("error") or None,
    )


def _is_url(name: str) -> bool:
    """Whether a name in a table is a URL."""
    return "://" in name


def _number(cell: str | float | None) -> float | None:
    return None if cell in (None, "") else float(cell)
