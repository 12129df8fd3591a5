"""JPEG 2000, decoded by OpenJPEG, with what that leaves out: profile, channel order.

By the OpenJPEG in Pillow, which of more than 8 bits makes white black: those by pylibjpeg-openjpeg.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import boxes
from siamese_nima.photos.colour import straight
from siamese_nima.photos.loading import check_size, open_as

_CODESTREAM = b"\xff\x4f\xff\x51"
_TILE_PART = b"\xff\x90"
# How a `colr` box tells colours.
_BY_NUMBER, _RESTRICTED_PROFILE, _ANY_PROFILE = b"\1", b"\2", b"\3"
_LEAST_PROFILE = 3 + 128
_WHITE_IS_ZERO, _CMYK, _LAB, _BLACK_IS_ZERO, _SRGB, _GREY, _SYCC = 0, 12, 14, 15, 16, 17, 18
_KNOWN = {_WHITE_IS_ZERO, _CMYK, _LAB, _BLACK_IS_ZERO, _SRGB, _GREY, _SYCC}
_APPLIED_HERE = (b"pclr", b"cmap", b"cdef")
_OPACITY, _PREMULTIPLIED, _UNSPECIFIED = 1, 2, 65535
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
# OpenJPEG takes memory for all pixels before it looks whether they are there.
_FEW_PIXELS, _MOST_PIXELS_PER_BYTE = 1 << 24, 64
_SIZES = struct.Struct(">2xH8IH")


@dataclass(frozen=True, slots=True)
class _Channels:
    """What the channels are (ISO/IEC 15444-1, annex I.5.3.6).

    Attributes:
        places: Where red, green, blue (or grey) stand.
        opacity: Where opacity stands.
        premultiplied: Whether colours were multiplied by it.
    """

    places: list[int] = field(default_factory=list)
    opacity: int | None = None
    premultiplied: bool = False


def read_jpeg2000(contents: bytes, label: str, max_pixels: int) -> Image.Image:
    """The picture with its ICC profile, channels in their usual order.

    Raises:
        PhotoError: Larger than `max_pixels`, in colours that are known by a number alone which is
            not known here, or with colours at a coarser grid that does not fit the picture, which
            Pillow puts in wrong places.
        Exception: Whatever Pillow raises on a damaged file.
    """
    header = boxes.find(contents, b"jp2h") or b""
    palette = boxes.find(header, b"pclr")
    channels = _channels(boxes.find(header, b"cdef") or b"")
    number, profile = _colours(header, label)
    in_order = channels.places == list(range(len(channels.places)))
    # Else Pillow makes RGB of channels in the wrong order.
    size, depths = _coded_size(contents)
    wide = max(depths, default=0) > 8
    by_pillow = palette is None and (number != _SYCC or in_order) and number != _LAB and not wide
    contents = _with_plain_header(contents, number if by_pillow or number == _CMYK else None)
    contents = _with_counted_parts(contents, label)
    image = open_as("JPEG2000", BytesIO(contents), label)
    check_size(*image.size, label, max_pixels)
    _check_grids(contents, label)
    if wide and size != image.size:
        raise PhotoError(
            f"{label}: not a readable photo (its head and its picture differ in size)."
        )
    changed = _from_wide(contents, depths, image, label) if wide else image
    if palette:  # of which Pillow drops colours that stand there twice
        bits = (boxes.find(header, b"ihdr") or bytes(11))[10] % 128 + 1
        changed = _looked_up(image, bits, palette, boxes.find(header, b"cmap") or b"")
    if channels.places:
        changed = _in_order(changed, channels)
    if number == _SYCC and not by_pillow and changed.mode in ("RGB", "RGBA"):
        changed = _from_ycc(changed)
    if number == _LAB and changed.mode == "RGB":
        changed = Image.merge("LAB", changed.split())
    changed.info = {**image.info, "icc_profile": profile} if profile else image.info
    return changed


def _from_wide(
    contents: bytes, depths: tuple[int, ...], opened: Image.Image, label: str
) -> Image.Image:
    """Components of more than 8 bits, made 8, in the mode that Pillow gives them."""
    mode = "L" if opened.mode.startswith("I;16") else opened.mode
    if len(set(depths)) > 1 or Image.getmodebands(mode) != len(depths):
        raise PhotoError(
            f"{label}: JPEG 2000 with {len(depths)} channels of {max(depths)} bits is not"
            " supported. Save it as JPEG, PNG or TIFF."
        )
    from openjpeg.utils import decode  # few files need it, and it starts slowly

    pixels = opened.width * opened.height
    if pixels > max(_FEW_PIXELS, _MOST_PIXELS_PER_BYTE * len(contents)):
        raise PhotoError(
            f"{label}: not a readable photo ({pixels} pixels in {len(contents)} bytes)."
        )
    wide = decode(contents[contents.find(_CODESTREAM) :], j2k_format=0)
    black = -(2 ** (depths[0] - 1)) if wide.dtype.kind == "i" else 0
    white = 2 ** depths[0] - 1
    levels = np.empty(wide.shape, np.uint8)
    for row, wide_row in zip(levels, wide, strict=True):
        row[:] = ((wide_row.astype(np.int64) - black) * 255 + white // 2) // white
    return Image.frombytes(mode, opened.size, levels.tobytes())


def _in_order(image: Image.Image, channels: _Channels) -> Image.Image:
    count = len(channels.places)
    bands = len(image.getbands())
    places = [*channels.places, *([] if channels.opacity is None else [channels.opacity])]
    usual = places == list(range(bands))
    mode = _MODES.get(count, "") + ("A" if channels.opacity is not None else "")
    unknown = mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or max(places) >= bands
    if unknown or (usual and not channels.premultiplied):
        return image
    parts = image.split()
    ordered = Image.merge(mode, [parts[place] for place in places])
    if not channels.premultiplied:
        return ordered
    return Image.fromarray(straight(np.asarray(ordered)))


def _with_plain_header(contents: bytes, number: int | None) -> bytes:
    """The file with what is applied here under names that readers skip.

    Args:
        contents: The file.
        number: The colour space that is left to be read, if it is there.
    """
    header = boxes.span(contents, b"jp2h")
    if header is None:
        return contents
    changed = bytearray(contents[header.start : header.end])
    for each in boxes.spans(bytes(changed)):
        given = _number(bytes(changed[each.start : each.end]))
        if each.kind in _APPLIED_HERE or (
            each.kind == b"colr" and (number is None or given != number)
        ):
            changed[each.start - 4 : each.start] = b"free"
    return contents[: header.start] + bytes(changed) + contents[header.end :]


def _with_counted_parts(contents: bytes, label: str) -> bytes:
    """The file with the right number of parts of each tile, which some programs count one short.

    OpenJPEG forgives that when it decodes a picture at once, but Pillow decodes tile by tile.

    Raises:
        PhotoError: There are no parts at all.
    """
    at = contents.find(_CODESTREAM) + 2
    parts: dict[int, list[tuple[int, int]]] = {}
    claimed: dict[int, int] = {}
    start = 0
    while at >= 2 and at + 12 <= len(contents):
        marker, length = struct.unpack_from(">2sH", contents, at)
        if marker != _TILE_PART:
            if start:
                break
            at += 2 + length
            continue
        start = start or at
        tile, size, _, count = struct.unpack_from(">HIBB", contents, at + 4)
        if size < 14 or at + size > len(contents):
            return contents
        parts.setdefault(tile, []).append((at, at + size))
        claimed[tile] = max(count, claimed.get(tile, 0))
        at += size
    if not parts:
        raise PhotoError(f"{label}: truncated, the file ends before the picture does.")
    if all(claimed[tile] in (0, len(found)) for tile, found in parts.items()):
        return contents
    body = b"".join(
        contents[first : first + 11] + bytes([len(found)]) + contents[first + 12 : end]
        for _, found in sorted(parts.items())
        for first, end in found
        if len(found) < 256
    )
    return contents[:start] + body + contents[at:]


def _looked_up(image: Image.Image, bits: int, palette: bytes, mapping: bytes) -> Image.Image:
    """Channels as a `cmap` box makes them of the components and the columns of a `pclr` box.

    Args:
        image: Its components, of which Pillow has made 8 bits.
        bits: What they had before.
        palette: Content of a `pclr` box.
        mapping: Content of a `cmap` box.

    Source: ISO/IEC 15444-1, annexes I.5.3.4 and I.5.3.5.
    """
    count, columns = struct.unpack_from(">HB", palette)
    depths = [depth % 128 + 1 for depth in palette[3 : 3 + columns]]
    if count == 0 or max(depths, default=17) > 16:
        raise ValueError("damaged palette")
    row = np.dtype([(f"{n}", ">u2" if depth > 8 else "u1") for n, depth in enumerate(depths)])
    table = np.frombuffer(palette, row, count, 3 + columns)
    bands = [np.asarray(band) for band in image.split()]
    channels = []
    for component, looked_up, column in struct.iter_unpack(">HBB", mapping):
        band = bands[component]
        if looked_up:
            levels = table[f"{column}"].astype(np.uint32) * 255 // (2 ** depths[column] - 1)
            band = levels.astype(np.uint8)[np.minimum(band >> max(0, 8 - bits), count - 1)]
        channels.append(Image.fromarray(band))
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(channels)]
    return Image.merge(mode, channels)


def _from_ycc(image: Image.Image) -> Image.Image:
    parts = image.split()
    colours = Image.merge("YCbCr", parts[:3]).convert("RGB")
    if len(parts) == 4:
        colours.putalpha(parts[3])
    return colours


def _channels(definition: bytes) -> _Channels:
    """What a `cdef` box says; nothing where it is missing or contradicts itself."""
    colours: dict[int, int] = {}
    opacity, premultiplied = None, False
    body = definition[2 : 2 + (len(definition) - 2) // 6 * 6] if len(definition) >= 8 else b""
    for channel, kind, belongs_to in struct.iter_unpack(">HHH", body):
        if kind == 0 and belongs_to not in (0, _UNSPECIFIED):
            colours[belongs_to] = channel
        elif kind in (_OPACITY, _PREMULTIPLIED):
            opacity, premultiplied = channel, kind == _PREMULTIPLIED
    if sorted(colours) != list(range(1, len(colours) + 1)):
        return _Channels()
    places = [colours[number] for number in sorted(colours)]
    return _Channels(places, opacity, premultiplied)


def _number(colours: bytes) -> int | None:
    """The number of the colour space that a `colr` box gives, if it gives one."""
    return int.from_bytes(colours[3:7]) if colours[:1] == _BY_NUMBER and len(colours) > 6 else None


def _colours(header: bytes, label: str) -> tuple[int | None, bytes | None]:
    """The number of the colour space, or the ICC profile, of the first `colr` box that is known."""
    unknown = None
    for kind, content in boxes.boxes(header):
        if kind != b"colr":
            continue
        if content[:1] in (_RESTRICTED_PROFILE, _ANY_PROFILE) and len(content) > _LEAST_PROFILE:
            return None, content[3:]
        number = _number(content)
        if number in _KNOWN:
            return number, None
        unknown = unknown if number is None else number
    if unknown is not None:
        raise PhotoError(
            f"{label}: JPEG 2000 in colour space {unknown} is not supported. Save it as JPEG, PNG"
            " or TIFF."
        )
    return None, None


def _coded_size(contents: bytes) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Width and height by the coded picture, and the bits of each component."""
    at = contents.find(_CODESTREAM) + 4
    if at < 4 or len(contents) < at + _SIZES.size:
        return (0, 0), ()
    _, right, bottom, left, top, *_, count = _SIZES.unpack_from(contents, at)
    depths = tuple(byte % 128 + 1 for byte in contents[at + _SIZES.size :][: 3 * count : 3])
    return (right - left, bottom - top), depths


def _check_grids(contents: bytes, label: str) -> None:
    """Refuse tiles that are no multiple as wide as the grid of their coarser channels.

    Pillow rounds the length of such rows down where OpenJPEG rounds up, so that they drift apart.
    """
    at = contents.find(_CODESTREAM)
    if at < 0 or len(contents) < at + 4 + _SIZES.size:
        return
    numbers = _SIZES.unpack_from(contents, at + 4)
    right, left, across, first, count = (*numbers[1:8:2], numbers[9])
    steps = contents[at + 4 + _SIZES.size :][1 : 3 * count : 3]
    edges = (left, right, *((first, across) if first + across < right else ()))
    if any(edge % max(step, 1) for step in steps for edge in edges):
        raise PhotoError(
            f"{label}: JPEG 2000 with colours at a coarser grid that does not fit its width is"
            " not supported. Save it as JPEG, PNG or TIFF."
        )
