"""Published sets of rated photos, each read as its authors publish it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from siamese_nima.csv_rows import TableRow, read_table, read_text, table_lines
from siamese_nima.datasets.rating_table import RatingTable, photo_paths
from siamese_nima.datasets.splits import split_name
from siamese_nima.errors import TableError, name_some
from siamese_nima.ratings import AVA_SCALE, Floats, RatingScale, mean, spread_limits

_AVA_COLUMNS = 15


def read_ava(
    folder: Path, *, photos: Path | None = None, test_list: Path | None = None
) -> RatingTable:
    """Read AVA as published.

    AVA: 255,530 photos of dpchallenge.com with about 210 votes each on 1..10.

    The published package holds `AVA.txt` and lists of photo ids, no photos: their rights stay with
    the photographers. Each line of `AVA.txt` has 15 numbers: index, image id, the counts of the
    votes 1 to 10, two tag ids (0 where there is none) and the challenge id; there is no header. The
    official test list is `aesthetics_image_lists/generic_test.jpgl`, 20,000 image ids, one a line;
    common practice takes every other photo for training.

    Verified against the package's README.txt (June 2012) and test list as kept in the GitHub
    repository imfing/ava_downloader. Not verified here: that every listed id has a line in
    `AVA.txt`; ids without one are warned about.

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

    Reference:
        Murray, Marchesotti and Perronnin, "AVA: a large-scale database for aesthetic visual
        analysis", CVPR 2012.
    """
    ids, votes = _read_ava_votes(folder / "AVA.txt")
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


def _read_ava_votes(table: Path) -> tuple[tuple[str, ...], Floats]:
    lines = [line.split() for line in read_text(table).splitlines() if line.strip()]
    for number, cells in enumerate(lines, start=1):
        if len(cells) != _AVA_COLUMNS or not "".join(cells).isdigit():
            found = " ".join(cells)
            raise TableError(
                f"{table} line {number}: wanted {_AVA_COLUMNS} whole numbers, found {found!r}"
            )
    if not lines:
        raise TableError(f"{table} holds no photo")
    votes = np.array([list(map(int, cells[2:12])) for cells in lines], dtype=np.float64)
    for row in np.flatnonzero(~votes.any(axis=1))[:1]:
        raise TableError(f"{table} line {row + 1}: photo {lines[row][1]} has no vote at all")
    return tuple(cells[1] for cells in lines), votes


def _read_test_ids(folder: Path, test_list: Path | None) -> set[str]:
    places = (folder / "aesthetics_image_lists" / "generic_test.jpgl", folder / "generic_test.jpgl")
    if test_list is None and not any(place.exists() for place in places):
        return set()
    chosen = test_list or _first_existing(places, "the official test list")
    return set(read_text(chosen).split())


BIQ2021_SCALE = RatingScale(0, 1)
_BIQ2021_TABLES = ("Train (Images and MOS).csv", "Test (Images and MOS).csv")
_BIQ2021_SPLITS = ("file_name", "subset", "scene", "split")


def read_biq2021(folder: Path, splits: Path | None = None) -> RatingTable:
    """Read BIQ2021 as published.

    BIQ2021: 12,000 photos with mean opinion scores of technical quality from 30 observers each.

    Get it from the GitHub repository nisarahmedrana/BIQ2021: the folder `Images` and the two tables
    `Train (Images and MOS).csv` and `Test (Images and MOS).csv`.

    Args:
        folder: Holds `Images` and the two published tables.
        splits: A CSV with the columns file_name, subset, scene and split that says which photos are
            near-copies of each other and which split they are in. None takes the published split,
            in which near-copies of training photos are tested on; every photo is its own scene.

    Returns:
        A table in the order of `splits` (of the published tables without it), scores 0 to 1.

    Raises:
        TableError: A table is missing or malformed, or the two disagree about which photos exist.

    Reference:
        Ahmed and Asif, "BIQ2021: a large-scale blind image quality assessment database", Journal of
        Electronic Imaging 31(5), 053010, 2022.
    """
    published = {
        file_name.casefold(): (file_name, mos, split)
        for split, table in zip(("train", "test"), _BIQ2021_TABLES, strict=True)
        for file_name, mos in _read_biq2021_scores(folder / table)
    }
    if splits is None:
        rows = [(name, name[:4], name, split) for name, _, split in published.values()]
    else:
        rows = _read_biq2021_splits(splits)
        if unknown := [row[0] for row in rows if row[0].casefold() not in published]:
            raise TableError(
                f"{splits}: {len(unknown)} photos have no score in {folder}: {name_some(unknown)}"
            )
    names, subsets, scenes, parts = zip(*rows, strict=True)
    return RatingTable(
        paths=_biq2021_photos(folder / "Images", names),
        mos=np.array([published[name.casefold()][1] for name in names]),
        scale=BIQ2021_SCALE,
        scenes=scenes,
        subsets=subsets,
        splits=parts,
    )


def _biq2021_photos(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    # The published table has "ss02 (1014).jpg" where the file ends in ".JPG".
    present = {path.name.casefold(): path for path in folder.iterdir()} if folder.is_dir() else {}
    return tuple(present.get(name.casefold(), folder / name) for name in names)


def _read_biq2021_scores(table: Path) -> list[tuple[str, float]]:
    rows: list[tuple[str, float]] = []
    for line, row in table_lines(table)[1]:
        if line == 1 and row[:2] == ["Image Name", "MOS"]:
            continue
        try:
            rows.append((row[0], float(row[1])))
        except (ValueError, IndexError) as error:
            raise TableError(f"{table} line {line}: wanted 'name,score', found {row}") from error
    if not rows:
        raise TableError(f"{table} holds no photo")
    return rows


def _read_biq2021_splits(table: Path) -> list[tuple[str, str, str, str]]:
    return [
        (cells["file_name"], cells["subset"], cells["scene"], split_name(cells["split"]))
        for cells in (row.cells for row in read_table(table, _BIQ2021_SPLITS))
    ]


KADID10K_SCALE = RatingScale(1, 5)
_KADID10K_COLUMNS = ("dist_img", "ref_img", "dmos", "var")
_KADID10K_ROUNDING = 0.03  # of means of about 30 votes; the spread is then possible only nearly


def read_kadid10k(folder: Path, *, photos: Path | None = None) -> RatingTable:
    """Read KADID-10k as published.

    KADID-10k: 81 reference photos, each with 25 distortions at 5 levels; scores 1..5.

    `dmos.csv` has the header `dist_img,ref_img,dmos,var` and 10,125 rows such as
    `I01_01_01.png,I01.png,4.57,0.496`; the photos are in `images`.

    Two names mislead. `dmos` falls as the distortion grows, so it is a quality score: higher is
    better. `var` is the standard deviation of the votes: 4.57 is the mean of 13 votes of 4 and 17
    of 5, whose standard deviation is .496 and whose variance .246. Both agree with what others
    found in the raw votes; the file itself was not at hand, its form is taken from public readers
    of it.

    Args:
        folder: Holds `dmos.csv`.
        photos: Folder of the photos; None for `folder/images`.

    Returns:
        A table with the votes' spread, whose scene is the reference photo ("I01") and whose subset
        is the distortion ("distortion 01"); no splits, see `split_by_scene`.

    Raises:
        TableError: The file is missing or malformed.

    Reference:
        Lin, Hosu and Saupe, "KADID-10k: a large-scale artificially distorted IQA database", QoMEX
        2019.
    """
    rows = read_table(folder / "dmos.csv", _KADID10K_COLUMNS)
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


def _possible_spread(mos: Floats, spread: Floats) -> Floats:
    """Spreads moved to the nearest possible value where rounding in the file made them impossible.

    Values further off are left as they are, and refused where a distribution is made of them.
    """
    smallest, _ = spread_limits(mos, KADID10K_SCALE)
    short = (spread < smallest) & (spread > smallest - _KADID10K_ROUNDING)
    return np.where(short, smallest, spread)


KONIQ10K_SCALE = RatingScale(1, 5)
_KONIQ10K_SCORES = "koniq10k_scores_and_distributions.csv"
_KONIQ10K_SETS = "koniq10k_distributions_sets.csv"
_KONIQ10K_VOTES = ("c1", "c2", "c3", "c4", "c5")
_KONIQ10K_SPLITS = ("training", "validation", "test")


def read_koniq10k(
    folder: Path, *, photos: Path | None = None, labels: Literal["votes", "zscore"] = "votes"
) -> RatingTable:
    """Read KonIQ-10k as published.

    KonIQ-10k: 10,073 photos with about 120 votes each on 1..5.

    Two published tables have the votes. `koniq10k_scores_and_distributions.csv` has the columns
    image_name, c1..c5, c_total, MOS, SD, MOS_zscore; `koniq10k_distributions_sets.csv`, in the
    authors' GitHub repository subpic/koniq, has image_name, c1..c5, c_total, MOS, SD, set with
    `set` one of training, validation, test. (`koniq10k_indicators.csv` describes the pictures and
    has no votes.) The photos are in `1024x768` or `512x384`.

    The second was read in full: its c1..c5 are shares of c_total, its MOS is on 0..100 and is not
    the votes' mean. For the first only the header and the range of its columns (MOS 1..5,
    MOS_zscore 0..100) could be verified; counts and shares are both accepted and told apart by
    their sum.

    Args:
        folder: Holds one or both published tables; splits come from the second.
        photos: Folder of the photos; None for `1024x768` or else `512x384` in `folder`.
        labels: "votes" for votes on 1..5 and their means; "zscore" for MOS_zscore, 0..100 without
            votes, which most publications compare with.

    Returns:
        A table in the order of the published one.

    Raises:
        TableError: A table is missing or malformed, or the two name different photos.

    Reference:
        Hosu, Lin, Sziranyi and Saupe, "KonIQ-10k: an ecologically valid database for deep learning
        of blind image quality assessment", IEEE Transactions on Image Processing 29, 2020.
    """
    table = _first_existing(
        (folder / _KONIQ10K_SCORES, folder / _KONIQ10K_SETS), "the table of KonIQ-10k"
    )
    score = ("MOS_zscore",) if labels == "zscore" else ()
    rows = read_table(table, ("image_name", *_KONIQ10K_VOTES, "c_total", *score))
    names = [row.text("image_name") for row in rows]
    place = photos or next(
        (folder / size for size in ("1024x768", "512x384") if (folder / size).is_dir()), folder
    )
    paths, splits = photo_paths(place, names), _read_koniq10k_splits(folder / _KONIQ10K_SETS, names)
    if labels == "zscore":
        scores = np.array([row.number("MOS_zscore") for row in rows])
        return RatingTable(
            paths=paths, mos=scores, scale=RatingScale(0, 100), scenes=tuple(names), splits=splits
        )
    votes = np.array([_koniq10k_votes(row) for row in rows])
    return RatingTable(
        paths=paths,
        mos=mean(votes / votes.sum(axis=1, keepdims=True), KONIQ10K_SCALE),
        scale=KONIQ10K_SCALE,
        votes=votes,
        scenes=tuple(names),
        splits=splits,
    )


def _koniq10k_votes(row: TableRow) -> list[float]:
    given = [row.number(column) for column in _KONIQ10K_VOTES]
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


def _read_koniq10k_splits(table: Path, names: list[str]) -> tuple[str, ...]:
    if not table.exists():
        return ()
    sets = {}
    for row in read_table(table, ("image_name", "set")):
        if row.text("set") not in _KONIQ10K_SPLITS:
            wanted = ", ".join(_KONIQ10K_SPLITS)
            raise TableError(f"{table} line {row.line}: set {row.text('set')!r}, wanted {wanted}")
        sets[row.text("image_name")] = split_name(row.text("set"))
    if unknown := [name for name in names if name not in sets]:
        raise TableError(f"{table}: no row for {len(unknown)} photos: {name_some(unknown)}")
    return tuple(sets[name] for name in names)


SPAQ_SCALE = RatingScale(0, 100)
_SPAQ_TABLE = "MOS and Image attribute scores.csv"


def read_spaq(
    folder: Path, *, table: Path | None = None, photos: Path | None = None
) -> RatingTable:
    """Read SPAQ, its spreadsheet exported as CSV.

    SPAQ: 11,125 photos of 66 smartphones with mean opinion scores 0..100.

    The labels are published as a spreadsheet, `MOS and Image attribute scores.xlsx`. Spreadsheets
    are not read: export its sheet as CSV under the same name, `MOS and Image attribute scores.csv`.
    Used are the columns `Image name` ("00001.jpg") and `MOS`; the others (Brightness, Colorfulness,
    Contrast, Noisiness, Sharpness) may stay. The photos are in `TestImage`.

    Column names verified against public readers of the spreadsheet (GitHub repository h4nwei/SPAQ
    and others); the spreadsheet itself was not at hand. The set has no official split, and no
    votes.

    Args:
        folder: The set's folder.
        table: The exported CSV; None looks for `MOS and Image attribute scores.csv` in `folder` and
            in `folder/Annotations`.
        photos: Folder of the photos; None for `folder/TestImage`.

    Raises:
        TableError: The table is missing, is a spreadsheet, or is malformed.

    Reference:
        Fang, Zhu, Zeng, Ma and Wang, "Perceptual quality assessment of smartphone photography",
        CVPR 2020.
    """
    places = (folder / _SPAQ_TABLE, folder / "Annotations" / _SPAQ_TABLE)
    chosen = table or _first_existing(places, "the exported table of SPAQ")
    rows = read_table(chosen, ("Image name", "MOS"))
    names = tuple(row.text("Image name") for row in rows)
    return RatingTable(
        paths=photo_paths(photos or folder / "TestImage", names),
        mos=np.array([row.number("MOS") for row in rows]),
        scale=SPAQ_SCALE,
        scenes=names,
    )


TID2013_SCALE = RatingScale(0, 9)


def read_tid2013(
    folder: Path, *, photos: Path | None = None, deviations_as_spread: bool = False
) -> RatingTable:
    """Read TID2013 as published.

    TID2013: 25 reference photos, each with 24 distortions at 5 levels; mean opinion scores 0..9.

    `mos_with_names.txt` has one line per distorted photo, "5.51429 I01_01_1.bmp": the score, and
    the name made of reference, distortion and level; 3,000 lines, no header. The photos are in
    `distorted_images`, some under names in lower case. `mos_std.txt` has one number per line in the
    same order.

    Verified against public readers of these files; the files themselves were not at hand. What
    `mos_std.txt` measures could not be verified. The database's description calls it the "standard
    deviation of MOS", which can mean the votes' spread or the doubt of their mean, so it is used
    only on request.

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

    Reference:
        Ponomarenko et al., "Image database TID2013: peculiarities, results and perspectives",
        Signal Processing: Image Communication 30, 2015.
    """
    table = folder / "mos_with_names.txt"
    mos, names = _read_tid2013_scores(table)
    stems = [Path(name).stem for name in names]
    spread = _read_tid2013_deviations(folder / "mos_std.txt", mos) if deviations_as_spread else None
    return RatingTable(
        paths=photo_paths(photos or folder / "distorted_images", names),
        mos=mos,
        scale=TID2013_SCALE,
        spread=spread,
        scenes=tuple(stem.split("_")[0].upper() for stem in stems),
        subsets=tuple(f"distortion {stem.split('_')[1]}" for stem in stems),
    )


def _read_tid2013_scores(table: Path) -> tuple[Floats, list[str]]:
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


def _read_tid2013_deviations(table: Path, mos: Floats) -> Floats:
    try:
        values = np.array([float(cell) for cell in read_text(table).split()])
    except ValueError as error:
        raise TableError(f"{table}: wanted one number per line ({error})") from error
    if len(values) != len(mos):
        raise TableError(f"{table}: {len(values)} deviations for {len(mos)} scores")
    smallest, _ = spread_limits(mos, TID2013_SCALE)
    if np.any(values < smallest - 1e-6):
        line = int(np.flatnonzero(values < smallest - 1e-6)[0])
        raise TableError(
            f"{table} line {line + 1}: whole votes with the mean {mos[line]:g} have a standard "
            f"deviation of at least {smallest[line]:.3f}, found {values[line]:g}; these are not "
            "deviations of votes, read the set without them"
        )
    return values


def _first_existing(candidates: Sequence[Path], what: str) -> Path:
    """The first of the places where a data set is published that exists.

    Raises:
        TableError: None exists; names them all.
    """
    for path in candidates:
        if path.exists():
            return path
    raise TableError(f"{what} not found; looked for {name_some(candidates)}")
