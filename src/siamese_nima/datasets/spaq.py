"""SPAQ: 11,125 photos of 66 smartphones with mean opinion scores 0..100.

The labels are published as a spreadsheet, `MOS and Image attribute scores.xlsx`. Spreadsheets are
not read: export its sheet as CSV under the same name, `MOS and Image attribute scores.csv`. Used
are the columns `Image name` ("00001.jpg") and `MOS`; the others (Brightness, Colorfulness,
Contrast, Noisiness, Sharpness) may stay. The photos are in `TestImage`.

Column names verified against public readers of the spreadsheet (GitHub repository h4nwei/SPAQ and
others); the spreadsheet itself was not at hand. The set has no official split, and no votes.

Reference:
    Fang, Zhu, Zeng, Ma and Wang, "Perceptual quality assessment of smartphone photography",
    CVPR 2020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from siamese_nima.datasets.label_rows import first_existing, photo_paths, read_label_rows
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.ratings import RatingScale

SPAQ_SCALE = RatingScale(0, 100)
_TABLE = "MOS and Image attribute scores.csv"


def read_spaq(
    folder: Path, *, table: Path | None = None, photos: Path | None = None
) -> RatingTable:
    """Read SPAQ, its spreadsheet exported as CSV.

    Args:
        folder: The set's folder.
        table: The exported CSV; None looks for `MOS and Image attribute scores.csv` in `folder` and
            in `folder/Annotations`.
        photos: Folder of the photos; None for `folder/TestImage`.

    Raises:
        TableError: The table is missing, is a spreadsheet, or is malformed.
    """
    places = (folder / _TABLE, folder / "Annotations" / _TABLE)
    chosen = table or first_existing(places, "the exported table of SPAQ")
    rows = read_label_rows(chosen, ("Image name", "MOS"))
    names = tuple(row.text("Image name") for row in rows)
    return RatingTable(
        paths=photo_paths(photos or folder / "TestImage", names),
        mos=np.array([row.number("MOS") for row in rows]),
        scale=SPAQ_SCALE,
        scenes=names,
    )
