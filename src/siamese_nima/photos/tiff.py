"""TIFF structure, and the pixels of those kinds of TIFF that Pillow reads wrongly or not at all."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from itertools import accumulate, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from siamese_nima.errors import PhotoError
from siamese_nima.photos.loading import check_size

SUBFILE_TYPE, OLD_SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION = 254, 255, 256, 257, 258, 259
PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES = 262, 266, 273, 274, 277
ROWS_PER_STRIP, STRIP_BYTES, PLANAR, PREDICTOR = 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT = 330, 338, 339
COLOUR_MAP, ICC_PROFILE, DNG_VERSION = 320, 34675, 50706

WHITE_IS_ZERO, GREY, RGB, CMYK, CIELAB, ICCLAB = 0, 1, 2, 5, 8, 9
_COLOURS = {WHITE_IS_ZERO: 1, GREY: 1, RGB: 3, CMYK: 4, CIELAB: 3, ICCLAB: 3}
_UNCOMPRESSED, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 5, 7, 8, 32773
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# What libtiff can undo whatever the bytes mean: nothing, LZW, both numbers of deflate, PackBits,
# LZMA, Zstandard.
_BYTE_CODECS = {_UNCOMPRESSED, _LZW, _DEFLATE, 32946, _PACKBITS, 34925, 50000}
_ODD_GREY_BITS = frozenset({3, 5, 6, 7, *range(9, 16), 24})
_UNSIGNED, _FLOAT = 1, 3
_PREMULTIPLIED, _STRAIGHT = 1, 2

# Bytes of one value by type: BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, ..., LONG8.
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_VALUE_BYTES |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# Cameras put offsets of other files, or of the memory they were made in, into their own blocks.
_MAKERS_OWN = {37500, 50740}
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CAMERA_SIGNATURES = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_MAX_DIRECTORIES = 32
# A strip for each row of the tallest photo that is read; small files claim more to fill the memory.
_MAX_VALUES = 1_000_000
_MOST_PIXEL_BITS = 1024
_BAND_SAMPLES = 1 << 22


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the values of one tag stand."""

    kind: int
    count: int
    at: int

    @property
    def end(self) -> int:
        """The byte after the values."""
        return self.at + self.count * _VALUE_BYTES.get(self.kind, 1)


@dataclass(frozen=True)
class Directory:
    """One picture of a TIFF file: its tags, values read when they are asked for.

    Attributes:
        contents: The whole file.
        order: "<" or ">".
        entries: By tag.
        start: Where it stands.
    """

    contents: bytes = field(repr=False)
    order: str
    entries: Mapping[int, Entry]
    start: int

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The integers of a tag; none where it is missing, of another kind or absurdly long."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or entry.end > len(self.contents):
            return ()
        if entry.count > _MAX_VALUES:
            return ()
        code = f"{self.order}{entry.count}{_INTEGERS[entry.kind]}"
        return struct.unpack_from(code, self.contents, entry.at)

    def number(self, tag: int, default: int = 0) -> int:
        """The first integer of a tag."""
        return next(iter(self.numbers(tag)), default)

    def block(self, tag: int) -> bytes:
        """The bytes of a tag."""
        entry = self.entries.get(tag)
        return self.contents[entry.at : entry.end] if entry else b""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.number(WIDTH), self.number(HEIGHT)

    @property
    def is_reduced(self) -> bool:
        """Whether it calls itself a small copy or a mask of another picture."""
        return bool(self.number(SUBFILE_TYPE) & 5) or self.number(OLD_SUBFILE_TYPE) == 2

    @cached_property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """Offset and length of each strip or tile."""
        tiled = TILE_OFFSETS in self.entries
        offsets, lengths = (TILE_OFFSETS, TILE_BYTES) if tiled else (STRIP_OFFSETS, STRIP_BYTES)
        starts, counts = self.numbers(offsets), self.numbers(lengths)
        return tuple(zip_longest(starts, counts, fillvalue=0))

    @property
    def ends_early(self) -> bool:
        """Whether values or pixels would stand after the end of the file."""
        end = len(self.contents)
        return any(
            entry.end > end for tag, entry in self.entries.items() if tag not in _MAKERS_OWN
        ) or any(at + length > end for at, length in self.segments)


