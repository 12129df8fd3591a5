"""The merged picture of Photoshop's PSD and PSB files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.loading import check_size

_HEADER = struct.Struct(">4sH6xHIIHH")
_BITMAP, _GREY, _INDEXED, _RGB, _CMYK, _DUOTONE, _LAB = 0, 1, 2, 3, 4, 8, 9
_COLOURS = {_BITMAP: 1, _GREY: 1, _INDEXED: 1, _RGB: 3, _CMYK: 4, _DUOTONE: 1, _LAB: 3}
_RAW, _PACKBITS, _ZIP, _ZIP_PREDICTED = 0, 1, 2, 3
_MOST_UNPACKED = 64  # two bytes make 128 at most
_ICC_PROFILE, _VERSION_INFO, _EXIF, _XMP = 1039, 1057, 1058, 1060
_MAX_RESOURCE_BYTES = 16 << 20
_TOLERANCE = 2


@dataclass(frozen=True, slots=True)
class _Document:
    channels: int
    height: int
    width: int
    bits: int
    mode: int
    big: bool
    palette: bytes
    metadata: dict[str, bytes]
    merged: bool
    transparent: bool


def read_merged(stream: BinaryIO, label: str, max_pixels: int) -> Image.Image:
    """The picture that Photoshop saved for other programs, with 8 bits, ICC profile, EXIF and XMP.

    Layers are not read. Photoshop lays the merged picture over white, so that what follows the
    colours needs no look: transparency is in them already, selections and spot colours are no part
    of the picture. Programs that leave the colours as they are, and so contradict their own
    transparency, are believed too.

    Raises:
        PhotoError: Saved without a merged picture, larger than `max_pixels`, cut off, or in a
            colour mode that has no colours of its own.
    """
    document = _read_head(stream, label)
    check_size(document.width, document.height, label, max_pixels)
    if not document.merged:
        raise PhotoError(
            f"{label}: saved without a merged picture. Save it in Photoshop with 'maximize"
            " compatibility', or export it as JPEG or PNG."
        )
    colours = _COLOURS.get(document.mode)
    if colours is None or document.channels < colours:
        raise PhotoError(
            f"{label}: its channels are inks, not a picture (colour mode {document.mode})."
            " Export it as JPEG or PNG."
        )
    keep = colours + (document.transparent and document.channels > colours)
    try:
        planes = [_levels(plane, document) for plane in _planes(stream, document, keep)]
    except (EOFError, struct.error, zlib.error) as error:
        raise PhotoError(f"{label}: truncated, the file ends before the picture does.") from error
    image = _merge(planes[:colours], document)
    if len(planes) > colours and _contradicts(planes[:colours], planes[-1], document.mode):
        image.putalpha(Image.fromarray(planes[-1]))
    image.info.update(document.metadata)
    return image


def _read_head(stream: BinaryIO, label: str) -> _Document:
    """Everything before the pixels; the stream is left at those."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise PhotoError(f"{label}: truncated, the file ends before the picture does.")
    signature, version, channels, height, width, bits, mode = _HEADER.unpack(head)
    if signature != b"8BPS" or version not in (1, 2) or bits not in (1, 8, 16, 32):
        raise PhotoError(f"{label}: not a readable photo (damaged PSD header).")
    palette = _block(stream)
    resources = dict(_resources(_block(stream)))
    length = _number(stream, 8 if version == 2 else 4)
    after = stream.tell() + length
    count = 0
    if length:
        if _number(stream, 8 if version == 2 else 4):
            count = int.from_bytes(stream.read(2), signed=True)
        stream.seek(after)
    version_info = resources.get(_VERSION_INFO, b"")
    names = {_ICC_PROFILE: "icc_profile", _EXIF: "exif", _XMP: "xmp"}
    return _Document(
        channels=channels,
        height=height,
        width=width,
        bits=bits,
        mode=mode,
        big=version == 2,
        palette=palette,
        metadata={name: resources[number] for number, name in names.items() if number in resources},
        merged=version_info[4:5] != b"\0",
        transparent=count < 0,
    )


def _number(stream: BinaryIO, size: int) -> int:
    return int.from_bytes(stream.read(size))


def _block(stream: BinaryIO) -> bytes:
    """A section that begins with its length; the rest of a very long one is skipped."""
    length = _number(stream, 4)
    start = stream.tell()
    content = stream.read(min(length, _MAX_RESOURCE_BYTES))
    stream.seek(start + length)
    return content


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 12 <= len(block):
        (number,) = struct.unpack_from(">H", block, at + 4)
        name = block[at + 6] + 1
        at += 6 + name + name % 2
        length = int.from_bytes(block[at : at + 4])
        yield number, block[at + 4 : at + 4 + length]
        at += 4 + length + length % 2


