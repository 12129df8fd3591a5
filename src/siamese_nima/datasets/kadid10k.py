"""KADID-10k: 81 reference photos, each with 25 distortions at 5 levels; scores 1..5.

`dmos.csv` has the header `dist_img,ref_img,dmos,var` and 10,125 rows such as
`I01_01_01.png,I01.png,4.57,0.496`; the photos are in `images`.

Two names mislead. `dmos` falls as the distortion grows, so it is a quality score: higher is better.
`var` is the standard deviation of the votes: 4.57 is the mean of 13 votes of 4 and 17 of 5, whose
standard deviation is .496 and whose variance .246. Both agree with what others found in the raw
votes; the file itself was not at hand, its form is taken from public readers of it.

Reference:
    Lin, Hosu and Saupe, "KADID-10k: a large-scale artificially distorted IQA database", QoMEX 2019.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from siamese_nima.datasets.label_rows import photo_paths, read_label_rows
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import TableError
from siamese_nima.ratings import Floats, RatingScale

KADID10K_SCALE = RatingScale(1, 5)
_COLUMNS = ("dist_img", "ref_img", "dmos", "var")
_ROUNDING = 0.03  # rounded means of about 30 votes; the spread is then possible only nearly


def read_kadid10k(folder: Path, *, photos: Path | None = None) -> RatingTable:
    """Read KADID-10k as published.

    Args:
        folder: Holds `dmos.csv`.
        photos: Folder of the photos; None for `folder/images`.

    Returns:
        A table with the votes' spread, whose scene is the reference photo ("I01") and whose subset
        is the distortion ("distortion 01"); no splits, see `split_by_scene`.

    Raises:
        TableError: The file is missing or malformed.
    """
    rows = read_label_rows(folder / "dmos.csv", _COLUMNS)
    names = [row.text("dist_img") for row in rows]
    for row, name in zip(rows, names, strict=True):
        if Path(name).stem.count("_") != 2:
            raise TableError(
                f"{row.table} line {row.line}: wanted a name like 'I01_01_01.png', found {name!r}"
            )
    mos = np.array([row.number("dmos") for row in rows])
    return RatingTable(
        paths=photo_paths(photos or folder / "images", names),
        mos=mos,
        scale=KADID10K_SCALE,
        spread=_possible_spread(mos, np.array([row.number("var") for row in rows])),
        scenes=tuple(Path(row.text("ref_img")).stem.upper() for row in rows),
        subsets=tuple(f"distortion {Path(name).stem.split('_')[1]}" for name in names),
    )


def _possible_spread(
    mos: Floats,
    spread: Floats,
) -> Floats:
    """Spreads moved to the nearest possible value where rounding in the file made them impossible.

    Values further off are left as they are, and refused where a distribution is made of them.
    """
    part = mos - np.floor(mos)
    smallest = np.sqrt(part * (1 - part))
    short = (spread < smallest) & (spread > smallest - _ROUNDING)
    return np.where(short, smallest, spread)