class StructureError(ValueError):
    """A TIFF whose directories cannot be followed."""


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as TIFF or BigTIFF does."""
    return head[:4] in _SIGNATURES


def is_camera_tiff(head: bytes) -> bool:
    """Whether a file is built like TIFF under a signature of its own: Olympus, Panasonic."""
    return head[:4] in _CAMERA_SIGNATURES


def directories(contents: bytes) -> list[Directory]:
    """The pictures of a TIFF file, those that others contain right after these.

    Raises:
        StructureError: A directory lies after the end of the file.
    """
    known = is_tiff(contents) or is_camera_tiff(contents)
    if not known or len(contents) < 8:
        return []
    order = "<" if contents[:1] == b"I" else ">"
    big = b"+" in contents[:4]
    found: list[Directory] = []
    seen: set[int] = set()
    try:
        waiting = [_integer(contents, order, 8, "Q") if big else _integer(contents, order, 4)]
        while waiting and len(seen) < _MAX_DIRECTORIES:
            start = waiting.pop(0)
            if start == 0 or start in seen:
                continue
            seen.add(start)
            entries, following = _entries(contents, order, start, big=big)
            directory = Directory(contents, order, entries, start)
            found.append(directory)
            inside = directory.numbers(SUB_DIRECTORIES)[:_MAX_DIRECTORIES]
            waiting = [*inside, *waiting, following]
    except struct.error as error:
        raise StructureError("a directory lies after the end of the file") from error
    return found


def _integer(contents: bytes, order: str, at: int, code: str = "I") -> int:
    (value,) = struct.unpack_from(order + code, contents, at)
    return int(value)


def _entries(contents: bytes, order: str, start: int, *, big: bool) -> tuple[dict[int, Entry], int]:
    """The tags of a directory, and where the next one is."""
    head, entry, code, inline = (8, 20, "Q", 8) if big else (2, 12, "I", 4)
    count = _integer(contents, order, start, "Q" if big else "H")
    entries = {}
    first = start + head
    for place in range(first, min(first + entry * count, len(contents) - entry + 1), entry):
        tag, kind = struct.unpack_from(f"{order}HH", contents, place)
        length = _integer(contents, order, place + 4, code)
        value = place + 4 + inline
        fits = length * _VALUE_BYTES.get(kind, 1) <= inline
        entries[tag] = Entry(
            kind, length, value if fits else _integer(contents, order, value, code)
        )
    return entries, _integer(contents, order, first + entry * count, code)


def main_picture(found: Sequence[Directory]) -> Directory | None:
    """The first picture that is not a reduced copy, also where a thumbnail stands before it.

    Scanners' and some programs' files begin with a thumbnail that has the photo for a sibling or in
    a sub-directory.
    """
    whole = [picture for picture in found if not picture.is_reduced and min(picture.size) > 0]
    if not whole:
        return found[0] if found else None
    if found[0] is whole[0]:
        return whole[0]
    return max(whole, key=lambda picture: picture.size[0] * picture.size[1])


def is_plain(picture: Directory) -> bool:
    """Whether its pixels are finished colours, not a sensor's mosaic."""
    colours = _COLOURS.get(picture.number(PHOTOMETRIC, -1), 0)
    return colours > 0 and picture.number(SAMPLES, 1) >= colours


def needs_own_reader(picture: Directory) -> bool:
    """Whether Pillow has no right mode for these pixels, and `read_picture` has."""
    samples, bits = picture.number(SAMPLES, 1), set(picture.numbers(BITS))
    decodable = picture.number(COMPRESSION, 1) in _BYTE_CODECS
    if not is_plain(picture) or not decodable or len(bits) != 1:
        return False
    if samples == 1:
        return bits <= _ODD_GREY_BITS
    extras = samples - _COLOURS[picture.number(PHOTOMETRIC)]
    odd_extras = extras > 0 and picture.number(PHOTOMETRIC) != RGB
    unknown_colours = picture.number(PHOTOMETRIC) == ICCLAB
    separate = picture.number(PLANAR, 1) == 2
    return bits != {8} or separate or odd_extras or extras > 1 or unknown_colours


