"""Rating tables from what a user names: a published set, or a CSV of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from siamese_nima.csv_rows import TableRow, read_table
from siamese_nima.datasets.published import (
    read_ava,
    read_biq2021,
    read_kadid10k,
    read_koniq10k,
    read_spaq,
    read_tid2013,
)
from siamese_nima.datasets.rating_table import RatingTable, photo_paths
from siamese_nima.datasets.splits import apply_splits
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale, mean

READERS: dict[str, Callable[[Path], RatingTable]] = {
    "ava": read_ava,
    "biq2021": read_biq2021,
    "kadid10k": read_kadid10k,
    "koniq10k": read_koniq10k,
    "spaq": read_spaq,
    "tid2013": read_tid2013,
}


def read_source(
    source: str,
    *,
    photos: Path | None = None,
    scale: RatingScale | None = None,
    splits: Path | None = None,
) -> RatingTable:
    """Read a rating table from what a user names.

    Args:
        source: "NAME:FOLDER" for a published set, such as "biq2021:data/BIQ2021" (`READERS` lists
            the names), or the path of a CSV.
        photos: Folder of the photos, for a CSV; None for the CSV's own.
        scale: The scale of the ratings, for a CSV.
        splits: A splits file that replaces scenes, subsets and splits; see `apply_splits`.

    Raises:
        TableError: The name is unknown, or the set cannot be read.
    """
    name, _, folder = source.partition(":")
    if folder and name.casefold() in READERS:
        if photos or scale:
            raise TableError(f"{source}: a published set has its own photo folder and scale")
        table = READERS[name.casefold()](Path(folder))
    elif Path(source).is_file():
        table = read_table_csv(Path(source), photos=photos, scale=scale)
    else:
        raise TableError(
            f"{source}: neither a CSV nor NAME:FOLDER with one of the names {', '.join(READERS)}"
        )
    return table if splits is None else apply_splits(table, splits)


_KNOWN = {
    "path": ("path", "file_name", "filename", "image_name", "image", "photo", "tile"),
    "mos": ("mos", "mean", "score"),
    "spread": ("spread", "std", "sd"),
    "raters": ("raters", "voters", "n"),
    "scene": ("scene",),
    "subset": ("subset", "source_db"),
    "split": ("split", "set"),
}
_VOTES = re.compile(r"(?:v|c|votes?_?|counts?_?)(\d+)", re.IGNORECASE)
SPLIT_NAMES = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """Which column of a CSV holds what; None where there is none.

    Attributes:
        path: Photo, absolute or relative to the folder of photos.
        votes: Vote counts, one column per grade, ascending.
        mos: Mean opinion scores; not read where there are votes.
        spread: Standard deviation of the votes.
        raters: How many people rated; not read where there are votes.
        scene: Group of near-copies.
        subset: Part of the set.
        split: train, val or test.
    """

    path: str
    votes: tuple[str, ...] = ()
    mos: str | None = None
    spread: str | None = None
    raters: str | None = None
    scene: str | None = None
    subset: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if not self.votes and self.mos is None:
            raise TableError(
                "a rating table needs votes (columns such as v1, v2, ... v5) or scores "
                f"(a column {' or '.join(_KNOWN['mos'])})"
            )


def read_table_csv(
    table: Path,
    *,
    photos: Path | None = None,
    columns: TableColumns | None = None,
    scale: RatingScale | None = None,
) -> RatingTable:
    """Read a CSV (or text with semicolons or tabs) with a header and one photo per row.

    Args:
        table: The file.
        photos: Folder that relative photo names start from; None for the table's own.
        columns: Which column holds what; None to tell by their names, see `detect_columns`.
        scale: The scale of the ratings. Needed for scores; votes in columns such as v1..v5 say it
            themselves.

    Returns:
        A table in the order of the file. Photos that are not on the disk are in it, see
        `check_photos`. A row without a scene is a scene of its own.

    Raises:
        TableError: The file is missing or malformed, a cell that is needed is empty, or the scale
            of scores is not given.
    """
    rows = read_table(table)
    chosen = columns or detect_columns(table, tuple(rows[0].cells))
    if lacking := [name for name in _used(chosen) if name not in rows[0].cells]:
        raise TableError(f"{table}: no column {lacking[0]!r}, found {', '.join(rows[0].cells)}")
    names = [row.text(chosen.path) for row in rows]
    result = RatingTable(
        paths=photo_paths(photos or table.parent, names),
        mos=np.zeros(len(rows)),
        scale=RatingScale(0, 1),
        scenes=_scenes(rows, names, chosen.scene),
        subsets=_texts(rows, chosen.subset),
        splits=tuple(SPLIT_NAMES.get(split, split) for split in _texts(rows, chosen.split)),
    )
    return (
        _with_votes(result, rows, chosen, scale)
        if chosen.votes
        else _with_scores(result, rows, chosen, scale)
    )


def detect_columns(table: Path, header: Sequence[str]) -> TableColumns:
    """Which column holds what, told by the names in use.

    Photos: path, file_name, filename, image_name, image, photo or tile. Votes: v1, v2, ... (also
    c1, vote_1, votes1, count_1). Scores: mos, mean or score. Further: spread, std or sd;
    raters, voters or n; scene; subset or source_db; split or set. Upper and lower case do not
    matter.

    Raises:
        TableError: No column of photos, or neither votes nor scores.
    """
    folded = {name.casefold(): name for name in header}

    def known(what: str) -> str | None:
        return next((folded[name] for name in _KNOWN[what] if name in folded), None)

    path = known("path")
    if path is None:
        raise TableError(
            f"{table}: no column of photos; wanted one of {', '.join(_KNOWN['path'])}, "
            f"found {', '.join(header)}"
        )
    votes = sorted(
        (int(found[1]), name) for name in header if (found := _VOTES.fullmatch(name)) is not None
    )
    try:
        return TableColumns(
            path=path,
            votes=tuple(name for _, name in votes) if len(votes) > 1 else (),
            mos=known("mos"),
            spread=known("spread"),
            raters=known("raters"),
            scene=known("scene"),
            subset=known("subset"),
            split=known("split"),
        )
    except TableError as error:
        raise TableError(f"{table}: {error}; found {', '.join(header)}") from error


def _used(columns: TableColumns) -> list[str]:
    single = (columns.path, columns.scene, columns.subset, columns.split)
    scores = columns.votes or (columns.mos, columns.spread, columns.raters)
    return [name for name in (*single, *scores) if name is not None]


def _scenes(rows: Sequence[TableRow], names: Sequence[str], column: str | None) -> tuple[str, ...]:
    if column is None:
        return tuple(names)
    return tuple(row.cells[column] or name for row, name in zip(rows, names, strict=True))


def _texts(rows: Sequence[TableRow], column: str | None) -> tuple[str, ...]:
    return () if column is None else tuple(row.cells[column] for row in rows)


def _with_votes(
    table: RatingTable, rows: Sequence[TableRow], columns: TableColumns, scale: RatingScale | None
) -> RatingTable:
    scale = scale or _scale_of_votes(rows[0].table, columns.votes)
    if scale.size != len(columns.votes):
        raise TableError(
            f"{rows[0].table}: {len(columns.votes)} columns of votes for the {scale.size} grades "
            f"of the scale {scale}"
        )
    votes = np.array([[row.number(name) for name in columns.votes] for row in rows])
    for row, counts in zip(rows, votes, strict=True):
        if counts.min() < 0 or counts.sum() == 0:
            raise TableError(f"{row.table} line {row.line}: wanted votes, found {counts.tolist()}")
    means = mean(votes / votes.sum(axis=1, keepdims=True), scale)
    return replace(table, votes=votes, mos=means, scale=scale)


def _scale_of_votes(table: Path, columns: Sequence[str]) -> RatingScale:
    grades = [int(found[1]) for name in columns if (found := _VOTES.fullmatch(name)) is not None]
    if not grades or grades != list(range(grades[0], grades[0] + len(columns))):
        raise TableError(
            f"{table}: the grades of the vote columns {', '.join(columns)} are not consecutive "
            "numbers; name the scale"
        )
    return RatingScale(grades[0], grades[-1])


def _with_scores(
    table: RatingTable, rows: Sequence[TableRow], columns: TableColumns, scale: RatingScale | None
) -> RatingTable:
    if scale is None or columns.mos is None:
        raise TableError(
            f"{rows[0].table}: scores in column {columns.mos!r} need a scale; give the lowest and "
            "the highest score that people could give, such as 1..5"
        )
    mos = np.array([row.number(columns.mos) for row in rows])
    spread, raters = (
        None if column is None else np.array([row.number(column) for row in rows])
        for column in (columns.spread, columns.raters)
    )
    return replace(table, mos=mos, scale=scale, spread=spread, raters=raters)