def _planes(stream: BinaryIO, document: _Document, keep: int) -> Iterator[NDArray[np.uint8]]:
    """The bytes of the first channels, shape (H, bytes of a row)."""
    compression = _number(stream, 2)
    row_bytes = -(-document.width * document.bits // 8)
    plane_bytes = row_bytes * document.height
    if compression == _PACKBITS:
        code = ">u4" if document.big else ">u2"
        count = document.channels * document.height
        size = count * int(code[2])
        lengths = _whole(stream.read(size), size).view(code).astype(np.int64)
        for channel in range(keep):
            own = lengths[channel * document.height :][: document.height]
            yield _unpackbits(stream.read(int(own.sum())), row_bytes, document.height)
        return
    if compression == _RAW:
        for _ in range(keep):
            yield _whole(stream.read(plane_bytes), plane_bytes).reshape(document.height, row_bytes)
        return
    if compression not in (_ZIP, _ZIP_PREDICTED):
        raise ValueError(f"PSD compression {compression}")
    wanted = plane_bytes * keep
    inflated = zlib.decompressobj().decompress(stream.read(wanted + (1 << 16)), wanted)
    planes = _whole(inflated, wanted).reshape(keep, document.height, row_bytes)
    for plane in planes:
        yield _summed(plane, document.bits) if compression == _ZIP_PREDICTED else plane


def _whole(content: bytes, size: int) -> NDArray[np.uint8]:
    if len(content) < size:
        raise EOFError
    return np.frombuffer(content, np.uint8, size)


def _unpackbits(packed: bytes, row_bytes: int, height: int) -> NDArray[np.uint8]:
    if row_bytes * height > _MOST_UNPACKED * len(packed):
        raise EOFError
    try:
        return np.asarray(Image.frombytes("L", (row_bytes, height), packed, "packbits", "L"))
    except ValueError as error:  # "not enough image data"
        raise EOFError from error


def _summed(plane: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Undo differences of neighbours; those of floats are of bytes, most significant first."""
    if bits == 8:
        return np.cumsum(plane, axis=1, dtype=np.uint8)
    if bits == 16:
        wide = np.cumsum(plane.view(">u2"), axis=1, dtype=np.uint16)
        return np.asarray(wide.astype(">u2").view(np.uint8))
    summed = np.cumsum(plane, axis=1, dtype=np.uint8)
    height, row_bytes = plane.shape
    by_weight = summed.reshape(height, 4, row_bytes // 4)
    return np.ascontiguousarray(np.moveaxis(by_weight, 1, 2)).reshape(height, row_bytes)


def _levels(plane: NDArray[np.uint8], document: _Document) -> NDArray[np.uint8]:
    """A channel as 0..255."""
    match document.bits:
        case 1:  # a set bit is black
            return (255 * (1 - np.unpackbits(plane, axis=1)[:, : document.width])).astype(np.uint8)
        case 16:
            wide = plane.view(">u2").astype(np.uint32)
            return ((wide * 255 + 32767) // 65535).astype(np.uint8)
        case 32:
            linear = np.nan_to_num(plane.view(">f4").astype(np.float32)).clip(0, 1)
            if document.mode in (_RGB, _GREY) and not document.metadata.get("icc_profile"):
                # With 32 bits Photoshop counts light; a profile that it embeds says so itself.
                curve = 1.055 * linear ** (1 / 2.4) - 0.055
                linear = np.where(linear <= 0.0031308, 12.92 * linear, curve)
            return (linear * 255 + 0.5).astype(np.uint8)
    return plane


def _merge(planes: list[NDArray[np.uint8]], document: _Document) -> Image.Image:
    if document.mode == _CMYK:
        planes = [255 - plane for plane in planes]  # stored as what ink leaves
    images = [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes]
    if document.mode == _INDEXED:
        table: NDArray[Any] = np.frombuffer(document.palette[:768].ljust(768, b"\0"), np.uint8)
        palette = images[0].copy()
        palette.putpalette(table.reshape(3, 256).T.tobytes())
        return palette
    mode = {_RGB: "RGB", _CMYK: "CMYK", _LAB: "LAB"}.get(document.mode, "L")
    return Image.merge(mode, images)


def _contradicts(planes: list[NDArray[np.uint8]], alpha: NDArray[np.uint8], mode: int) -> bool:
    """Whether colours cannot have been laid over white: some are darker than that would leave."""
    if mode not in (_RGB, _GREY):
        return False
    return any(bool((plane.astype(np.int16) + alpha < 255 - _TOLERANCE).any()) for plane in planes)
