"""Scenes of near-copies, and splits that keep every scene on one side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import TableError
from siamese_nima.photos.likeness import Pairs, group_pairs

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
    if len(shares) == 0 or np.any(shares <= 0) or abs(shares.sum() - 1) > 1e-6:
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
