"""JPEG 2000, decoded by OpenJPEG (Pillow), with what that leaves out: profile, channel order."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import boxes
from siamese_nima.photos.loading import check_size, open_as

_CODESTREAM = b"\xff\x4f\xff\x51"
_BY_NUMBER, _RESTRICTED_PROFILE, _ANY_PROFILE = 1, 2, 3  # how a `colr` box tells colours
_SRGB, _GREY, _SYCC = 16, 17, 18
_OPACITY, _PREMULTIPLIED, _UNSPECIFIED = 1, 2, 65535
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
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
        PhotoError: Larger than `max_pixels`, or with colours stored at a coarser grid that does
            not fit the picture, which OpenJPEG's reader in Pillow puts in wrong places.
        Exception: Whatever Pillow raises on a damaged file.
    """
    header = boxes.find(contents, b"jp2h") or b""
    palette = boxes.find(header, b"pclr")
    if palette:  # of which Pillow drops colours that stand there twice
        contents = _named(_without_palette(contents), _GREY)
    channels = _channels(boxes.find(header, b"cdef") or b"")
    in_order = channels.places == list(range(len(channels.places)))
    sycc = not in_order and _colour_number(header) == _SYCC
    if sycc:  # or Pillow makes RGB of channels in the wrong order
        contents = _named(contents, _SRGB)
    image = open_as("JPEG2000", BytesIO(contents), label)
    check_size(*image.size, label, max_pixels)
    _check_grids(contents, label)
    profile = _profile(header)
    if profile:
        image.info["icc_profile"] = profile
    changed = image
    if palette:
        changed = _looked_up(image, palette, boxes.find(header, b"cmap") or b"")
    if channels.places:
        changed = _in_order(changed, channels)
    if sycc and changed.mode in ("RGB", "RGBA"):
        changed = _from_ycc(changed)
    changed.info = image.info
    return changed


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
    return _straight(ordered) if channels.premultiplied else ordered


def _without_palette(contents: bytes) -> bytes:
    """The file with its palette, and what uses it, under names that readers skip."""
    header = boxes.span(contents, b"jp2h")
    changed = bytearray(contents)
    for each in boxes.spans(contents, header.start, header.end) if header else ():
        if each.kind in (b"pclr", b"cmap", b"cdef"):
            changed[each.start - 4 : each.start] = b"free"
    return bytes(changed)


def _looked_up(image: Image.Image, palette: bytes, mapping: bytes) -> Image.Image:
    """Channels as a `cmap` box makes them of the components and the columns of a `pclr` box.

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
            band = levels.astype(np.uint8)[np.minimum(band, count - 1)]
        channels.append(Image.fromarray(band))
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(channels)]
    return Image.merge(mode, channels)


def _straight(image: Image.Image) -> Image.Image:
    """Colours that were multiplied by their opacity, divided by it again."""
    levels = np.asarray(image).astype(np.uint16)
    divided = levels[..., :-1] * 255 // np.maximum(levels[..., -1:], 1)
    straight = np.concatenate([np.minimum(divided, 255), levels[..., -1:]], axis=-1)
    return Image.fromarray(straight.astype(np.uint8))


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


def _colour_number(header: bytes) -> int | None:
    """The number of the colour space, where the first `colr` box gives one."""
    colours = boxes.find(header, b"colr") or b""
    named = colours[:1] == bytes([_BY_NUMBER]) and len(colours) >= 7
    return int.from_bytes(colours[3:7]) if named else None


def _profile(header: bytes) -> bytes | None:
    """The ICC profile, where the first `colr` box that can be followed holds one."""
    for kind, content in boxes.boxes(header):
        if kind == b"colr" and content[:1] == bytes([_BY_NUMBER]):
            return None
        if kind == b"colr" and content[:1] in (
            bytes([_RESTRICTED_PROFILE]),
            bytes([_ANY_PROFILE]),
        ):
            return content[3:]
    return None


def _named(contents: bytes, number: int) -> bytes:
    """The file with its first named colour space as another, so that no colours are converted."""
    at = contents.find(b"colr\1", contents.find(b"jp2h"))
    if at < 0:
        return contents
    return contents[: at + 7] + struct.pack(">I", number) + contents[at + 11 :]


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