def as_first(picture: Directory) -> bytes:
    """The file as a classic TIFF with this picture as its first, for readers that know no other."""
    contents, order = picture.contents, picture.order
    if b"+" not in contents[:4]:
        return contents[:4] + struct.pack(order + "I", picture.start) + contents[8:]
    start = len(contents) + len(contents) % 2
    values_start = start + 2 + 12 * len(picture.entries) + 4
    table, values = struct.pack(order + "H", len(picture.entries)), b""
    for tag, entry in sorted(picture.entries.items()):
        kind, block = entry.kind, picture.block(tag)
        if kind in (16, 18):  # LONG8 and IFD8, which classic TIFF lacks
            kind, numbers = 4, picture.numbers(tag)
            block = struct.pack(f"{order}{len(numbers)}I", *numbers)
        table += struct.pack(order + "HHI", tag, kind, entry.count)
        short = len(block) <= 4
        at = struct.pack(order + "I", values_start + len(values))
        table += block.ljust(4, b"\0") if short else at
        values += b"" if short else block + bytes(len(block) % 2)
    head = contents[:2] + struct.pack(order + "HI", 42, start)
    return head + contents[8:].ljust(start - 8, b"\0") + table + bytes(4) + values


def palette_of_bytes(picture: Directory) -> bytes | None:
    """Red, green and blue of each colour, where a palette counts to 255 instead of 65535."""
    numbers = picture.numbers(COLOUR_MAP)
    if len(numbers) < 6 or len(numbers) % 3 or not 0 < max(numbers) < 256:
        return None
    return np.array(numbers, np.uint8).reshape(3, -1).T.tobytes()


def read_picture(picture: Directory, label: str, max_pixels: int) -> Image.Image:
    """The picture with 8 bits, in mode L, LA, RGB, RGBA, CMYK or LAB, with ICC profile.

    Raises:
        PhotoError: Larger than `max_pixels`, cut off, or with numbers that do not say what is
            white.
    """
    check_size(*picture.size, label, max_pixels)
    if picture.ends_early or not picture.segments:
        raise PhotoError(f"{label}: truncated, the file ends before the picture does.")
    photometric = picture.number(PHOTOMETRIC)
    colours = _COLOURS[photometric]
    extras = picture.numbers(EXTRA_SAMPLES)
    alpha = extras[0] if extras and colours != 4 else 0
    # Extra samples that are not transparency (selections, spot colours) are no part of the picture.
    keep = colours + (alpha in (_PREMULTIPLIED, _STRAIGHT))
    levels = _levels(picture, keep, label)
    if photometric == WHITE_IS_ZERO:
        levels[..., 0] = 255 - levels[..., 0]
    if keep > colours and alpha == _PREMULTIPLIED:
        levels = _straight(levels)
    if photometric == ICCLAB:
        levels[..., 1:3] ^= 128  # a* and b* are signed in the bytes that Pillow takes
    image = _as_image(levels, photometric)
    profile = picture.block(ICC_PROFILE)
    image.info = {"icc_profile": profile} if profile else {}
    return image


def _as_image(levels: NDArray[np.uint8], photometric: int) -> Image.Image:
    height, width, samples = levels.shape
    if photometric in (CIELAB, ICCLAB):
        mode, samples = "LAB", 3
    elif photometric == CMYK:
        mode = "CMYK"
    else:
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples]
    return Image.frombytes(mode, (width, height), levels[..., :samples].tobytes())


