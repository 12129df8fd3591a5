"""Crops of one photo, ordered by score; and pictures made of a photo, saved as new files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from siamese_nima.atomic_write import check_output, write_whole
from siamese_nima.curation.explain import Box, score_all, shrunk_to
from siamese_nima.errors import ConfigError
from siamese_nima.photos.read import PhotoSource, read_photo
from siamese_nima.scoring.scorer import Scorer

OWN_RATIO = "own"

_SOFTWARE = "siamese-nima"  # by which pictures saved here are known again
_SAME = 0.7  # of two crops that share more of their area, one is enough


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRule:
    """Which crops are tried.

    Attributes:
        ratios: Shapes, such as "3:2", or "own" for the photo's; turned as the photo is.
        smallest: Side of the smallest crop, as a share of the largest of its shape.
        sizes: How many sizes are tried from the largest to the smallest.
        places: Places along each side at which a crop that leaves room is tried.
    """

    ratios: tuple[str, ...] = (OWN_RATIO, "1:1", "4:3", "16:9")
    smallest: float = 0.6
    sizes: int = 3
    places: int = 3

    def __post_init__(self) -> None:
        for ratio in self.ratios:
            parse_ratio(ratio)
        if not 0.1 <= self.smallest <= 1:
            raise ConfigError(f"the smallest crop must be .1 to 1 of a side, got {self.smallest}")
        if self.sizes < 1 or self.places < 1:
            raise ConfigError(f"a crop needs a size and a place, got {self.sizes}, {self.places}")


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop and its score.

    Attributes:
        box: Left, top, right and bottom edge in pixels of the upright photo; the last two are
            outside.
        ratio: Its shape, as the rule has it.
        score: Its score.
    """

    box: Box
    ratio: str
    score: float


@dataclass(frozen=True, slots=True)
class CropSuggestion:
    """The best crops of a photo.

    Attributes:
        path: The photo.
        size: Width and height of the upright photo.
        score: Score of the whole photo, at the same working size as the crops.
        crops: Best first, no two nearly the same; the whole photo is not among them.
        tried: How many crops were scored.
    """

    path: str
    size: tuple[int, int]
    score: float
    crops: tuple[Crop, ...]
    tried: int


def suggest_crops(
    scorer: Scorer,
    photo: str | os.PathLike[str],
    *,
    rule: CropRule | None = None,
    report: Callable[[int, int], None] | None = None,
) -> CropSuggestion:
    """Score crops of several shapes, sizes and places.

    A crop is scored as a photo of its own: a model that looks at a photo at a fixed size sees a
    small crop enlarged, flaws included.

    Args:
        scorer: Of one model; of several, the first one decides.
        photo: Path of the photo.
        rule: Which crops are tried.
        report: Called with crops scored and crops in all.

    Raises:
        PhotoError: The photo cannot be read or scored.
    """
    name, rule = os.fspath(photo), rule or CropRule()
    original = read_photo(photo)
    # The smallest crop still has the pixels that the views need.
    needed = None if scorer.decode_px is None else round(scorer.decode_px / rule.smallest)
    working = shrunk_to(original, needed)
    shaped = crop_boxes(original.size, rule)
    factor = working.width / original.width
    versions = _versions(working, [box for box, _ in shaped], factor)
    whole, *scores = score_all(scorer, name, versions, len(shaped) + 1, report)
    crops = [Crop(box, ratio, score) for (box, ratio), score in zip(shaped, scores, strict=True)]
    return CropSuggestion(name, original.size, whole, _different(crops), len(crops))


def crop_boxes(size: tuple[int, int], rule: CropRule) -> list[tuple[Box, str]]:
    """The boxes that a rule means in a photo of this size, each once, with their shapes."""
    width, height = size
    found: dict[Box, str] = {}
    for ratio in rule.ratios:
        shape = _turned(ratio, size)
        across = min(width, height * shape)
        for share in np.linspace(1, rule.smallest, rule.sizes):
            crop_width = max(1, round(across * share))
            crop_height = max(1, round(across * share / shape))
            for left in _starts(width - crop_width, rule.places):
                for top in _starts(height - crop_height, rule.places):
                    found.setdefault((left, top, left + crop_width, top + crop_height), ratio)
    found.pop((0, 0, width, height), None)
    return list(found.items())


