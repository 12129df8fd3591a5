"""The origin's tables: file names, and labels beside them, separated by blanks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_nima.csv_rows import csv_lines
from siamese_nima.datasets.label_rows import read_text
from siamese_nima.errors import TableError

_SEPARATORS = (" ", ",", "\t", ";")


def read_origin_table(path: Path, columns: Sequence[str], sep: str) -> list[tuple[str, ...]]:
    """The cells of some columns, row by row; empty lines are passed over.

    Args:
        path: A text file with a header.
        columns: Names in the header.
        sep: Separator to try first; blanks, commas, tabs and semicolons are recognised too.

    Raises:
        TableError: The file is missing, lacks a column, or a row has too few or too many cells.
    """
    text = read_text(path)
    header, *_ = text.splitlines() or [""]
    for separator in dict.fromkeys((sep, *_SEPARATORS)):
        names = next(csv.reader([header], delimiter=separator), [])
        if set(columns) <= set(names):
            break
    else:
        raise TableError(f"{path}: the header {header!r} has no columns {', '.join(columns)}")
    try:
        found = [(line, row) for line, row in csv_lines(text, separator) if row]
    except csv.Error as error:
        raise TableError(f"{path}: not a readable table ({error})") from error
    positions = [names.index(column) for column in columns]
    rows = []
    for number, row in found[1:]:
        if len(row) != len(names):
            raise TableError(
                f"{path} line {number}: {len(row)} values for {len(names)} columns; names with "
                f"the separator {separator!r} in them need quotation marks"
            )
        rows.append(tuple(row[position] for position in positions))
    return rows


def origin_labels(texts: Sequence[str], path: Path) -> NDArray[Any]:
    """Labels as numbers, shape (N,): integers where they all are, else floats.

    Args:
        texts: As they stand in the table.
        path: The table, for messages.

    Raises:
        TableError: One is not a number.
    """
    try:
        values = np.array([float(text) for text in texts])
    except ValueError as error:
        raise TableError(f"{path}: a label is not a number ({error})") from error
    whole = values.astype(np.int64)
    return whole if np.array_equal(whole, values) else values
