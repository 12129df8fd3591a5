"""Explain a score: hide one region after another and see how the score changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.read import PhotoSource, read_photo
from siamese_nima.ratings import Floats, RatingScale
from siamese_nima.scoring.scorer import Scorer

CELLS = 10  # of the map, along each side
WINDOW = 3  # cells along each side of a hidden region

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Region:
    """A hidden region, and what hiding it did.

    Attributes:
        box: Left, top, right and bottom edge in pixels of the upright photo; the last two are
            outside.
        effect: Score with the region hidden, less the score of the whole photo, in points.
    """

    box: Box
    effect: float


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What each part of a photo does to its score.

    Attributes:
        path: The photo.
        model: Identity of the model.
        scale: The rating scale.
        size: Width and height of the upright photo.
        score: Score with nothing hidden.
        regions: Every hidden region; they overlap.
        cells: Shape (CELLS, CELLS), from the top left: mean effect of the regions that cover a
            cell. Negative: the score rests on it. Positive: it costs score.
    """

    path: str
    model: str
    scale: RatingScale
    size: tuple[int, int]
    score: float
    regions: tuple[Region, ...]
    cells: Floats

    @property
    def rests_on(self) -> Region:
        """The region whose hiding lowers the score most, or raises it least."""
        return min(self.regions, key=lambda region: region.effect)

    @property
    def costs(self) -> Region:
        """The region whose hiding raises the score most, or lowers it least."""
        return max(self.regions, key=lambda region: region.effect)

    def to_json(self) -> dict[str, Any]:
        """All of it in values that JSON has; points with 4 decimals."""
        return {
            "path": self.path,
            "model": self.model,
            "scale": [self.scale.low, self.scale.high],
            "size": list(self.size),
            "score": round(self.score, 4),
            "rests_on": _region_json(self.rests_on),
            "costs": _region_json(self.costs),
            "regions": [_region_json(region) for region in self.regions],
            "cells": self.cells.round(4).tolist(),
        }


def explain_photo(
    scorer: Scorer,
    photo: str | os.PathLike[str],
    *,
    report: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Hide one region of a photo after another, and score what is left.

    A region has `WINDOW` of `CELLS` of the photo's width and height, and every place of the grid
    has its turn. It is hidden by `mirrored`.

    Args:
        scorer: Of one model; of several, the first one is explained.
        photo: Path of the photo.
        report: Called with versions scored and versions in all.

    Raises:
        PhotoError: The photo cannot be read or scored, or is smaller than the grid.
    """
    name = os.fspath(photo)
    original = read_photo(photo)
    working = shrunk_to(original, scorer.decode_px)
    if min(working.size) < CELLS:
        raise PhotoError(
            f"{name}: {original.width} x {original.height} pixels; a map of the score needs at "
            f"least {CELLS} along each side."
        )
    boxes = list(window_boxes(working.size))
    scores = score_all(scorer, name, _versions(working, boxes), len(boxes) + 1, report)
    effects = np.array(scores[1:]) - scores[0]
    places = window_boxes(original.size)
    return Explanation(
        path=name,
        model=scorer.model.model_id,
        scale=scorer.card.scale,
        size=original.size,
        score=scores[0],
        regions=tuple(Region(box, float(e)) for box, e in zip(places, effects, strict=True)),
        cells=_cell_means(effects),
    )


def window_boxes(size: tuple[int, int]) -> Iterator[Box]:
    """The regions that are hidden in a photo of this size, row by row."""
    columns, rows = (np.rint(np.arange(CELLS + 1) * side / CELLS).astype(int) for side in size)
    for row in range(CELLS - WINDOW + 1):
        for column in range(CELLS - WINDOW + 1):
            yield (
                int(columns[column]),
                int(rows[row]),
                int(columns[column + WINDOW]),
                int(rows[row + WINDOW]),
            )


def mirrored(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Hide a region by a mirror image of what lies beside it, left and right.

    Grey, blur and black are flaws that a model of quality reacts to by themselves: then every
    region seems to matter, and hiding a blurred one can never help. A mirror image is as sharp, as
    noisy and as bright as its surroundings, so the question becomes: what if this region were like
    what is beside it?

    Args:
        pixels: Shape (H, W, 3).
        box: The region; at most half as wide as the photo.

    Returns:
        A copy.

    Raises:
        ConfigError: The region is too wide.
    """
    left, top, right, bottom = box
    width = pixels.shape[1]
    if 2 * (right - left) > width:
        raise ConfigError(
            f"a hidden region may have half of the photo's width, {width // 2} pixels, "
            f"got {right - left}"
        )
    columns = np.arange(left, right)
    from_left, from_right = 2 * left - 1 - columns, 2 * right - 1 - columns
    source = np.where(columns - left < right - 1 - columns, from_left, from_right)
    # At the photo's edge all of it comes from the other side.
    source = np.where(source < 0, from_right, np.where(source >= width, from_left, source))
    hidden = pixels.copy()
    hidden[top:bottom, left:right] = pixels[top:bottom, source]
    return hidden


def shrunk_to(photo: Image.Image, short_side_px: int | None) -> Image.Image:
    """The photo with its short side at most this long; None leaves it as it is."""
    if short_side_px is None or min(photo.size) <= short_side_px:
        return photo
    factor = short_side_px / min(photo.size)
    width, height = (max(1, round(side * factor)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def score_all(
    scorer: Scorer,
    name: str,
    versions: Iterator[PhotoSource],
    count: int,
    report: Callable[[int, int], None] | None,
) -> list[float]:
    """Scores of pictures in memory.

    Raises:
        PhotoError: One cannot be scored; `name` starts the message.
    """
    scores = []
    for result in scorer.score(versions):
        if result.mean is None:
            raise PhotoError(f"{name}: {result.error}")
        scores.append(result.mean)
        if report:
            report(len(scores), count)
    return scores


def _versions(photo: Image.Image, boxes: list[Box]) -> Iterator[PhotoSource]:
    pixels = np.asarray(photo)
    yield pixels
    for box in boxes:
        yield mirrored(pixels, box)


def _cell_means(effects: Floats) -> Floats:
    """Mean effect of the regions over each cell, shape (CELLS, CELLS)."""
    total, count = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    places = CELLS - WINDOW + 1
    for number, effect in enumerate(effects):
        row, column = divmod(number, places)
        cells = np.s_[row : row + WINDOW, column : column + WINDOW]
        total[cells] += effect
        count[cells] += 1
    return total / count


def _region_json(region: Region) -> dict[str, Any]:
    return {"box": list(region.box), "effect": round(region.effect, 4)}
