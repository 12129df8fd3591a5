"""Splits files: which scene, subset and split each photo of a set is in, apart from its ratings.

A CSV with the columns file_name, subset, scene and split, one row per photo.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from siamese_nima.csv_rows import csv_writer
from siamese_nima.datasets.label_rows import read_label_rows
from siamese_nima.datasets.rating_table import RatingTable, name_some
from siamese_nima.errors import TableError

_COLUMNS = ("file_name", "subset", "scene", "split")


def apply_splits(table: RatingTable, splits: Path) -> RatingTable:
    """The table with the scenes, subsets and splits of a splits file, in the file's order.

    Photos are matched by name, upper and lower case alike.

    Raises:
        TableError: The file is malformed, or it and the table name different photos.
    """
    rows = read_label_rows(splits, _COLUMNS)
    place = {name.casefold(): i for i, name in enumerate(photo_names(table))}
    named = [row.text("file_name") for row in rows]
    if unknown := [name for name in named if name.casefold() not in place]:
        raise TableError(
            f"{splits}: {len(unknown)} photos are not in the set: {name_some(unknown)}"
        )
    if lacking := sorted(set(place) - {name.casefold() for name in named}):
        raise TableError(
            f"{splits}: {len(lacking)} photos of the set have no row: {name_some(lacking)}"
        )
    bare = replace(table, scenes=(), subsets=(), splits=())
    return replace(
        bare.select([place[name.casefold()] for name in named]),
        scenes=tuple(row.text("scene") for row in rows),
        subsets=tuple(row.cells["subset"] for row in rows),
        splits=tuple(row.cells["split"] for row in rows),
    )


def splits_text(table: RatingTable) -> str:
    """The content of the splits file that `apply_splits` reads back."""
    file = io.StringIO()
    writer = csv_writer(file)
    writer.writerow(_COLUMNS)
    columns = (photo_names(table), table.subsets, table.scenes, table.splits)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()


def photo_names(table: RatingTable) -> tuple[str, ...]:
    """Names of the photos in a splits file: the file name, or where two photos share one, the path
    below the folder that all photos are in.
    """
    names = tuple(path.name for path in table.paths)
    if len({name.casefold() for name in names}) == len(names):
        return names
    shared = 0
    for parts in zip(*(path.parts[:-1] for path in table.paths), strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    return tuple(Path(*path.parts[shared:]).as_posix() for path in table.paths)
