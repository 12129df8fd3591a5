"""A taste from what people have already: stars in files, keepers in a folder, a table of ratings.

What a person's stars mean, and how generous they are with them, plays no part: they are centred and
brought to one spread (see `preference.fit_ratings`).
"""

from __future__ import annotations

import math
from pathlib import Path

from siamese_nima.csv_rows import as_on_disk, read_table
from siamese_nima.curation.sidecars import Folder, read_sidecar
from siamese_nima.curation.stars import embedded_rating
from siamese_nima.curation.xmp import Packet
from siamese_nima.datasets.rating_table import photo_paths
from siamese_nima.errors import AnswerError, SidecarError
from siamese_nima.photos import find_photos

_PHOTO_COLUMNS = ("photo", "path", "file_name", "file", "filename", "name", "image")
_RATING_COLUMNS = ("rating", "stars", "score", "mos")


def read_stars(folder: Path) -> dict[str, float]:
    """Stars that a person gave to the photos of a folder, by name; photos without are left out.

    Of a sidecar, or of the photo itself where no sidecar has any: 1 to 5, and -1 for a rejected
    one. Stars that `nima stars` gave and nobody has changed are no person's.

    Raises:
        AnswerError: No photo has stars.
    """
    folders: dict[Path, Folder | None] = {}
    found: dict[str, float] = {}
    for path in map(Path, find_photos([str(folder)]).names):
        if path.parent not in folders:
            folders[path.parent] = _listed(path.parent)
        stars = _stars(path, folders[path.parent])
        if stars is not None and math.isfinite(stars):
            found[path.relative_to(folder).as_posix()] = stars
    if not found:
        raise AnswerError(
            f"{folder}: no photo has stars, in a sidecar or in itself. Rate some in your photo "
            f"program and have it write them to files, or answer pairs: 'nima pick {folder}'"
        )
    return found


def keepers_and_rest(folder: Path, keepers: Path) -> dict[str, float]:
    """Ratings of a folder whose subfolder holds what was kept: 1 for keepers, 0 for the rest.

    Args:
        folder: With all photos.
        keepers: A path from here, or from `folder`.

    Raises:
        AnswerError: `keepers` is not inside `folder`, or one of both holds no photo.
    """
    keepers = inside if (inside := folder / keepers).is_dir() else keepers
    if not keepers.is_dir():
        raise AnswerError(f"{keepers}: no such folder, neither here nor in {folder}")
    if not keepers.resolve().is_relative_to(folder.resolve()) or keepers.samefile(folder):
        raise AnswerError(
            f"{keepers}: the folder of keepers must lie in {folder}, which has the others"
        )
    paths = [Path(name) for name in find_photos([str(folder)]).names]
    kept = {path for path in paths if path.resolve().is_relative_to(keepers.resolve())}
    if not kept or len(kept) == len(paths):
        where = keepers if not kept else f"{folder} outside {keepers}"
        raise AnswerError(f"{where}: no photo; a taste is learnt from keepers and from others")
    return {path.relative_to(folder).as_posix(): float(path in kept) for path in paths}


def read_ratings(table: Path, folder: Path) -> dict[str, float]:
    """Ratings of a CSV file, by the names of photos in a folder.

    Columns: one of photo, path, file_name, file, filename, name and image; one of rating, stars,
    score and mos. Higher is better; the scale is free. Paths are from the folder, from here as in
    the tables of `nima`, or absolute; of photos in folders below their names alone will do.

    Raises:
        AnswerError: It has no such columns, or names a photo twice.
        TableError: It cannot be read, a rating is no number, or several photos have a name.
    """
    rows = read_table(table)
    photo, rating = (
        next((name for name in names if name in rows[0].cells), None)
        for names in (_PHOTO_COLUMNS, _RATING_COLUMNS)
    )
    if photo is None or rating is None:
        raise AnswerError(
            f"{table} line 1: wanted a column of photos ({', '.join(_PHOTO_COLUMNS)}) and one of "
            f"ratings ({', '.join(_RATING_COLUMNS)}), found {', '.join(rows[0].cells)}"
        )
    found: dict[str, float] = {}
    texts = [row.text(photo) for row in rows]
    for row, text, path in zip(rows, texts, photo_paths(folder, texts), strict=True):
        name = _name(text, path, folder)
        if name in found:
            raise AnswerError(f"{table} line {row.line}: {name} has a rating already")
        found[name] = row.number(rating)
    return found


def _name(text: str, path: Path, folder: Path) -> str:
    """Of a photo in the folder, found at `path`; tables also name it from here."""
    for place in (path.absolute(), as_on_disk(text).absolute()):
        if place.is_relative_to(folder.absolute()) and place.exists():
            return place.relative_to(folder.absolute()).as_posix()
    return text


def _listed(folder: Path) -> Folder | None:
    try:
        return Folder(folder)
    except SidecarError:
        return None


def _stars(photo: Path, folder: Folder | None) -> float | None:
    sidecars = []
    if folder is not None:
        try:
            sidecars = list(folder.sidecars(photo.name).values())
        except SidecarError:
            sidecars = []
    for sidecar in sidecars:
        try:
            packet = Packet.parse(read_sidecar(sidecar), str(sidecar))
        except SidecarError:
            continue
        if packet.persons_rating is not None:
            return packet.persons_rating
    try:
        return embedded_rating(photo)
    except OSError:
        return None
