"""Distortion ladders: ordered pairs without any label, from clean photos; and their cached views.

A photo and its ever more distorted copies are ordered by construction: rung 0 is the photo itself,
each further rung is worse. Distortions act on pixels as given, so photos are brought to the short
side that the model works at before, or a blur of four pixels is none.

Reference:
    Liu, van de Weijer and Bagdanov, "RankIQA: learning from rankings for no-reference image quality
    assessment", 2017. arXiv:1707.08347
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.rating_table import RatingTable, photo_hashes
from siamese_nima.datasets.view_cache import ViewCache, kept_array
from siamese_nima.errors import ConfigError, PhotoError, ViewError
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy, Views

LEVELS = 5
RUNGS = LEVELS + 1
_CHUNK = 64  # ladders between two notes of progress


def _blurred(photo: Image.Image, radius_px: float, _: int) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(radius_px))


def _noisy(photo: Image.Image, deviation: float, seed: int) -> Image.Image:
    # One grain for all rungs, scaled: each pixel moves further from the original rung by rung.
    grain = np.random.default_rng(seed).standard_normal((photo.height, photo.width, 3))
    pixels = np.asarray(photo) + deviation * grain
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8), "RGB")


def _compressed(photo: Image.Image, quality: float, _: int) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    return Image.open(file).convert("RGB")


def _shrunk(photo: Image.Image, factor: float, _: int) -> Image.Image:
    width, height = (max(1, round(side / factor)) for side in photo.size)
    reduced = photo.resize((width, height), Image.Resampling.BICUBIC)
    return reduced.resize(photo.size, Image.Resampling.BICUBIC)


def _exposed(photo: Image.Image, stops: float, _: int) -> Image.Image:
    """As if the shutter had been open 2^stops times as long: light is scaled, then clipped."""
    values = np.arange(256) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    light = np.minimum(light * 2.0**stops, 1)
    display = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    table = (display * 255).round().astype(int).tolist()
    return photo.point(table * 3)


Distortion = Callable[[Image.Image, float, int], Image.Image]
# With the strengths of the levels, from just visible to ruined for photos of some 500 pixels on the
# short side: radii in pixels, deviations of 255, qualities, factors, stops.
DISTORTIONS: Mapping[str, tuple[Distortion, tuple[float, ...]]] = {
    "blur": (_blurred, (0.8, 1.5, 2.5, 4.0, 6.5)),
    "noise": (_noisy, (5.0, 11.0, 20.0, 33.0, 52.0)),
    "jpeg": (_compressed, (45, 28, 17, 10, 5)),
    "downscale": (_shrunk, (1.5, 2.2, 3.2, 4.7, 7.0)),
    "underexposure": (_exposed, (-0.6, -1.2, -1.9, -2.7, -3.6)),
    "overexposure": (_exposed, (0.6, 1.2, 1.9, 2.7, 3.6)),
}


def distort(photo: Image.Image, distortion: str, level: int, *, seed: int = 0) -> Image.Image:
    """One rung of a ladder, mode RGB and the size of the photo.

    Args:
        photo: Mode RGB, clean and well exposed: a distortion of a blurred photo may not be worse.
        distortion: One of `DISTORTIONS`.
        level: 0 (the photo itself) to 5 (ruined).
        seed: Of the noise.

    Raises:
        ConfigError: Unknown distortion or level.
        PhotoError: The photo is in another mode.
    """
    if distortion not in DISTORTIONS:
        raise ConfigError(f"distortion must be one of {', '.join(DISTORTIONS)}, got {distortion!r}")
    if not 0 <= level <= LEVELS:
        raise ConfigError(f"level must be 0 to {LEVELS}, got {level}")
    if photo.mode != "RGB":
        raise PhotoError(f"photos are distorted in RGB (see read_photo), got mode {photo.mode}")
    if level == 0:
        return photo.copy()
    distorted, strengths = DISTORTIONS[distortion]
    return distorted(photo, strengths[level - 1], seed)


def ladder(photo: Image.Image, distortion: str, *, seed: int = 0) -> tuple[Image.Image, ...]:
    """The photo and its five distorted copies, best first; see `distort`."""
    return tuple(distort(photo, distortion, level, seed=seed) for level in range(RUNGS))


def build_ladder_views(
    table: RatingTable,
    policy: ViewPolicy,
    folder: Path,
    *,
    per_photo: int = len(DISTORTIONS),
    turns: Sequence[str] = (),
) -> ViewCache:
    """Distort clean photos and cut the views of every rung, or find them in `folder`.

    Args:
        table: Photos larger than the views need are first brought to that short side: a blur of
            four pixels is none on twelve megapixels.
        policy: Must give views of one size.
        folder: Where the cache lies.
        per_photo: Ladders per photo. With fewer than there are distortions, photos take turns.
        turns: Distortions in the order in which ladders take them, again and again; one that is
            named twice gets twice as many. None for each in turn.

    Returns:
        Pixels of shape (1, 6 L, V, H, W, 3): L ladders of six rungs each, best first; ladders of
        one photo lie together.

    Raises:
        ConfigError: An unknown distortion among the turns.
        ViewError: Views of this policy differ in size from photo to photo.
    """
    if policy.view_size is None:
        raise ViewError(f"views of {policy} have no fixed size and cannot be cached")
    turns = turns or tuple(DISTORTIONS)
    if not set(turns) <= set(DISTORTIONS):
        raise ConfigError(f"turns must be some of {', '.join(DISTORTIONS)}, got {list(turns)}")
    count = len(table) * per_photo
    names = tuple(turns[place % len(turns)] for place in range(count))
    described = json.dumps([photo_hashes(table), str(policy), names, "ladders 2"])
    key = hashlib.sha256(described.encode()).hexdigest()

    def cut(number: int) -> Views:
        row = number // per_photo
        photo = _reduced(read_photo(table.paths[row]), policy.short_side_px)
        return np.stack([policy.views(rung) for rung in ladder(photo, names[number], seed=row)])

    def fill(pixels: NDArray[Any], numbers: range) -> None:
        cuts = map_in_order(cut, numbers, workers=usable_cores())
        for number, rungs in zip(numbers, cuts, strict=True):
            pixels[0, number * RUNGS : (number + 1) * RUNGS] = rungs

    shape = (1, count * RUNGS, sum(policy.group_sizes), *policy.view_size, 3)
    path = folder / f"ladders-{key[:16]}.npy"
    pixels = kept_array(path, shape, np.uint8, fill, count, chunk=_CHUNK)
    return ViewCache(pixels, policy, key)


def _reduced(photo: Image.Image, short_side_px: int | None) -> Image.Image:
    if short_side_px is None or min(photo.size) <= short_side_px:
        return photo
    scale = short_side_px / min(photo.size)
    width, height = (round(side * scale) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BICUBIC)
