"""TID2013: 25 reference photos, each with 24 distortions at 5 levels; mean opinion scores 0..9.

`mos_with_names.txt` has one line per distorted photo, "5.51429 I01_01_1.bmp": the score, and the
name made of reference, distortion and level; 3,000 lines, no header. The photos are in
`distorted_images`, some under names in lower case. `mos_std.txt` has one number per line in the
same order.

Verified against public readers of these files; the files themselves were not at hand. What
`mos_std.txt` measures could not be verified. The database's description calls it the "standard
deviation of MOS", which can mean the votes' spread or the doubt of their mean, so it is used only
on request.

Reference:
    Ponomarenko et al., "Image database TID2013: peculiarities, results and perspectives", Signal
    Processing: Image Communication 30, 2015.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from siamese_nima.datasets.label_rows import photo_paths, read_text
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import TableError
from siamese_nima.ratings import Floats, RatingScale

TID2013_SCALE = RatingScale(0, 9)


def read_tid2013(
    folder: Path, *, photos: Path | None = None, deviations_as_spread: bool = False
) -> RatingTable:
    """Read TID2013 as published.

    Args:
        folder: Holds `mos_with_names.txt` and, for `deviations_as_spread`, `mos_std.txt`.
        photos: Folder of the distorted photos; None for `folder/distorted_images`.
        deviations_as_spread: Take `mos_std.txt` as the standard deviations of the votes.

    Returns:
        A table whose scene is the reference photo ("I01") and whose subset is the distortion
        ("distortion 01"); no splits, see `split_by_scene`.

    Raises:
        TableError: A file is missing or malformed; or, with `deviations_as_spread`, a value is
            smaller than votes in whole points with that mean can have.
    """
    table = folder / "mos_with_names.txt"
    mos, names = _read_scores(table)
    stems = [Path(name).stem for name in names]
    spread = _read_deviations(folder / "mos_std.txt", mos) if deviations_as_spread else None
    return RatingTable(
        paths=photo_paths(photos or folder / "distorted_images", names),
        mos=mos,
        scale=TID2013_SCALE,
        spread=spread,
        scenes=tuple(stem.split("_")[0].upper() for stem in stems),
        subsets=tuple(f"distortion {stem.split('_')[1]}" for stem in stems),
    )


def _read_scores(table: Path) -> tuple[Floats, list[str]]:
    scores: list[float] = []
    names: list[str] = []
    for line, text in enumerate(read_text(table).splitlines(), start=1):
        if not text.strip():
            continue
        cells = text.split()
        try:
            score, name = float(cells[0]), cells[1]
        except (ValueError, IndexError):
            score, name = np.nan, ""
        if len(cells) != 2 or not np.isfinite(score) or name.count("_") != 2:
            raise TableError(
                f"{table} line {line}: wanted 'score I01_01_1.bmp', found {text.strip()!r}"
            )
        scores.append(score)
        names.append(name)
    if not names:
        raise TableError(f"{table} holds no photo")
    return np.array(scores), names


def _read_deviations(table: Path, mos: Floats) -> Floats:
    try:
        values = np.array([float(cell) for cell in read_text(table).split()])
    except ValueError as error:
        raise TableError(f"{table}: wanted one number per line ({error})") from error
    if len(values) != len(mos):
        raise TableError(f"{table}: {len(values)} deviations for {len(mos)} scores")
    part = mos - np.floor(mos)
    smallest = np.sqrt(part * (1 - part))
    if np.any(values < smallest - 1e-6):
        line = int(np.flatnonzero(values < smallest - 1e-6)[0])
        raise TableError(
            f"{table} line {line + 1}: whole votes with the mean {mos[line]:g} have a standard "
            f"deviation of at least {smallest[line]:.3f}, found {values[line]:g}; these are not "
            "deviations of votes, read the set without them"
        )
    return values