def _straight(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours that were multiplied by their alpha, divided by it again."""
    alpha = levels[..., -1:].astype(np.uint16)
    divided = levels[..., :-1].astype(np.uint32) * 255 // np.maximum(alpha, 1)
    return np.concatenate([np.minimum(divided, 255).astype(np.uint8), levels[..., -1:]], axis=-1)


def _eight_bits(wide: NDArray[Any], picture: Directory, label: str) -> NDArray[np.uint8]:
    """Samples of any width as 0..255, white as 255."""
    kinds = set(picture.numbers(SAMPLE_FORMAT)) or {_UNSIGNED}
    if wide.dtype.kind == "f":
        if not np.isfinite(wide).all() or wide.min() < 0 or wide.max() > 1:
            raise PhotoError(
                f"{label}: floating-point pixels outside of 0..1 do not say which number is white."
                " Save it with 8 or 16 bits."
            )
        return np.asarray(wide * 255 + 0.5).astype(np.uint8)
    signed_lab = picture.number(PHOTOMETRIC) == CIELAB
    if kinds - {_UNSIGNED, 4} and not signed_lab:
        raise PhotoError(
            f"{label}: signed integer pixels do not say which number is white."
            " Save it with 8 or 16 bits."
        )
    bits = picture.number(BITS)
    if signed_lab and bits == 16:
        return (wide >> 8).astype(np.uint8)  # a* and b* are signed: their upper byte is too
    if bits == 8:
        return np.asarray(wide, dtype=np.uint8)
    white = 2**bits - 1
    scaled = wide.astype(np.uint64 if bits > 16 else np.uint32) * 255 + white // 2
    levels: NDArray[np.uint8] = (scaled // white).astype(np.uint8)
    return levels


def _levels(picture: Directory, keep: int, label: str) -> NDArray[np.uint8]:
    """The first samples of each pixel, shape (H, W, keep), as 0..255."""
    width, height = picture.size
    samples = picture.number(SAMPLES, 1)
    planar = picture.number(PLANAR, 1) == 2
    tiled = TILE_OFFSETS in picture.entries
    if tiled:
        across, down = picture.number(TILE_WIDTH), picture.number(TILE_HEIGHT)
    else:
        across, down = width, min(picture.number(ROWS_PER_STRIP, height) or height, height)
    if min(across, down) < 1 or across * down > 4 * max(width * height, 1 << 20):
        raise PhotoError(f"{label}: not a readable photo (impossible size of strips or tiles).")
    columns, rows = -(-width // across), -(-height // down)
    planes = samples if planar else 1
    if len(picture.segments) < columns * rows * planes:
        raise PhotoError(f"{label}: truncated, strips or tiles are missing.")
    inside = 1 if planar else samples
    if inside * picture.number(BITS) > _MOST_PIXEL_BITS:
        raise PhotoError(f"{label}: {samples} samples per pixel, too many for a photo.")
    result = np.empty((height, width, keep), np.uint8)
    for plane in range(keep if planar else 1):
        for row in range(rows):
            first = (plane * rows + row) * columns
            strip_height = down if tiled else min(down, height - row * down)
            pieces = _decoded(picture, first, columns, across, strip_height, inside)
            band = pieces.transpose(1, 0, 2, 3).reshape(strip_height, columns * across, inside)
            part = result[row * down : (row + 1) * down]
            chosen = slice(plane, plane + 1) if planar else slice(None)
            used = band[: len(part), :width, : 1 if planar else keep]
            # Some rows at a time: on the way to 8 bits a sample takes up to 16 bytes.
            step = max(1, _BAND_SAMPLES // (width * keep))
            for top in range(0, len(part), step):
                wide = used[top : top + step]
                part[top : top + step, :, chosen] = _eight_bits(wide, picture, label)
    return result


def _decoded(
    picture: Directory, first: int, count: int, width: int, height: int, samples: int
) -> NDArray[Any]:
    """Neighbouring strips or tiles, shape (count, height, width, samples)."""
    bits = picture.number(BITS)
    row_bytes = -(-width * samples * bits // 8)
    rows = _bytes(picture, first, count, row_bytes, height).reshape(count, height, row_bytes)
    predictor = picture.number(PREDICTOR, 1)
    is_float = picture.number(SAMPLE_FORMAT, 1) == _FLOAT
    if predictor == 3:
        return _floats_from_predictor(rows, width, samples, bits // 8)
    if bits == 24:
        steps = (1, 256, 65536) if picture.order == "<" else (65536, 256, 1)
        threes = rows.reshape(count, height, width, samples, 3)
        return np.asarray(threes @ np.array(steps, np.uint32), dtype=np.uint32)
    if bits not in (8, 16, 32, 64):
        return _unpacked(rows, width * samples, bits).reshape(count, height, width, samples)
    code = "f" if is_float and bits > 8 else "u"
    wide: NDArray[Any] = rows.view(f"{picture.order}{code}{bits // 8}").reshape(
        count, height, width, samples
    )
    wide = wide.astype(wide.dtype.newbyteorder("="))
    if predictor == 2:
        whole = wide.view(f"u{bits // 8}")
        np.cumsum(whole, axis=2, dtype=whole.dtype, out=whole)
    return wide


def _bytes(
    picture: Directory, first: int, count: int, row_bytes: int, height: int
) -> NDArray[np.uint8]:
    """Strips or tiles without their compression, by libtiff.

    libtiff undoes compression without a look at what bytes mean, so all is given to it as one grey
    picture of 8 bits, whose strips are the segments one below the other.
    """
    parts = [picture.contents[at : at + length] for at, length in picture.segments[first:][:count]]
    if picture.number(FILL_ORDER, 1) == 2:
        parts = [part.translate(_BITS_REVERSED) for part in parts]
    expected = row_bytes * height * count
    compression = picture.number(COMPRESSION, 1)
    if compression == _UNCOMPRESSED:
        body = b"".join(part[: row_bytes * height] for part in parts)
        if len(body) != expected:
            raise EOFError("strips are shorter than the picture")
        return np.frombuffer(body, np.uint8)
    lengths = [len(part) for part in parts]
    starts = list(accumulate(lengths, initial=8))
    tags = {WIDTH: [row_bytes], HEIGHT: [height * count], BITS: [8], COMPRESSION: [compression]}
    tags |= {PHOTOMETRIC: [GREY], STRIP_OFFSETS: starts[:-1], SAMPLES: [1]}
    tags |= {ROWS_PER_STRIP: [height], STRIP_BYTES: lengths}
    file = b"II*\0" + struct.pack("<I", starts[-1]) + b"".join(parts) + _packed(tags, starts[-1])
    image = TiffImagePlugin.TiffImageFile(BytesIO(file))
    return np.asarray(image).reshape(-1)


def _packed(tags: Mapping[int, Sequence[int]], start: int) -> bytes:
    """A directory of LONG values that will stand at byte `start`, with what it points to."""
    entries, values = struct.pack("<H", len(tags)), b""
    values_start = start + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        entries += struct.pack("<HHI", tag, 4, len(numbers))
        entries += packed if len(packed) == 4 else struct.pack("<I", values_start + len(values))
        values += b"" if len(packed) == 4 else packed
    return entries + bytes(4) + values


def _floats_from_predictor(
    rows: NDArray[np.uint8], width: int, samples: int, size: int
) -> NDArray[Any]:
    """Undo predictor 3: bytes of one weight stand together, as differences, upper ones first.

    Source: Adobe Photoshop TIFF Technical Note 3, 2005.
    """
    count, height, row_bytes = rows.shape
    strided = rows.reshape(count, height, row_bytes // samples, samples)
    summed = np.cumsum(strided, axis=2, dtype=np.uint8).reshape(count, height, size, -1)
    big_endian = np.ascontiguousarray(np.moveaxis(summed, 2, 3))
    floats = big_endian.view(f">f{size}")
    return floats.astype(f"f{size}").reshape(count, height, width, samples)


def _unpacked(rows: NDArray[np.uint8], values: int, bits: int) -> NDArray[Any]:
    """Samples of 1 to 31 bits, most significant bit first, rows padded to bytes."""
    if not 1 <= bits <= 31:
        raise ValueError(f"samples of {bits} bits")
    count, height, _ = rows.shape
    digits = np.unpackbits(rows, axis=-1)[..., : values * bits].reshape(count, height, values, bits)
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint32)
    return np.asarray(digits @ weights, dtype=np.uint32)


def ends_early(contents: bytes) -> bool:
    """Whether a TIFF, or camera raw built like one, refers to bytes after its end.

    Other files, and structures that cannot be followed, are left to their reader.
    """
    try:
        return any(picture.ends_early for picture in directories(contents))
    except StructureError:
        return True
