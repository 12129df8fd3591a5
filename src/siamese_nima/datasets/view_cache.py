"""Views of a rating table, decoded once and kept on disk as plain pixels.

Decoding a photo costs more than running a light network's upper layers on it, and training sees
each photo many times. So views are cut once: variant 0 as scoring cuts them, further variants with
random crops and mirroring for training.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from siamese_nima.atomic_write import put_in_place
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.rating_table import RatingTable, photo_hashes
from siamese_nima.errors import PhotoError, TableError, ViewError, name_some
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.read import Photo, open_photo
from siamese_nima.photos.views import DECODE_MARGIN, Crops, ViewPolicy, Views, Warp

_CHUNK = 64  # photos between two notes of progress
_FORMAT = 2
_LARGER = 256 / 224  # side of the whole view that a random crop is cut from, by the crop's


@dataclass(frozen=True, slots=True, eq=False)
class ViewCache:
    """Cached views of the photos of one table.

    Attributes:
        pixels: uint8 of shape (variants, N, V, H, W, 3), a read-only memory map. Variant 0 is what
            `ViewPolicy.views` gives; the others are augmented.
        policy: How the views were cut.
        key: SHA-256 over the photos' contents, the policy, the variants and the seed.
    """

    pixels: NDArray[np.uint8]
    policy: ViewPolicy
    key: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(variants, N, V, H, W, 3)."""
        return self.pixels.shape

    def __getitem__(self, place: tuple[int, int]) -> Views:
        """The views of (variant, row), uint8 of shape (V, H, W, 3)."""
        views: Views = self.pixels[place]
        return views


