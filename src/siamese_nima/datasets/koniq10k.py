"""KonIQ-10k: 10,073 photos with about 120 votes each on 1..5.

Two published tables have the votes. `koniq10k_scores_and_distributions.csv` has the columns
image_name, c1..c5, c_total, MOS, SD, MOS_zscore; `koniq10k_distributions_sets.csv`, in the authors'
GitHub repository subpic/koniq, has image_name, c1..c5, c_total, MOS, SD, set with `set` one of
training, validation, test. (`koniq10k_indicators.csv` describes the pictures and has no votes.) The
photos are in `1024x768` or `512x384`.

The second was read in full: its c1..c5 are shares of c_total, its MOS is on 0..100 and is not the
votes' mean. For the first only the header and the range of its columns (MOS 1..5, MOS_zscore
0..100) could be verified; counts and shares are both accepted and told apart by their sum.

Reference:
    Hosu, Lin, Sziranyi and Saupe, "KonIQ-10k: an ecologically valid database for deep learning of
    blind image quality assessment", IEEE Transactions on Image Processing 29, 2020.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from siamese_nima.datasets.label_rows import (
    LabelRow,
    first_existing,
    photo_paths,
    read_label_rows,
)
from siamese_nima.datasets.rating_table import RatingTable, name_some
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale, mean

KONIQ10K_SCALE = RatingScale(1, 5)
_SCORES = "koniq10k_scores_and_distributions.csv"
_SETS = "koniq10k_distributions_sets.csv"
_VOTES = ("c1", "c2", "c3", "c4", "c5")
_SPLITS = {"training": "train", "validation": "val", "test": "test"}


def read_koniq10k(
    folder: Path, *, photos: Path | None = None, labels: Literal["votes", "zscore"] = "votes"
) -> RatingTable:
    """Read KonIQ-10k as published.

    Args:
        folder: Holds one or both published tables; splits come from the second.
        photos: Folder of the photos; None for `1024x768` or else `512x384` in `folder`.
        labels: "votes" for votes on 1..5 and their means; "zscore" for MOS_zscore, 0..100 without
            votes, which most publications compare with.

    Returns:
        A table in the order of the published one.

    Raises:
        TableError: A table is missing or malformed, or the two name different photos.
    """
    table = first_existing((folder / _SCORES, folder / _SETS), "the table of KonIQ-10k")
    score = ("MOS_zscore",) if labels == "zscore" else ()
    rows = read_label_rows(table, ("image_name", *_VOTES, "c_total", *score))
    names = [row.text("image_name") for row in rows]
    place = photos or next(
        (folder / size for size in ("1024x768", "512x384") if (folder / size).is_dir()), folder
    )
    paths, splits = photo_paths(place, names), _read_splits(folder / _SETS, names)
    if labels == "zscore":
        scores = np.array([row.number("MOS_zscore") for row in rows])
        return RatingTable(
            paths=paths, mos=scores, scale=RatingScale(0, 100), scenes=tuple(names), splits=splits
        )
    votes = np.array([_votes(row) for row in rows])
    return RatingTable(
        paths=paths,
        mos=mean(votes / votes.sum(axis=1, keepdims=True), KONIQ10K_SCALE),
        scale=KONIQ10K_SCALE,
        votes=votes,
        scenes=tuple(names),
        splits=splits,
    )


def _votes(row: LabelRow) -> list[float]:
    given = [row.number(column) for column in _VOTES]
    total, found = row.number("c_total"), sum(given)
    if total >= 1 and min(given) >= 0:
        if abs(found - total) < 0.5:
            return given
        if abs(found - 1) < 1e-3:
            return [float(round(share * total)) for share in given]
    raise TableError(
        f"{row.table} line {row.line}: c1..c5 must be counts that sum to c_total = {total:g}, or "
        f"shares that sum to 1; their sum is {found:g}"
    )


def _read_splits(table: Path, names: list[str]) -> tuple[str, ...]:
    if not table.exists():
        return ()
    sets = {}
    for row in read_label_rows(table, ("image_name", "set")):
        if row.text("set") not in _SPLITS:
            raise TableError(
                f"{table} line {row.line}: set {row.text('set')!r}, wanted {', '.join(_SPLITS)}"
            )
        sets[row.text("image_name")] = _SPLITS[row.text("set")]
    if unknown := [name for name in names if name not in sets]:
        raise TableError(f"{table}: no row for {len(unknown)} photos: {name_some(unknown)}")
    return tuple(sets[name] for name in names)
