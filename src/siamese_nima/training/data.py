"""The photos of a run: read, split by scene where they are not, and cut to views."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_nima.atomic_write import write_whole
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.checks import check_photos, near_copies, usable_photos
from siamese_nima.datasets.rating_table import RatingTable, photo_hashes
from siamese_nima.datasets.sources import RatedSource, parse_columns, read_source
from siamese_nima.datasets.splits import apply_splits, fill_splits, splits_text, with_scenes
from siamese_nima.datasets.view_cache import LiveViews, ViewCache, build_view_cache
from siamese_nima.errors import TableError
from siamese_nima.photos.similarity import read_signatures
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import Floats
from siamese_nima.training.config import TrainConfig
from siamese_nima.training.ladders import build_ladder_views
from siamese_nima.training.watch import Watch

SPLITS_FILE = "splits.csv"
RECORD_FILE = "run.json"  # there from the moment on that a run has read its data
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class SplitViews:
    """The photos of one split, and ladders of some; `ladder_rows`, shape (L,), says of which."""

    table: RatingTable
    views: ViewCache | LiveViews
    ladders: ViewCache | None
    ladder_rows: NDArray[np.intp]


def read_tables(config: TrainConfig, watch: Watch) -> dict[str, RatingTable]:
    """The photos by split: train, val, and test where there is one.

    Photos without a split are divided so that near-copies stay together, and the division is kept
    in `splits.csv` in the run's folder.

    Raises:
        TableError: The source cannot be read, photos are missing or broken, or too few.
    """
    data = config.data
    reading = read_source(
        RatedSource(
            data.source,
            photos=data.photos,
            scale=data.scale,
            splits=data.splits,
            columns=parse_columns(data.columns),
            raters=data.raters,
        )
    )
    table = reading.table
    for note in reading.notes:
        watch.note(f"note: {note}")
    if data.skip_unreadable:
        table = _readable(table, watch)
    table.require_photos()
    if not table.ratings_differ:
        raise TableError(
            f"{data.source}: all {len(table)} photos are rated {table.mos[0]:g}; nothing can be "
            "learnt from them"
        )
    kept = config.out / SPLITS_FILE
    if kept.is_file() and (config.out / RECORD_FILE).is_file():
        table = apply_splits(table, kept)
    elif "" in table.splits or not {"train", "val"} <= set(table.splits):
        table = _divided(table, config, watch)
        write_whole(kept, splits_text(table).encode("utf-8", "surrogateescape"))
    if other := sum(split not in _SPLITS for split in table.splits):
        watch.note(f"{other} photos are in none of train, val and test, and take no part")
    return {name: table.split(name) for name in _SPLITS if name in table.splits}


def data_digest(tables: dict[str, RatingTable]) -> str:
    """SHA-256 over photos, ratings and splits: two runs with the same digest learn the same."""
    described = []
    for name, table in tables.items():
        rated = (table.mos, table.votes, table.spread)
        values = [None if column is None else column.tolist() for column in rated]
        described.append([name, photo_hashes(table), *values, str(table.scale)])
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def cut_views(
    tables: dict[str, RatingTable],
    policy: ViewPolicy,
    config: TrainConfig,
    folder: Path,
    watch: Watch,
) -> dict[str, SplitViews]:
    """The views of train and val, and of ladders where the run has some.

    Raises:
        TableError: A photo cannot be read.
    """
    splits = {}
    kept = _kept_views(tables, policy, config, watch)
    for name in ("train", "val"):
        table, crop = tables[name], config.data.random_crop and name == "train"
        views: ViewCache | LiveViews
        if name in kept:
            with watch.progress(f"cutting views of {name} photos") as report:
                views = build_view_cache(
                    table,
                    policy,
                    folder,
                    variants=config.data.variants if name == "train" else 1,
                    seed=config.seed,
                    random_crop=crop,
                    report=report,
                )
        else:
            views = LiveViews(table, policy, seed=config.seed, random_crop=crop)
        splits[name] = SplitViews(table, views, *_ladders(table, policy, config, name, folder))
    return splits


def _kept_views(
    tables: dict[str, RatingTable], policy: ViewPolicy, config: TrainConfig, watch: Watch
) -> tuple[str, ...]:
    """The splits whose views are kept, as far as `cache_gb` goes; says what they take."""
    height, width = policy.view_size or (0, 0)
    each = sum(policy.group_sizes) * height * width * 3 / 1e9
    needed = {
        "val": each * len(tables["val"]),
        "train": each * len(tables["train"]) * config.data.variants,
    }
    whole = sum(needed.values())
    if whole <= config.cache_gb:
        watch.note(f"cut photos take {whole:.2g} GB (bound: cache_gb = {config.cache_gb:g})")
        return tuple(needed)
    watch.note(
        f"photos are decoded in every epoch, with new random crops: kept in {config.data.variants} "
        f"variants they would take {whole:.2g} GB (bound: cache_gb = {config.cache_gb:g})"
    )
    return ("val",) if needed["val"] <= config.cache_gb else ()


def clean_rows(mos: Floats, best: float, count: int, seed: int) -> NDArray[np.intp]:
    """Rows of `count` photos drawn from the best rated share, ascending; all of those if fewer."""
    rows = np.argsort(-mos, kind="stable")[: max(1, round(len(mos) * best))]
    generator = np.random.default_rng((seed, len(mos)))
    return np.sort(generator.permutation(rows)[:count])


def _ladders(
    table: RatingTable, policy: ViewPolicy, config: TrainConfig, name: str, folder: Path
) -> tuple[ViewCache | None, NDArray[np.intp]]:
    wanted = config.data
    if not wanted.ladders:
        return None, np.empty(0, dtype=np.intp)
    # A few of val's, too: whether order is learnt shows on photos that were not trained on.
    count = wanted.ladders if name == "train" else max(2, wanted.ladders // 5)
    rows = clean_rows(table.mos, wanted.ladders_best, count, config.seed)
    clean, each, turns = table.select(rows), wanted.ladders_per_photo, wanted.ladders_turns
    views = build_ladder_views(clean, policy, folder, per_photo=each, turns=turns)
    return views, np.repeat(rows, each)


def _readable(table: RatingTable, watch: Watch) -> RatingTable:
    with watch.progress("reading photos") as report:
        check = check_photos(table, threads=usable_cores(), report=report)
    if check.usable < len(table):
        watch.note(f"left out: {'; '.join(check.lines())}")
    return usable_photos(table, check)


def _divided(table: RatingTable, config: TrainConfig, watch: Watch) -> RatingTable:
    """Splits for photos that have none, or only some."""
    with watch.progress("looking for near-copies") as report:
        signatures = read_signatures(table.paths, threads=usable_cores(), report=report)
    if signatures.unreadable:
        reasons = "; ".join(reason.rstrip(".") for _, reason in signatures.unreadable[:3])
        raise TableError(
            f"{len(signatures.unreadable)} photos cannot be read: {reasons}. Mend them, or leave "
            "them out with skip_unreadable (--skip-unreadable)."
        )
    grouped = with_scenes(table, near_copies(signatures))
    fractions = dict(zip(_SPLITS, config.data.fractions, strict=True))
    try:
        divided = fill_splits(table, grouped, fractions, seed=config.seed)
    except TableError as error:
        raise TableError(f"{config.data.source}: {error}") from error
    counts = ", ".join(f"{divided.splits.count(name)} {name}" for name in _SPLITS)
    if not {"train", "val"} <= set(divided.splits):
        raise TableError(
            f"{config.data.source}: {len(table)} photos in {len(set(grouped.scenes))} scenes are "
            "too few to divide into train and val"
        )
    watch.note(f"divided so that near-copies stay together: {counts} ({SPLITS_FILE})")
    return divided
