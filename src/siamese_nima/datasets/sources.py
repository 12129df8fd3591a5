"""Data sets by name: what `--data` of the command line means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from siamese_nima.datasets.ava import read_ava
from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.datasets.kadid10k import read_kadid10k
from siamese_nima.datasets.koniq10k import read_koniq10k
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.spaq import read_spaq
from siamese_nima.datasets.splits_file import apply_splits
from siamese_nima.datasets.table_csv import read_table_csv
from siamese_nima.datasets.tid2013 import read_tid2013
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale

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
