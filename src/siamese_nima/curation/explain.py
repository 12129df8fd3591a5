"""Explain a score: hide one region after another and see how the score changes."""

from __future__ import annotations

import html
import os
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from siamese_nima.curation.reasons import flaws
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.pair_error import PairError
from siamese_nima.photos.read import PhotoSource, read_photo
from siamese_nima.printable import printable
from siamese_nima.ratings import Floats, RatingScale
from siamese_nima.scoring.detail import Detail
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

    def _repr_html_(self) -> str:
        """For notebooks: the photo under its heat map, if it is still there, and the sentences."""
        from siamese_nima.scoring.notebook import html_picture

        lines = describe_explanation(self)
        try:
            photo = read_photo(self.path, min_short_side_px=_LONG_SIDE_PX)
        except PhotoError:
            return "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        return html_picture(draw_explanation(self, photo, lines))

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


# Told apart by people with any colour vision (Okabe and Ito, "Color universal design", 2008).
_RESTS, _COSTS = (0, 114, 178), (230, 120, 0)
_INK, _QUIET, _PAPER = (29, 31, 33), (86, 91, 96), (255, 255, 255)
_LONG_SIDE_PX = 960
_MARGIN_PX = 24
_TEXT = "Hiding the region at the left lowers the score by 0.22 to 7.76."  # of usual width
_STRONGEST = 0.75  # share of colour over the photo where the effect is largest


def describe_explanation(
    explanation: Explanation,
    pair_error: PairError | None = None,
    detail: Detail | None = None,
) -> list[str]:
    """What an explanation says, a sentence each.

    Args:
        explanation: The explanation.
        pair_error: `card.pair_error`; says whether the effects are more than the model's error.
        detail: What its pixels say at 100 %, to name its flaws.
    """
    score, scale = explanation.score, explanation.scale
    lines = [f"Score {score:.2f} on a scale of {scale}."]
    rests, costs = explanation.rests_on, explanation.costs
    if rests.effect < 0:
        lines.append(_sentence(explanation, rests, "lowers") + " The score rests on it most.")
    else:
        lines.append("Hiding a region never lowers the score.")
    if costs.effect > 0:
        lines.append(_sentence(explanation, costs, "raises") + " It costs the photo most.")
    else:
        lines.append("Hiding a region never raises the score: none is to blame more than another.")
    largest = max(abs(rests.effect), abs(costs.effect))
    if pair_error is not None and pair_error.too_close(largest):
        lines.append(
            "Both are smaller than the gap from which on the model's order of two photos is sure: "
            "no single region decides this score."
        )
    if detail is not None:
        found = "; ".join(flaw.words for flaw in flaws(detail))
        lines.append(f"At 100 %: {found}." if found else "At 100 % no flaw is seen.")
    return lines


def draw_explanation(explanation: Explanation, photo: Image.Image, lines: list[str]) -> Image.Image:
    """The photo under its heat map, with the two main regions framed, a legend, and words.

    Args:
        explanation: Of this photo.
        photo: As `read_photo` gives it, of any size.
        lines: Sentences to put below.
    """
    factor = _LONG_SIDE_PX / max(photo.size)
    width, height = (max(1, round(side * factor)) for side in photo.size)
    under = photo.resize((width, height), Image.Resampling.LANCZOS)
    heated = _heated(under, explanation)
    marks = ImageDraw.Draw(heated)
    scale = (width / explanation.size[0], height / explanation.size[1])
    if explanation.rests_on.effect < 0:
        _frame(marks, explanation.rests_on, scale, _RESTS)
    if explanation.costs.effect > 0:
        _frame(marks, explanation.costs, scale, _COSTS)
    return _with_text(heated, explanation, lines)


def _sentence(explanation: Explanation, region: Region, verb: str) -> str:
    left, top, right, bottom = region.box
    after = explanation.score + region.effect
    return (
        f"Hiding the region {_place(region.box, explanation.size)} (pixels {left},{top} to "
        f"{right},{bottom}) {verb} the score by {abs(region.effect):.2f} to {after:.2f}."
    )


def _place(box: Box, size: tuple[int, int]) -> str:
    """Where a region is, in thirds of the photo."""
    across = 3 * (box[0] + box[2]) / 2 / size[0]
    down = 3 * (box[1] + box[3]) / 2 / size[1]
    column = ("left", "", "right")[min(2, int(across))]
    row = ("top", "", "bottom")[min(2, int(down))]
    return f"at the {row} {column}".replace("  ", " ").strip() if row or column else "in the middle"


