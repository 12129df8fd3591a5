"""Rating tables from what a user names: a published set, or a CSV of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

import numpy as np

from siamese_nima.datasets.own_table import TableReading, read_own_table
from siamese_nima.datasets.published import (
    read_ava,
    read_biq2021,
    read_kadid10k,
    read_koniq10k,
    read_spaq,
    read_tid2013,
)
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.splits import apply_splits
from siamese_nima.datasets.table_columns import COLUMN_KINDS
from siamese_nima.errors import ConfigError, TableError
from siamese_nima.ratings import RatingScale

READERS: dict[str, Callable[[Path], RatingTable]] = {
    "ava": read_ava,
    "biq2021": read_biq2021,
    "kadid10k": read_kadid10k,
    "koniq10k": read_koniq10k,
    "spaq": read_spaq,
    "tid2013": read_tid2013,
}
_BARS = 10
_BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class RatedSource:
    """Rated photos as a user names them.

    Attributes:
        source: "NAME:FOLDER" for a published set, such as "biq2021:data/BIQ2021" (`READERS` lists
            the names), or the path of a CSV.
        photos: Folder of the photos, for a CSV; None for the CSV's own.
        scale: The scale of the ratings, for a CSV; votes say it themselves.
        splits: A splits file that replaces scenes, subsets and splits; see `apply_splits`.
        columns: Which columns of a CSV hold what; see `read_own_table`.
        raters: How many people rated each photo of a CSV.
    """

    source: str | os.PathLike[str]
    _: KW_ONLY
    photos: str | os.PathLike[str] | None = None
    scale: RatingScale | None = None
    splits: str | os.PathLike[str] | None = None
    columns: Mapping[str, str] | None = None
    raters: int | None = None

    @property
    def name(self) -> str:
        """What the user called it."""
        return os.fspath(self.source)


def read_source(source: RatedSource | str | os.PathLike[str]) -> TableReading:
    """Read a rating table from what a user names, and say how it was understood.

    Raises:
        TableError: The name is unknown, or the set cannot be read.
    """
    if not isinstance(source, RatedSource):
        source = RatedSource(source)
    name, _, folder = source.name.partition(":")
    if folder and name.casefold() in READERS:
        if source.photos or source.scale or source.columns or source.raters:
            raise TableError(
                f"{source.name}: a published set has its own photo folder, scale, columns and "
                "raters"
            )
        reading = TableReading(READERS[name.casefold()](Path(folder)))
    elif Path(source.source).is_file():
        reading = read_own_table(
            Path(source.source),
            photos=None if source.photos is None else Path(source.photos),
            columns=source.columns,
            scale=source.scale,
            raters=source.raters,
        )
    else:
        raise TableError(
            f"{source.name}: neither a CSV nor NAME:FOLDER with one of the names "
            f"{', '.join(READERS)}"
        )
    if source.splits is None:
        return reading
    return replace(reading, table=apply_splits(reading.table, Path(source.splits)))


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Columns by what they hold, from texts such as "votes=v1..v5".

    Raises:
        ConfigError: Another form.
    """
    named = {}
    for text in texts:
        what, equals, names = text.partition("=")
        if not equals or not names.strip():
            raise ConfigError(f"columns {text!r}: wanted a form such as votes=v1..v5 or path=photo")
        if what.strip() not in COLUMN_KINDS:
            raise ConfigError(f"columns: no {what!r}; wanted one of {', '.join(COLUMN_KINDS)}")
        named[what.strip()] = names.strip()
    return named


def describe_ratings(reading: TableReading) -> list[str]:
    """What a table was understood to say, and its notes, a line each, for a person to check."""
    table = reading.table
    lines = [f"read: {reading.used}"] if reading.used else []
    mos, counts = table.mos, table.rater_counts()
    known = "number of raters unknown"
    if counts is not None:
        known = f"{np.mean(counts):.3g} ratings per photo"
        if np.ptp(counts):
            known += f" ({counts.min():g} to {counts.max():g})"
    lines.append(f"scale {table.scale}, {known}")
    lines.append(
        f"means {mos.min():.3g} to {mos.max():.3g}, on average {mos.mean():.3g}, spread of the "
        f"means {mos.std():.3g}"
    )
    heights, edges = np.histogram(mos, bins=_BARS, range=(table.scale.low, table.scale.high))
    width = max(len(f"{edge:.3g}") for edge in edges)
    lines += [
        f"  {low:{width}.3g} to {high:{width}.3g} {count:7d} "
        f"{'#' * round(_BAR_WIDTH * count / heights.max())}".rstrip()
        for low, high, count in zip(edges, edges[1:], heights, strict=False)
    ]
    named = sorted(set(table.splits) - {""})
    if named:
        parts = [f"{table.splits.count(name)} {name}" for name in named]
        if without := table.splits.count(""):
            parts.append(f"{without} without a split, which training divides")
        lines.append(f"splits: {', '.join(parts)}")
    return [*lines, *(f"note: {note}" for note in reading.notes)]
