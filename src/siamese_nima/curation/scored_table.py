"""Results of an earlier run, read back from its table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from siamese_nima.errors import RatingError, TableError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.results import ScoredPhoto

_WANTED = ("path", "mean", "scale", "model")


def read_scored(path: Path) -> list[ScoredPhoto]:
    """The results in a table that `nima score` or `nima rank` wrote, without distributions.

    Paths are as they stand in the table: relative ones start from the current folder.

    Args:
        path: A .csv or .jsonl file, of one model.

    Raises:
        TableError: The table cannot be read, or lacks a column.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise TableError(f"{path}: wanted a table of nima score that ends in .csv or .jsonl")
    try:
        # Names that are not valid UTF-8 keep their bytes.
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file)
            return list(_results(path, rows))
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, csv.Error) as error:
        raise TableError(f"{path}: no table of nima score ({error})") from error


def _results(path: Path, rows: Iterator[Mapping[str, Any]]) -> Iterator[ScoredPhoto]:
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
    scale = row["scale"]
    return ScoredPhoto(
        path=row["path"],
        model=row["model"],
        scale=RatingScale.parse(scale) if isinstance(scale, str) else RatingScale(*scale),
        mean=_number(row["mean"]),
        percentile=_number(row.get("percentile")),
        error=row.get("error") or None,
    )


def _number(cell: str | float | None) -> float | None:
    return None if cell in (None, "") else float(cell)
