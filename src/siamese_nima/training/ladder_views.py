"""Cached views of distortion ladders, and how they stand beside rated photos in training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.rating_table import RatingTable, photo_hashes
from siamese_nima.datasets.view_cache import ViewCache, kept_array
from siamese_nima.errors import ConfigError, ViewError
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy, Views
from siamese_nima.training.batches import Inputs, Photos
from siamese_nima.training.ladders import DISTORTIONS, LEVELS, ladder
from siamese_nima.training.pairs import UNKNOWN

RUNGS = LEVELS + 1
_CHUNK = 64  # ladders between two notes of progress


@dataclass(frozen=True, slots=True, eq=False)
class LadderViews:
    """Views of L ladders of six rungs each, best first; ladders of one photo lie together.

    Attributes:
        views: Pixels of shape (1, 6 L, V, H, W, 3).
        photos: Shape (L,), the photo that each ladder is of: a row of the table.
        distortions: Shape (L,), names of `DISTORTIONS`.
    """

    views: ViewCache
    photos: NDArray[np.intp]
    distortions: tuple[str, ...]


def build_ladder_views(
    table: RatingTable,
    policy: ViewPolicy,
    folder: Path,
    *,
    rows: NDArray[np.intp] | None = None,
    per_photo: int = 6,
    turns: Sequence[str] = (),
) -> LadderViews:
    """Distort photos of a table and cut the views of every rung, or find them in `folder`.

    Args:
        table: Photos larger than the views need are first brought to that short side: a blur of
            four pixels is none on twelve megapixels.
        policy: Must give views of one size.
        folder: Where the cache lies.
        rows: Of the clean photos; None for all.
        per_photo: Ladders per photo. With fewer than there are distortions, photos take turns.
        turns: Distortions in the order in which ladders take them, again and again; one that is
            named twice gets twice as many. None for each in turn.

    Raises:
        ConfigError: An unknown distortion among the turns.
        ViewError: Views of this policy differ in size from photo to photo.
    """
    if policy.view_size is None:
        raise ViewError(f"views of {policy} have no fixed size and cannot be cached")
    turns = turns or tuple(DISTORTIONS)
    if not set(turns) <= set(DISTORTIONS):
        raise ConfigError(f"turns must be some of {', '.join(DISTORTIONS)}, got {list(turns)}")
    chosen = np.arange(len(table)) if rows is None else rows
    clean = table.select(chosen)
    count = len(clean) * per_photo
    names = tuple(turns[place % len(turns)] for place in range(count))
    described = json.dumps([photo_hashes(clean), str(policy), names, "ladders 2"])
    key = hashlib.sha256(described.encode()).hexdigest()

    def cut(number: int) -> Views:
        row = number // per_photo
        photo = _reduced(read_photo(clean.paths[row]), policy.short_side_px)
        return np.stack([policy.views(rung) for rung in ladder(photo, names[number], seed=row)])

    def fill(pixels: NDArray[Any], numbers: range) -> None:
        cuts = map_in_order(cut, numbers, workers=usable_cores())
        for number, rungs in zip(numbers, cuts, strict=True):
            pixels[0, number * RUNGS : (number + 1) * RUNGS] = rungs

    shape = (1, count * RUNGS, sum(policy.group_sizes), *policy.view_size, 3)
    path = folder / f"ladders-{key[:16]}.npy"
    pixels = kept_array(path, shape, np.uint8, fill, count, chunk=_CHUNK)
    return LadderViews(ViewCache(pixels, policy, key), np.repeat(chosen, per_photo), names)


def with_ladders(photos: Photos, ladder_inputs: Inputs, ladder_rows: NDArray[np.intp]) -> Photos:
    """Rated photos and ladders of some of them, as the Siamese stage takes them.

    The first rung of a ladder is a rated photo and keeps its labels; the others have none.

    Args:
        photos: Rated.
        ladder_inputs: Shape (1, 6 L, ...): views or activations of L ladders.
        ladder_rows: Shape (L,), the row of `photos` that each ladder is of.

    Raises:
        ConfigError: Ladders of another number or form than the photos.
    """
    if ladder_inputs.shape[1] != len(ladder_rows) * RUNGS:
        raise ConfigError(
            f"{len(ladder_rows)} ladders have {len(ladder_rows) * RUNGS} rungs, got "
            f"{ladder_inputs.shape[1]}"
        )
    ladders, rungs = np.divmod(np.arange(len(ladder_rows) * RUNGS), RUNGS)
    rows, none = ladder_rows[ladders], np.full(len(photos), UNKNOWN)
    known = {name: column.numpy() for name, column in photos.labels._asdict().items()}
    known |= {"distributions": photos.distributions.numpy()}
    joined = {name: np.concatenate([column, column[rows]]) for name, column in known.items()}
    distorted = len(photos) + np.flatnonzero(rungs)
    for name, unknown in (("distributions", np.nan), ("means", np.nan), ("buckets", UNKNOWN)):
        joined[name][distorted] = unknown
    joined["ladders"] = np.concatenate([none, ladders])
    joined["rungs"] = np.concatenate([none * 0, rungs])
    return Photos(JoinedInputs(photos.inputs, ladder_inputs), scale=photos.scale, **joined)


class JoinedInputs:
    """Two arrays of inputs one after the other, on the disk as they are.

    Args:
        first: Shape (variants, N, ...).
        second: Shape (1, M, ...); its rows are the same in every variant.
    """

    def __init__(self, first: Inputs, second: Inputs) -> None:
        if first.shape[2:] != second.shape[2:] or second.shape[0] != 1:
            raise ConfigError(f"inputs of shape {second.shape} do not go on those of {first.shape}")
        self.first = first
        self.second = second
        self.shape = (first.shape[0], first.shape[1] + second.shape[1], *first.shape[2:])

    def __getitem__(self, place: tuple[int, int]) -> Any:
        variant, row = place
        known = self.first.shape[1]
        return self.first[variant, row] if row < known else self.second[0, row - known]


def _reduced(photo: Image.Image, short_side_px: int | None) -> Image.Image:
    if short_side_px is None or min(photo.size) <= short_side_px:
        return photo
    scale = short_side_px / min(photo.size)
    width, height = (round(side * scale) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BICUBIC)