def parse_ratio(text: str) -> float | None:
    """Width by height of a shape such as "3:2"; None for the photo's own.

    Raises:
        ConfigError: Another form.
    """
    if text == OWN_RATIO:
        return None
    width, _, height = text.partition(":")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ConfigError(f"ratio {text!r}: wanted two whole numbers such as 3:2, or {OWN_RATIO}")
    return int(width) / int(height)


def write_crop(photo: str | os.PathLike[str], box: Box, out: str | os.PathLike[str]) -> Path:
    """Save a part of a photo as a new file, at full size, upright, in sRGB, without metadata.

    Args:
        photo: The photo; only read.
        box: Left, top, right and bottom edge in pixels of the upright photo.
        out: The new file; its ending decides the format.

    Raises:
        ConfigError: The ending is unknown, or `out` is the photo itself.
        PhotoError: The photo cannot be read.
        NimaError: The file cannot be written.
    """
    return save_new_picture(read_photo(photo).crop(box), out, photo)


def _turned(ratio: str, size: tuple[int, int]) -> float:
    """Width by height of a shape, lying or standing as the photo does."""
    width, height = size
    shape = parse_ratio(ratio)
    if shape is None:
        return width / height
    return shape if (shape >= 1) == (width >= height) else 1 / shape


def _starts(room: int, places: int) -> Sequence[int]:
    """First pixels at which a crop may begin, evenly over the room there is."""
    if places == 1:
        return [room // 2]
    return sorted({round(room * place / (places - 1)) for place in range(places)})


def _versions(photo: Image.Image, boxes: Sequence[Box], factor: float) -> Iterator[PhotoSource]:
    yield photo
    for box in boxes:
        left, top, right, bottom = (round(edge * factor) for edge in box)
        yield photo.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def _different(crops: Sequence[Crop]) -> tuple[Crop, ...]:
    """The crops best first, without those that nearly repeat a better one."""
    kept: list[Crop] = []
    for crop in sorted(crops, key=lambda crop: -crop.score):
        if all(_overlap(crop.box, better.box) <= _SAME for better in kept):
            kept.append(crop)
    return tuple(kept)


def _overlap(first: Box, second: Box) -> float:
    """Shared area by area of both together."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


# Endings of files, and how Pillow saves them.
PICTURE_FORMATS = {
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 95}),
}


def check_new_picture(path: str | os.PathLike[str], photo: str | os.PathLike[str]) -> None:
    """Whether a picture made of `photo` may be saved at `path`; better asked before it is made.

    Raises:
        ConfigError: See `check_output`; `path` is the photo itself by whatever name, or another
            file that was not saved here.
    """
    check_output(path, "a picture", PICTURE_FORMATS, [photo])
    if Path(path).exists() and not _is_ours(path):
        raise ConfigError(
            f"{path}: is there already, and may be a photo of yours. Give a name that is free."
        )


def _is_ours(path: str | os.PathLike[str]) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.getexif().get(ExifTags.Base.Software) == _SOFTWARE
    # Decoders answer damaged files with almost any exception.
    except Exception:
        return False


def save_new_picture(
    picture: Image.Image, path: str | os.PathLike[str], photo: str | os.PathLike[str]
) -> Path:
    """Save a picture made of `photo`; it appears under its name only when it is complete.

    Raises:
        ConfigError: See `check_new_picture`.
        NimaError: The file cannot be written.
    """
    check_new_picture(path, photo)
    target = Path(path)
    kind, options = PICTURE_FORMATS[target.suffix.lower()]
    content, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Software] = _SOFTWARE
    picture.save(content, format=kind, exif=exif, **options)
    write_whole(target, content.getvalue())
    return target
