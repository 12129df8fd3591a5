"""AVA: 255,530 photos of dpchallenge.com with about 210 votes each on 1..10.

The published package holds `AVA.txt` and lists of photo ids, no photos: their rights stay with the
photographers. Each line of `AVA.txt` has 15 numbers: index, image id, the counts of the votes
1 to 10, two tag ids (0 where there is none) and the challenge id; there is no header. The official
test list is `aesthetics_image_lists/generic_test.jpgl`, 20,000 image ids, one a line; common
practice takes every other photo for training.

Verified against the package's README.txt (June 2012) and test list as kept in the GitHub repository
imfing/ava_downloader. Not verified here: that every listed id has a line in `AVA.txt`; ids without
one are warned about.

Reference:
    Murray, Marchesotti and Perronnin, "AVA: a large-scale database for aesthetic visual analysis",
    CVPR 2012.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from siamese_nima.datasets.label_rows import first_existing, photo_paths, read_text
from siamese_nima.datasets.rating_table import RatingTable, name_some
from siamese_nima.errors import TableError
from siamese_nima.ratings import AVA_SCALE, Floats, mean

_COLUMNS = 15


def read_ava(
    folder: Path, *, photos: Path | None = None, test_list: Path | None = None
) -> RatingTable:
    """Read AVA as published.

    Args:
        folder: Holds `AVA.txt`.
        photos: Folder of the photos, named by image id ("953619.jpg"); None for `folder/images`.
        test_list: The official list of test photos; None looks for
            `aesthetics_image_lists/generic_test.jpgl` and `generic_test.jpgl` in `folder`, and
            leaves the set without splits when neither is there.

    Returns:
        A table in the order of `AVA.txt` with votes on 1..10 and the splits "test" and "train".
        Photos that are not on the disk are in it, see `check_photos`.

    Raises:
        TableError: A file is missing or a line is malformed.
    """
    ids, votes = _read_votes(folder / "AVA.txt")
    listed = _read_test_ids(folder, test_list)
    if unknown := sorted(listed - set(ids)):
        message = f"{len(unknown)} test photos have no line in AVA.txt: {name_some(unknown)}"
        warnings.warn(message, stacklevel=2)
    return RatingTable(
        paths=photo_paths(photos or folder / "images", [f"{photo}.jpg" for photo in ids]),
        mos=mean(votes / votes.sum(axis=1, keepdims=True), AVA_SCALE),
        scale=AVA_SCALE,
        votes=votes,
        scenes=ids,
        splits=tuple("test" if photo in listed else "train" for photo in ids) if listed else (),
    )


def _read_votes(table: Path) -> tuple[tuple[str, ...], Floats]:
    lines = [line.split() for line in read_text(table).splitlines() if line.strip()]
    for number, cells in enumerate(lines, start=1):
        if len(cells) != _COLUMNS or not all(cell.isdigit() for cell in cells):
            raise TableError(
                f"{table} line {number}: wanted {_COLUMNS} whole numbers, found {' '.join(cells)!r}"
            )
        if not any(int(count) for count in cells[2:12]):
            raise TableError(f"{table} line {number}: photo {cells[1]} has no vote at all")
    if not lines:
        raise TableError(f"{table} holds no photo")
    votes = np.array([[int(count) for count in cells[2:12]] for cells in lines], dtype=np.float64)
    return tuple(cells[1] for cells in lines), votes


def _read_test_ids(folder: Path, test_list: Path | None) -> set[str]:
    places = (folder / "aesthetics_image_lists" / "generic_test.jpgl", folder / "generic_test.jpgl")
    if test_list is None and not any(place.exists() for place in places):
        return set()
    chosen = test_list or first_existing(places, "the official test list")
    return set(read_text(chosen).split())
