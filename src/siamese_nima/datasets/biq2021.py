"""BIQ2021: 12,000 photos with mean opinion scores of technical quality from 30 observers each.

Get it from the GitHub repository nisarahmedrana/BIQ2021: the folder `Images` and the two tables
`Train (Images and MOS).csv` and `Test (Images and MOS).csv`.

Reference:
    Ahmed and Asif, "BIQ2021: a large-scale blind image quality assessment database", Journal of
    Electronic Imaging 31(5), 053010, 2022.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from siamese_nima.csv_rows import csv_lines
from siamese_nima.datasets.label_rows import read_label_rows, read_text
from siamese_nima.datasets.rating_table import RatingTable, name_some
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale

BIQ2021_SCALE = RatingScale(0, 1)
_TABLES = ("Train (Images and MOS).csv", "Test (Images and MOS).csv")
_SPLIT_COLUMNS = ("file_name", "subset", "scene", "split")


def read_biq2021(folder: Path, splits: Path | None = None) -> RatingTable:
    """Read BIQ2021 as published.

    Args:
        folder: Holds `Images` and the two published tables.
        splits: A CSV with the columns file_name, subset, scene and split that says which photos are
            near-copies of each other and which split they are in. None takes the published split,
            in which near-copies of training photos are tested on; every photo is its own scene.

    Returns:
        A table in the order of `splits` (of the published tables without it), scores 0 to 1.

    Raises:
        TableError: A table is missing or malformed, or the two disagree about which photos exist.
    """
    published = {
        file_name.casefold(): (file_name, mos, split)
        for split, table in zip(("train", "test"), _TABLES, strict=True)
        for file_name, mos in _read_scores(folder / table)
    }
    if splits is None:
        rows = [(name, name[:4], name, split) for name, _, split in published.values()]
    else:
        rows = _read_splits(splits)
        if unknown := [row[0] for row in rows if row[0].casefold() not in published]:
            raise TableError(
                f"{splits}: {len(unknown)} photos have no score in {folder}: {name_some(unknown)}"
            )
    names, subsets, scenes, parts = zip(*rows, strict=True)
    return RatingTable(
        paths=_photo_paths(folder / "Images", names),
        mos=np.array([published[name.casefold()][1] for name in names]),
        scale=BIQ2021_SCALE,
        scenes=scenes,
        subsets=subsets,
        splits=parts,
    )


def _photo_paths(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    # The published table has "ss02 (1014).jpg" where the file ends in ".JPG".
    present = {path.name.casefold(): path for path in folder.iterdir()} if folder.is_dir() else {}
    return tuple(present.get(name.casefold(), folder / name) for name in names)


def _read_scores(table: Path) -> list[tuple[str, float]]:
    rows: list[tuple[str, float]] = []
    for line, row in _read_rows(table):
        if line == 1 and row[:2] == ["Image Name", "MOS"]:
            continue
        try:
            rows.append((row[0], float(row[1])))
        except (ValueError, IndexError) as error:
            raise TableError(f"{table} line {line}: wanted 'name,score', found {row}") from error
    if not rows:
        raise TableError(f"{table} holds no photo")
    return rows


def _read_splits(table: Path) -> list[tuple[str, str, str, str]]:
    return [
        (row.cells["file_name"], row.cells["subset"], row.cells["scene"], row.cells["split"])
        for row in read_label_rows(table, _SPLIT_COLUMNS)
    ]


def _read_rows(table: Path) -> list[tuple[int, list[str]]]:
    try:
        return [(line, row) for line, row in csv_lines(read_text(table)) if row]
    except csv.Error as error:
        raise TableError(f"{table}: not a readable table ({error})") from error