def build_view_cache(
    table: RatingTable,
    policy: ViewPolicy,
    folder: Path,
    *,
    variants: int = 1,
    seed: int = 0,
    random_crop: bool = False,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> ViewCache:
    """Cut the views of all photos into one file, or go on where an earlier call was stopped.

    Args:
        table: Photos in the order of the cache.
        policy: Must give views of one size.
        folder: Where the cache lies; made if need be. The file name holds the cache's key, so that
            caches of several tables and policies share a folder.
        variants: How many versions of each photo; 1 is no augmentation.
        seed: The same seed gives the same random crops.
        random_crop: Whether whole views, too, are cut at random; see `augmented_views`.
        threads: Decoding threads; None for one per core.
        report: Called with photos done and photos in all.

    Raises:
        TableError: A photo is missing or cannot be read; lists them all, as no photo may be left
            out in silence.
        ViewError: Views of this policy differ in size from photo to photo.
    """
    if policy.view_size is None:
        raise ViewError(f"views of {policy} have no fixed size and cannot be cached")
    key = _key(photo_hashes(table), policy, variants, seed, random_crop=random_crop)
    shape = (variants, len(table), sum(policy.group_sizes), *policy.view_size, 3)
    cut = partial(_cut_row, table, policy, variants, seed, random_crop=random_crop)
    cuts: Iterator[Views | PhotoError] | None = None

    def fill(pixels: NDArray[Any], rows: range) -> None:
        nonlocal cuts
        if cuts is None:  # one stream over all chunks, which keeps the threads busy
            left = range(rows.start, len(table))
            cuts = map_in_order(cut, left, workers=threads or usable_cores())
        failures = list(_store(pixels, rows, islice(cuts, len(rows))))
        if failures:
            raise TableError(
                f"{len(failures)} photos from row {rows.start} on cannot be read: "
                f"{name_some(failures)}. Mend them, or leave them out (--skip-unreadable, "
                "RatingTable.select)."
            )

    path = folder / f"views-{key[:16]}.npy"
    pixels = kept_array(path, shape, np.uint8, fill, len(table), chunk=_CHUNK, report=report)
    return ViewCache(pixels, policy, key)


def kept_array(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    fill: Callable[[NDArray[Any], range], None],
    count: int,
    *,
    chunk: int,
    report: Callable[[int, int], None] | None = None,
) -> NDArray[Any]:
    """A file of one array, filled some rows at a time, or from where an earlier call was stopped.

    Of processes that ask for it at once, one fills it while the others wait.

    Args:
        path: The file, with the ending .npy; its folder is made if need be.
        shape: Of the array.
        dtype: Of the array.
        fill: Fills some of the rows, whatever these are.
        count: Rows in all.
        chunk: Rows between two notes of progress.
        report: Called with rows done and rows in all.

    Returns:
        A read-only memory map.
    """
    note = path.with_suffix(".rows")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists() and note.exists():
            array, done = np.load(path, mmap_mode="r+"), int(note.read_text())
        else:
            array, done = np.lib.format.open_memmap(path, "w+", dtype, shape), 0
        for start in range(done, count, chunk):
            rows = range(start, min(start + chunk, count))
            fill(array, rows)
            array.flush()
            partial_note = note.with_suffix(".partial")
            partial_note.write_text(str(rows.stop))
            put_in_place(partial_note, note)
            if report:
                report(rows.stop, count)
    kept: NDArray[Any] = np.load(path, mmap_mode="r")
    return kept


class LiveViews:
    """Views that are cut anew each time they are asked for, so that nothing is kept of them.

    Version 0 is what `ViewPolicy.views` gives. Every other number stands for a random crop and
    mirroring of its own, of which there are as many as anybody wants to see.

    Args:
        table: The photos.
        policy: Must give views of one size.
        seed: The same seed gives the same random crops.
        random_crop: Whether whole views, too, are cut at random; see `augmented_views`.

    Attributes:
        shape: (versions, N, V, H, W, 3).

    Raises:
        ViewError: Views of this policy differ in size from photo to photo.
    """

    def __init__(
        self, table: RatingTable, policy: ViewPolicy, *, seed: int = 0, random_crop: bool = False
    ) -> None:
        if policy.view_size is None:
            raise ViewError(f"views of {policy} have no fixed size and cannot share a batch")
        # Bytes in one block: worker processes share it, where every look at a list of Python's
        # objects would make a copy of their own.
        self.paths = np.array([os.fsencode(path) for path in table.paths])
        self.policy = policy
        self.seed = seed
        self.random_crop = random_crop
        self.shape = (2**31, len(table), sum(policy.group_sizes), *policy.view_size, 3)

    def __getitem__(self, place: tuple[int, int]) -> Views:
        """The views of (version, row), uint8 of shape (V, H, W, 3).

        Raises:
            PhotoError: The photo cannot be read.
        """
        version, row = place
        photo = open_for_views(Path(os.fsdecode(self.paths[row])), self.policy)
        if version == 0:
            return self.policy.views(photo)
        generator = np.random.default_rng((self.seed, row, version))
        return augmented_views(photo.whole(), self.policy, generator, random_crop=self.random_crop)


def open_for_views(path: Path, policy: ViewPolicy) -> Photo:
    """A photo as scoring decodes it for these views: large JPEG files at a reduced scale.

    Raises:
        PhotoError: It cannot be read.
    """
    least = policy.short_side_px
    return open_photo(path, min_short_side_px=least and DECODE_MARGIN * least)


def augmented_views(
    photo: Image.Image,
    policy: ViewPolicy,
    generator: np.random.Generator,
    *,
    random_crop: bool = False,
) -> Views:
    """Views of one photo with crops at random places, all mirrored with probability one half.

    Crops keep the policy's scale, since sharpness and noise are judged at a resolution.

    Args:
        photo: Mode RGB.
        policy: How scoring cuts it.
        generator: Of places and mirroring.
        random_crop: Cut warped whole views, too, at a random place, from one 8/7 as large (224
            from 256, as in the NIMA paper). It makes more of few photos, but takes an edge off
            each, and framing is part of what people rate; without it whole views stay whole.

    Returns:
        uint8 of the shape of `policy.views(photo)`.
    """
    cuts: list[Image.Image] = []
    for group in policy.groups:
        if isinstance(group, Crops):
            cuts += [_random_crop(photo, group, policy, generator) for _ in range(group.view_count)]
        elif random_crop and isinstance(group, Warp):
            cuts.append(_cut_warp(photo, group, policy, generator))
        else:
            cuts += group.cut(photo, policy.resample)
    views = np.stack([np.asarray(cut) for cut in cuts])
    return np.ascontiguousarray(views[:, :, ::-1]) if generator.random() < 0.5 else views


def _random_crop(
    photo: Image.Image, group: Crops, policy: ViewPolicy, generator: np.random.Generator
) -> Image.Image:
    side = group.size_px / group.short_side_px * min(photo.size)
    left = int(generator.integers(0, int(photo.width - side), endpoint=True))
    top = int(generator.integers(0, int(photo.height - side), endpoint=True))
    # Whole pixels, so that a photo already at its short side is cut and not resampled.
    right = round(min(left + side, photo.width))
    bottom = round(min(top + side, photo.height))
    piece = Crops(group.size_px, group.size_px)
    return piece.cut(photo.crop((left, top, right, bottom)), policy.resample)[0]


def _cut_warp(
    photo: Image.Image, group: Warp, policy: ViewPolicy, generator: np.random.Generator
) -> Image.Image:
    height, width = group.view_size
    larger = Warp(round(height * _LARGER), round(width * _LARGER))
    (whole,) = larger.cut(photo, policy.resample)
    left = int(generator.integers(0, whole.width - width, endpoint=True))
    top = int(generator.integers(0, whole.height - height, endpoint=True))
    return whole.crop((left, top, left + width, top + height))


def _cut_row(
    table: RatingTable,
    policy: ViewPolicy,
    variants: int,
    seed: int,
    row: int,
    *,
    random_crop: bool,
) -> Views | PhotoError:
    try:
        photo = open_for_views(table.paths[row], policy)
        plain = policy.views(photo)
        whole = photo.whole() if variants > 1 else None
    except PhotoError as error:
        return error
    augmented = [
        augmented_views(
            whole, policy, np.random.default_rng((seed, row, variant)), random_crop=random_crop
        )
        for variant in range(1, variants)
        if whole is not None
    ]
    return np.stack([plain, *augmented])


def _store(
    pixels: NDArray[np.uint8], rows: range, cut: Iterator[Views | PhotoError]
) -> Iterator[PhotoError]:
    for row, views in zip(rows, cut, strict=True):
        if isinstance(views, PhotoError):
            yield views
        else:
            pixels[:, row] = views


def _key(
    hashes: tuple[str, ...], policy: ViewPolicy, variants: int, seed: int, *, random_crop: bool
) -> str:
    augmentation = [seed, *(["random crop"] if random_crop else [])] if variants > 1 else [0]
    described = json.dumps([_FORMAT, hashes, str(policy), variants, *augmentation])
    return hashlib.sha256(described.encode()).hexdigest()
