"""Scenes and splits: dealt out so that no scene spans two, and kept in a splits file.

A splits file is a CSV with the columns file_name, subset, scene and split, one row per photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from siamese_nima.csv_rows import ABSENT, as_written, csv_text, read_table, same_name
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import TableError, name_some
from siamese_nima.photos.similarity import Pairs, group_pairs

DEFAULT_FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}


def with_scenes(table: RatingTable, pairs: Pairs) -> RatingTable:
    """The table with scenes merged where near-copies connect them; its splits are taken away.

    Args:
        table: Its own scenes are kept together, too.
        pairs: Near-copies, shape (P, 2), rows of the table; see `near_copies`.
    """
    firsts: dict[str, int] = {}
    known = [(firsts.setdefault(scene, row), row) for row, scene in enumerate(table.scenes)]
    groups = group_pairs(len(table), np.concatenate([np.array(known, dtype=np.intp), pairs]))
    return replace(table, scenes=tuple(table.scenes[row] for row in groups), splits=())


def split_by_scene(
    table: RatingTable,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    *,
    seed: int = 0,
) -> RatingTable:
    """The table with new splits that keep every scene on one side.

    Each subset is divided in the given fractions of its photos, as nearly as whole scenes allow: a
    scene goes to the split that then lacks most. The same seed gives the same splits, in whatever
    order the rows are.

    Args:
        table: A scene that spans subsets counts for the subset of its first photo by name.
        fractions: Share of the photos per split, above 0, summing to 1.
        seed: Of the order in which scenes are dealt out.

    Raises:
        TableError: The fractions are not shares that sum to 1.
    """
    shares = np.array(list(fractions.values()))
    if len(shares) == 0 or not np.all(shares > 0) or not abs(shares.sum() - 1) <= 1e-6:
        raise TableError(f"fractions must be above 0 and sum to 1, got {dict(fractions)}")
    sizes: dict[str, int] = {}
    subset_of: dict[str, tuple[str, str]] = {}
    for path, scene, subset in zip(table.paths, table.scenes, table.subsets, strict=True):
        sizes[scene] = sizes.get(scene, 0) + 1
        subset_of[scene] = min(subset_of.get(scene, (path.name, subset)), (path.name, subset))
    names, split_of = list(fractions), {}
    generator = np.random.default_rng(seed)
    for subset in sorted({subset for _, subset in subset_of.values()}):
        scenes = sorted(scene for scene, (_, own) in subset_of.items() if own == subset)
        dealt = np.array([scenes[i] for i in generator.permutation(len(scenes))])
        # Large scenes first, while every split can still take them.
        dealt = dealt[np.argsort([-sizes[scene] for scene in dealt], kind="stable")]
        lacking = shares * sum(sizes[scene] for scene in scenes)
        for scene in dealt.tolist():
            chosen = int(np.argmax(lacking / shares))
            lacking[chosen] -= sizes[scene]
            split_of[scene] = names[chosen]
    return replace(table, splits=tuple(split_of[scene] for scene in table.scenes))


_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SPLIT_COLUMNS = ("file_name", "subset", "scene", "split")


def apply_splits(table: RatingTable, splits: Path) -> RatingTable:
    """The table with the scenes, subsets and splits of a splits file, in the file's order.

    Photos are matched by name, upper and lower case, composed and decomposed letters alike.

    Raises:
        TableError: The file is malformed, or it and the table name different photos.
    """
    rows = read_table(splits, SPLIT_COLUMNS)
    names = photo_names(table)
    exact = {name: i for i, name in enumerate(names)}
    alike = {same_name(name): i for i, name in enumerate(names)}
    named = [row.text("file_name") for row in rows]
    found = [exact.get(name, alike.get(same_name(name))) for name in named]
    if unknown := [name for name, i in zip(named, found, strict=True) if i is None]:
        raise TableError(
            f"{splits}: {len(unknown)} photos are not in the set: {name_some(unknown)}"
        )
    places = [i for i in found if i is not None]
    if lacking := sorted(names[i] for i in set(range(len(names))) - set(places)):
        raise TableError(
            f"{splits}: {len(lacking)} photos of the set have no row: {name_some(lacking)}"
        )
    bare = replace(table, scenes=(), subsets=(), splits=())
    return replace(
        bare.select(places),
        scenes=tuple(as_written(row.text("scene")) for row in rows),
        subsets=tuple(as_written(row.cells["subset"]) for row in rows),
        splits=tuple(split_name(row.cells["split"]) for row in rows),
    )


def split_name(text: str) -> str:
    """The split that a cell means: "train", "val", "test", "" where it is empty.

    Upper and lower case do not matter, and the usual longer names are known; any other name stays
    as it is. Programs write "nan" and the like for an empty cell.
    """
    folded = text.strip().casefold()
    if folded in ABSENT:
        return ""
    known = _SPLIT_NAMES.get(folded, folded)
    return known if known in (*_SPLIT_NAMES.values(), "") else text.strip()


def fill_splits(
    table: RatingTable,
    grouped: RatingTable,
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
) -> RatingTable:
    """Splits for the photos that have none; scenes stay together, given splits stay.

    Test photos that are given stay the only ones. Where val is not given it comes out of train,
    whose photos are then dealt out again.

    Args:
        table: The splits given, "" where a photo has none.
        grouped: The same photos with their scenes; see `with_scenes`. A scene with photos of
            several given splits goes whole to test, else to val.
        fractions: Shares of train, val and test for photos that are dealt out; 0 for none.
        seed: Of the order in which scenes are dealt out.

    Raises:
        TableError: A given split is none of train, val and test.
    """
    given = set(table.splits) - {""}
    if odd := sorted(given - {"train", "val", "test"}):
        raise TableError(
            f"splits are {name_some(sorted(given))}, and {name_some(odd)} is none of train, val "
            "and test"
        )
    if given and "" not in table.splits and "train" not in given:
        raise TableError(f"splits are {sorted(given)}; wanted train and val, or none")
    kept = given if "val" in given else given - {"train"}
    wanted = {name for name, share in fractions.items() if share > 0}
    if given:
        wanted = {"train", "val"} - ({"val"} if "val" in given and "train" not in given else set())
    share = sum(fractions[name] for name in wanted)
    dealt = split_by_scene(
        grouped, {name: fractions[name] / share for name in fractions if name in wanted}, seed=seed
    )
    split_of: dict[str, str] = {}
    for name in ("train", "val", "test"):  # the later wins
        if name in kept:
            rows = (i for i, split in enumerate(table.splits) if split == name)
            split_of |= {grouped.scenes[i]: name for i in rows}
    filled = zip(dealt.scenes, dealt.splits, strict=True)
    return replace(dealt, splits=tuple(split_of.get(scene, split) for scene, split in filled))


def splits_text(table: RatingTable) -> str:
    """The content of the splits file that `apply_splits` reads back."""
    columns = (photo_names(table), table.subsets, table.scenes, table.splits)
    return csv_text([SPLIT_COLUMNS, *zip(*columns, strict=True)])


def photo_names(table: RatingTable) -> tuple[str, ...]:
    """Names of the photos in a splits file: the file name, or where two photos share one, the path
    below the folder that all photos are in.
    """
    names = tuple(path.name for path in table.paths)
    if len({same_name(name) for name in names}) == len(names):
        return names
    shared = 0
    for parts in zip(*(path.parts[:-1] for path in table.paths), strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    return tuple(Path(*path.parts[shared:]).as_posix() for path in table.paths)
