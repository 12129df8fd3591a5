"""AVIF, decoded by libavif (Pillow), with what that leaves out: crops, heads that it refuses."""

from __future__ import annotations

import math
import struct
from io import BytesIO

from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import boxes
from siamese_nima.photos.loading import check_size, open_as

_MAX_META_BYTES = 1 << 20
_PILLOW_BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
# libavif's own limits.
_MAX_PIXELS, _MAX_SIDE_PX = 1 << 28, 1 << 15


def read_avif(contents: bytes, label: str, max_pixels: int) -> Image.Image:
    """The first picture, the part of it that is to be shown.

    It lies as the file's own properties say; what EXIF and XMP say of that does not count (ISO/IEC
    23008-12, annex A.2.4).

    Raises:
        PhotoError: Larger than `max_pixels`, or than libavif reads.
        Exception: Whatever Pillow raises on a damaged file.
    """
    properties = dict(boxes.primary_properties(contents[:_MAX_META_BYTES]))
    size = properties.get(b"ispe", b"")[4:12]
    if len(size) == 8:
        width, height = struct.unpack(">II", size)
        check_size(width, height, label, max_pixels)
        if width * height > _MAX_PIXELS or max(width, height) > _MAX_SIDE_PX:
            raise PhotoError(
                f"{label}: {width} x {height} pixels, more than AVIF is read with"
                f" ({_MAX_PIXELS} pixels, {_MAX_SIDE_PX} a side). Save it as JPEG, PNG or TIFF."
            )
    contents = _with_known_brand(_without_exif(_with_one_table(contents)))
    image = open_as("AVIF", BytesIO(contents), label)
    image.info.pop("xmp", None)
    box = _clean_aperture(image, properties.get(b"clap", b""))
    if box is None:
        return image
    check_size(*image.size, label, max_pixels)
    cropped = image.crop(box)
    cropped.info = image.info
    return cropped


def _clean_aperture(image: Image.Image, clap: bytes) -> tuple[int, int, int, int] | None:
    """The part of a picture that is to be shown (ISO/IEC 14496-12, 12.1.4).

    An edge in the middle of a pixel goes to the left, or down, as libheif has it.
    """
    if len(clap) != 32:
        return None
    unsigned, signed = struct.unpack(">8I", clap), struct.unpack(">8i", clap)
    if 0 in (unsigned[1], unsigned[3], unsigned[5], unsigned[7]):
        return None
    width, height = round(unsigned[0] / unsigned[1]), round(unsigned[2] / unsigned[3])
    left = math.floor((image.width - width) / 2 + signed[4] / unsigned[5])
    top = math.floor((image.height - height) / 2 + signed[6] / unsigned[7] + 0.5)
    inside = left >= 0 and top >= 0 and left + width <= image.width and top + height <= image.height
    return (left, top, left + width, top + height) if inside and width and height else None


def _with_known_brand(contents: bytes) -> bytes:
    """The file under the brand that Pillow knows it by, where that is not its first."""
    size = int.from_bytes(contents[:4])
    brands = {contents[at : at + 4] for at in range(16, min(size, len(contents)), 4)}
    if contents[8:12] in _PILLOW_BRANDS or not brands & set(_PILLOW_BRANDS[:2]):
        return contents
    brand = next(brand for brand in _PILLOW_BRANDS if brand in brands)
    return contents[:8] + brand + contents[12:]


def _without_exif(contents: bytes) -> bytes:
    """The file with its EXIF under a name that is skipped: damaged, it would be an error."""
    meta = boxes.span(contents, b"meta")
    table = meta and boxes.span(contents, b"iinf", meta.start + 4, meta.end)
    if not table:
        return contents
    changed = bytearray(contents)
    first = table.start + (6 if contents[table.start] == 0 else 8)
    for each in boxes.spans(contents, first, table.end):
        at = each.start + (10 if contents[each.start] > 2 else 8)
        if each.kind == b"infe" and changed[at : at + 4] == b"Exif":
            changed[at : at + 4] = b"skip"
    return bytes(changed)


def _with_one_table(contents: bytes) -> bytes:
    """The file with its properties' tables of one kind made one, as old programs did not write it.

    libavif refuses several (ISO/IEC 14496-12, 8.11.14.1). No other byte moves: what becomes free
    stands after the properties.
    """
    meta = boxes.span(contents, b"meta")
    properties = meta and boxes.span(contents, b"iprp", meta.start + 4, meta.end)
    if not properties:
        return contents
    inside = list(boxes.spans(contents, properties.start, properties.end))
    tables = [each for each in inside if each.kind == b"ipma"]
    heads = {contents[each.start : each.start + 4] for each in tables}
    if len(tables) < 2 or len(heads) > 1 or inside[-len(tables) :] != tables:
        return contents
    rows: dict[int, bytes] = {}
    try:
        for table in tables:
            rows |= boxes.associations(contents[table.start : table.end])
    except (IndexError, struct.error):
        return contents
    body = (
        heads.pop() + struct.pack(">I", len(rows)) + b"".join(rows[item] for item in sorted(rows))
    )
    merged = struct.pack(">I4s", 8 + len(body), b"ipma") + body
    first = tables[0].head
    free = properties.end - first - len(merged)
    if free < 8:
        return contents
    start = properties.head
    changed = bytearray(contents)
    changed[start : start + 4] = struct.pack(">I", first + len(merged) - start)
    changed[first : properties.end] = merged + struct.pack(">I4s", free, b"free") + bytes(free - 8)
    return bytes(changed)