def _heated(photo: Image.Image, explanation: Explanation) -> Image.Image:
    """The photo in grey, coloured where hiding changes the score."""
    effects = _smooth(explanation.cells, photo.size)
    strongest = max(float(np.abs(explanation.cells).max()), 1e-9)
    share = np.clip(np.abs(effects) / strongest, 0, 1)[..., np.newaxis] * _STRONGEST
    colour = np.where(effects[..., np.newaxis] < 0, _RESTS, _COSTS)
    grey = np.asarray(photo.convert("L").convert("RGB"), dtype=np.float64)
    return Image.fromarray((grey * (1 - share) + colour * share).astype(np.uint8))


def _smooth(cells: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Cell values spread over the pixels of a picture, without steps between the cells."""
    picture = Image.fromarray(cells.astype(np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)


def _frame(
    marks: ImageDraw.ImageDraw, region: Region, scale: tuple[float, float], colour: tuple[int, ...]
) -> None:
    left, top, right, bottom = (
        round(edge * scale[place % 2]) for place, edge in enumerate(region.box)
    )
    marks.rectangle((left, top, right - 1, bottom - 1), outline=_PAPER, width=6)
    marks.rectangle((left + 2, top + 2, right - 3, bottom - 3), outline=colour, width=3)
    text, font = f"{region.effect:+.2f}", ImageFont.load_default(22)
    box = marks.textbbox((left + 10, top + 8), text, font=font)
    marks.rectangle((box[0] - 5, box[1] - 4, box[2] + 5, box[3] + 4), fill=_PAPER)
    marks.text((left + 10, top + 8), text, font=font, fill=_INK)


def _with_text(heated: Image.Image, explanation: Explanation, lines: list[str]) -> Image.Image:
    """The picture on white, its legend and sentences below it."""
    font, small = ImageFont.load_default(20), ImageFont.load_default(17)
    width = max(heated.width, 640) + 2 * _MARGIN_PX
    letters = int((width - 2 * _MARGIN_PX) / (font.getlength(_TEXT) / len(_TEXT)))
    title = f"{printable(explanation.path)}: {explanation.model}"
    wrapped = [part for line in lines for part in textwrap.wrap(line, letters)]
    top = heated.height + 2 * _MARGIN_PX
    sheet = Image.new("RGB", (width, top + 84 + 28 * (len(wrapped) + 1) + _MARGIN_PX), _PAPER)
    sheet.paste(heated, ((width - heated.width) // 2, _MARGIN_PX))
    pen = ImageDraw.Draw(sheet)
    _legend(pen, explanation, (_MARGIN_PX, top), width - 2 * _MARGIN_PX)
    for number, line in enumerate(wrapped):
        pen.text((_MARGIN_PX, top + 84 + 28 * number), line, font=font, fill=_INK)
    place = (_MARGIN_PX, top + 88 + 28 * len(wrapped))
    pen.text(place, textwrap.shorten(title, letters, placeholder="..."), font=small, fill=_QUIET)
    return sheet


def _legend(
    pen: ImageDraw.ImageDraw, explanation: Explanation, corner: tuple[int, int], width: int
) -> None:
    strongest = float(np.abs(explanation.cells).max())
    left, top = corner
    for x in range(width):
        effect = 2 * x / (width - 1) - 1
        colour = _RESTS if effect < 0 else _COSTS
        share = abs(effect) * _STRONGEST
        shade = tuple(round(200 * (1 - share) + part * share) for part in colour)
        pen.line((left + x, top, left + x, top + 18), fill=shade)
    font = ImageFont.load_default(17)
    for share, anchor, text in (
        (0.0, "la", f"hidden: {-strongest:.2f}, the score rests on it"),
        (0.5, "ma", "no change"),
        (1.0, "ra", f"hidden: {strongest:+.2f}, it costs score"),
    ):
        place = (left + share * width, top + 26)
        pen.text(place, text, font=font, fill=_QUIET, anchor=anchor)
    note = f"Mean change of the score over the regions that cover a place, {CELLS} x {CELLS} places"
    pen.text((left, top + 50), note, font=font, fill=_QUIET)
