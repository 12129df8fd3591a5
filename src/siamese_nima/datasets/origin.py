"""What the origin trains on: file names with labels in a text table, and buckets of scores."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_nima.csv_rows import csv_lines, read_text
from siamese_nima.errors import TableError
from siamese_nima.ratings import Floats

_SEPARATORS = (" ", ",", "\t", ";")


def read_origin_table(path: Path, columns: Sequence[str], sep: str) -> list[tuple[str, ...]]:
    """The cells of some columns, row by row; empty lines are passed over.

    Args:
        path: A text file with a header.
        columns: Names in the header.
        sep: Separator to try first; several characters are themselves where the header has them,
            else a regular expression, as pandas reads them. Blanks, commas, tabs and semicolons are
            recognised too.

    Raises:
        TableError: The file is missing, lacks a column, or a row has too few or too many cells.
    """
    text = read_text(path)
    header, *_ = text.splitlines() or [""]
    if len(sep) > 1:
        text, sep = _one_separator(text, sep, path), "\t"
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


def _one_separator(text: str, sep: str, path: Path) -> str:
    """The table with tabs where `sep` is, of several characters or a regular expression."""
    pattern = re.escape(sep) if sep in text.partition("\n")[0] else sep
    try:
        parted = re.compile(pattern)
    except re.error as error:
        raise TableError(
            f"{path}: the separator {sep!r} is no regular expression ({error})"
        ) from None
    if parted.match(""):
        raise TableError(f"{path}: the separator {sep!r} is not in the header, and matches nothing")
    return "\n".join(parted.sub("\t", line.strip()) for line in text.splitlines())


def origin_labels(texts: Sequence[str], path: Path) -> NDArray[Any]:
    """Labels as numbers, shape (N,): integers where they all are, else floats.

    Args:
        texts: As they stand in the table.
        path: The table, for messages.

    Raises:
        TableError: One is not a number.
    """
    try:
        values = np.array([float(text.replace(",", ".")) for text in texts])
    except ValueError as error:
        raise TableError(f"{path}: a label is not a number ({error})") from error
    whole = values.astype(np.int64)
    return whole if np.array_equal(whole, values) else values


def bucketize(
    mos: ArrayLike,
    buckets: int | Sequence[float],
    *,
    by: Literal["width", "quantile"] = "width",
) -> NDArray[np.int64]:
    """The bucket of each score: 0 for the worst photos, rising with the score.

    Args:
        mos: Shape (N,), mean opinion scores; higher is better.
        buckets: How many buckets, or their inner edges, ascending: E edges make E + 1 buckets, and
            a score at an edge belongs to the bucket above it.
        by: Where a number of buckets is cut: "width" into intervals of equal width between the
            lowest and the highest score, "quantile" into buckets of about as many photos each.
            Equal scores always share a bucket, so with many of them buckets may stay empty.

    Returns:
        Shape (N,), from 0 to the number of buckets less 1.

    Raises:
        TableError: No or non-finite scores, fewer than two buckets, or edges that do not ascend.

    >>> bucketize([1.0, 2.0, 4.9, 5.0], 2).tolist()
    [0, 0, 1, 1]
    >>> bucketize([1.0, 2.0, 4.9, 5.0], [4.9]).tolist()
    [0, 0, 1, 1]
    """
    scores = np.asarray(mos, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0 or not np.all(np.isfinite(scores)):
        raise TableError(f"buckets need finite scores of shape (N,), got shape {scores.shape}")
    edges = bucket_edges(scores, buckets, by) if isinstance(buckets, int) else _edges(buckets)
    return np.searchsorted(edges, scores, side="right").astype(np.int64)


def bucket_edges(scores: Floats, count: int, by: Literal["width", "quantile"]) -> Floats:
    """The inner edges, shape (count - 1,), that cut scores into `count` buckets."""
    if count < 2:
        raise TableError(f"buckets tell photos apart from two on, got {count}")
    if by == "width":
        return np.linspace(scores.min(), scores.max(), count + 1)[1:-1]
    if by == "quantile":
        # An edge must be a score, or rounding of an interpolated one could part equal scores.
        shares = np.arange(1, count) / count
        return np.asarray(np.quantile(scores, shares, method="higher"), dtype=np.float64)
    raise TableError(f"buckets are cut by 'width' or 'quantile', got {by!r}")


def _edges(given: Sequence[float]) -> Floats:
    edges = np.asarray(given, dtype=np.float64)
    if edges.size == 0 or not np.all(np.isfinite(edges)) or np.any(np.diff(edges) <= 0):
        raise TableError(f"bucket edges must be finite and ascending, got {list(given)}")
    return edges
