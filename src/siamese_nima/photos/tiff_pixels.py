"""The pixels of those kinds of TIFF that Pillow reads wrongly or not at all."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from siamese_nima.errors import PhotoError
from siamese_nima.photos.colour import straight
from siamese_nima.photos.loading import check_size
from siamese_nima.photos.tiff import (
    BITS,
    CIELAB,
    CMYK,
    COLOUR_MAP,
    COLOURS,
    COMPRESSION,
    EXTRA_SAMPLES,
    FILL_ORDER,
    GREY,
    HEIGHT,
    ICC_PROFILE,
    ICCLAB,
    PALETTE,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    RGB,
    ROWS_PER_STRIP,
    SAMPLE_FORMAT,
    SAMPLES,
    STRIP_BYTES,
    STRIP_OFFSETS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WHITE_IS_ZERO,
    WIDTH,
    XMP,
    Directory,
    is_plain,
)

_UNCOMPRESSED, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 5, 7, 8, 32773
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# What libtiff can undo whatever the bytes mean: nothing, LZW, both numbers of deflate, PackBits,
# LZMA, Zstandard.
_BYTE_CODECS = {_UNCOMPRESSED, _LZW, _DEFLATE, 32946, _PACKBITS, 34925, 50000}
_ODD_GREY_BITS = frozenset({3, 5, 6, 7, *range(9, 16), 24, 32, 64})
_LOG_LIGHT, _LOG_COLOURS, _MOST_KNOWN_COLOURS = 32844, 32845, 9
_CODECS = {50001: "WebP", 34712: "JPEG 2000", 34887: "LERC", 34933: "PNG", 34934: "JPEG XR"}
_CODECS |= {50002: "JPEG XL", 52546: "JPEG XL"}
_UNSIGNED, _FLOAT, _UNDEFINED = 1, 3, 4
_PREMULTIPLIED, _STRAIGHT = 1, 2
_MODES = {CMYK: "CMYK", CIELAB: "LAB", ICCLAB: "LAB"}
_WHITES = {CMYK: (0, 0, 0, 0), CIELAB: (255, 0, 0), ICCLAB: (255, 0, 0)}
_MOST_PIXEL_BITS = 1024
# Floating-point pictures may have that much below black and above white.
_MOST_CLIPPED = 0.5
_BAND_SAMPLES = 1 << 22


def needs_own_reader(picture: Directory) -> bool:
    """Whether Pillow has no right mode for these pixels, and `read_picture` has."""
    samples, bits = picture.number(SAMPLES, 1), set(picture.numbers(BITS)) or {1}
    decodable = picture.number(COMPRESSION, 1) in _BYTE_CODECS
    if not is_plain(picture) or not decodable or len(bits) != 1:
        return False
    photometric = picture.number(PHOTOMETRIC)
    extras = samples - COLOURS[photometric]
    if photometric == PALETTE:
        return bits == {16} or extras > 0
    odd_numbers = bool(set(picture.numbers(SAMPLE_FORMAT)) - {_UNSIGNED, _UNDEFINED})
    tiles_called_strips = TILE_WIDTH in picture.entries and TILE_OFFSETS not in picture.entries
    if samples == 1:
        return bits <= _ODD_GREY_BITS or odd_numbers or tiles_called_strips
    odd_extras = extras > 1 or (extras == 1 and photometric != RGB)
    separate = picture.number(PLANAR, 1) == 2
    unknown_colours = photometric == ICCLAB
    return bits != {8} or odd_numbers or odd_extras or separate or unknown_colours


def unsupported_kind(picture: Directory) -> str | None:
    """In words what neither Pillow nor `read_picture` reads; None for all else."""
    photometric, compression = picture.number(PHOTOMETRIC), picture.number(COMPRESSION, 1)
    if photometric in (_LOG_LIGHT, _LOG_COLOURS):
        return "logarithmic light (LogLuv)"
    if compression in _CODECS:
        return f"compression by {_CODECS[compression]}"
    if compression not in {*TiffImagePlugin.COMPRESSION_INFO, *_BYTE_CODECS}:
        return f"compression {compression}"
    return f"colours {photometric}" if photometric > _MOST_KNOWN_COLOURS else None


def palette_of_bytes(picture: Directory) -> bytes | None:
    """Red, green and blue of each colour, where a palette counts to 255 instead of 65535."""
    numbers = picture.numbers(COLOUR_MAP)
    if len(numbers) < 6 or len(numbers) % 3 or not 0 < max(numbers) < 256:
        return None
    return np.array(numbers, np.uint8).reshape(3, -1).T.tobytes()


def leave_to_libtiff(image: Image.Image) -> None:
    """Have libtiff make RGB of uncompressed luminance and colour differences.

    Pillow does so with all that is compressed; of these it does not know that several pixels share
    their colours, and calls the file cut off.
    """
    picture: Any = image
    if picture.use_load_libtiff:
        return
    directory = ("RGBX", False, picture.tag_v2.offset)
    picture.tile = [ImageFile._Tile("libtiff", (0, 0, *image.size), 0, directory)]
    picture.use_load_libtiff, picture._mode = True, "RGB"


def read_picture(picture: Directory, label: str, max_pixels: int) -> Image.Image:
    """The picture with 8 bits, in mode L, LA, RGB, RGBA, CMYK or LAB, with ICC profile and XMP.

    Raises:
        PhotoError: Larger than `max_pixels`, cut off, or with numbers that do not say what is
            white.
    """
    check_size(*picture.size, label, max_pixels)
    if picture.ends_early or not picture.segments:
        raise PhotoError(f"{label}: truncated, the file ends before the picture does.")
    photometric = picture.number(PHOTOMETRIC)
    colours = COLOURS[photometric]
    extras = picture.numbers(EXTRA_SAMPLES)
    # Extra samples that are not transparency (selections, spot colours) are no part of the picture.
    alphas = [place for place, kind in enumerate(extras) if kind in (_PREMULTIPLIED, _STRAIGHT)]
    alpha = extras[alphas[0]] if alphas else 0
    before = colours + alphas[0] if alphas else colours
    levels = _levels(picture, before + bool(alphas), label)
    levels = np.delete(levels, range(colours, before), axis=-1)
    keep = levels.shape[-1]
    if photometric == PALETTE:
        levels = _looked_up(levels, picture)
    if photometric == WHITE_IS_ZERO:
        levels[..., 0] = 255 - levels[..., 0]
    if keep > colours and alpha == _PREMULTIPLIED:
        levels = straight(levels)
    if photometric == ICCLAB:
        levels[..., 1:3] ^= 128  # a* and b* are signed in the bytes that Pillow takes
    if keep > colours and photometric in _WHITES:
        levels = _on_white(levels, photometric)
    mode = _MODES.get(photometric) or {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[levels.shape[2]]
    image = Image.frombytes(mode, picture.size, levels.tobytes())
    profile = picture.block(ICC_PROFILE)
    xmp = picture.block(XMP)
    image.info = {name: block for name, block in (("icc_profile", profile), ("xmp", xmp)) if block}
    return image


def _looked_up(numbers: NDArray[Any], picture: Directory) -> NDArray[np.uint8]:
    """The colours that numbers stand for, with their opacity if there is one."""
    table = np.array(picture.numbers(COLOUR_MAP), np.uint32)
    if len(table) < 3 or len(table) % 3:
        raise ValueError("a palette without colours")
    if table.max() > 255:  # most palettes count to 65535
        table = table * 255 // 65535
    colours = table.reshape(3, -1).T.astype(np.uint8)
    found: NDArray[np.uint8] = colours[np.minimum(numbers[..., 0], len(colours) - 1)]
    if numbers.shape[2] == 1:
        return found
    white = 2 ** picture.number(BITS, 1) - 1
    opacity = (numbers[..., 1:].astype(np.uint32) * 255 // white).astype(np.uint8)
    return np.concatenate([found, opacity], axis=-1)


def _on_white(levels: NDArray[np.uint8], photometric: int) -> NDArray[np.uint8]:
    """Colours for which Pillow has no mode with opacity, laid over white."""
    signed = photometric != CMYK
    colours = levels[..., :-1].astype(np.int16)
    if signed:
        colours[..., 1:] = levels[..., 1:-1].view(np.int8)
    white = np.array(_WHITES[photometric], np.int32)
    opacity = levels[..., -1:].astype(np.int32)
    mixed = white + (colours - white) * opacity // 255
    return mixed.astype(np.int16).astype(np.uint8)


def _eight_bits(
    wide: NDArray[Any], picture: Directory, label: str, *, first: int = 0
) -> NDArray[Any]:
    """Samples of any width as 0..255, white as 255; places in a palette as they are.

    Args:
        wide: Shape (H, W, samples).
        picture: What they are of.
        label: Starts every error message.
        first: Which of the picture's samples the first of these is.
    """
    kinds = set(picture.numbers(SAMPLE_FORMAT)) or {_UNSIGNED}
    if picture.number(PHOTOMETRIC) == PALETTE:
        return wide.astype(np.uint16)
    if wide.dtype.kind == "f" and picture.number(PHOTOMETRIC) == CIELAB:
        return _eight_bit_lab(np.nan_to_num(wide), first)
    if wide.dtype.kind == "f":
        return np.asarray(np.nan_to_num(wide).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    signed_lab = picture.number(PHOTOMETRIC) == CIELAB
    if kinds - {_UNSIGNED, _UNDEFINED} and not signed_lab:
        kind = "24-bit floating-point" if _FLOAT in kinds else "signed integer"
        raise PhotoError(
            f"{label}: {kind} pixels do not say which number is white. Save it with 8 or 16 bits."
        )
    bits = picture.number(BITS, 1)
    if signed_lab and bits == 16:
        return (wide >> 8).astype(np.uint8)  # a* and b* are signed: their upper byte is too
    if bits == 8:
        return np.asarray(wide, dtype=np.uint8)
    white = 2**bits - 1
    if bits > 32:
        return (wide >> (bits - 8)).astype(np.uint8)
    scaled = wide.astype(np.uint64 if bits > 16 else np.uint32) * 255 + white // 2
    levels: NDArray[np.uint8] = (scaled // white).astype(np.uint8)
    return levels


def _eight_bit_lab(wide: NDArray[Any], first: int) -> NDArray[np.uint8]:
    """L* of 0..100 as 0..255, a* and b* as signed bytes, opacity of 0..1 as 0..255."""
    places = range(first, first + wide.shape[-1])
    factors = np.array([{0: 2.55, 1: 1, 2: 1}.get(place, 255) for place in places])
    lowest = np.array([-128 if place in (1, 2) else 0 for place in places])
    scaled: NDArray[Any] = np.round(wide * factors).clip(lowest, lowest + 255)
    return scaled.astype(np.int16).astype(np.uint8)


def _levels(picture: Directory, keep: int, label: str) -> NDArray[Any]:
    """The first samples of each pixel, shape (H, W, keep), as `_eight_bits` has them."""
    width, height = picture.size
    samples = picture.number(SAMPLES, 1)
    planar = picture.number(PLANAR, 1) == 2
    tiled = TILE_WIDTH in picture.entries
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
    if inside * picture.number(BITS, 1) > _MOST_PIXEL_BITS:
        raise PhotoError(f"{label}: {samples} samples per pixel, too many for a photo.")
    numbers = np.uint16 if picture.number(PHOTOMETRIC) == PALETTE else np.uint8
    result = np.empty((height, width, keep), numbers)
    outside = 0
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
                outside += _count_outside(wide)
                part[top : top + step, :, chosen] = _eight_bits(wide, picture, label, first=plane)
    if outside > _MOST_CLIPPED * result.size and picture.number(PHOTOMETRIC) != CIELAB:
        raise PhotoError(
            f"{label}: floating-point pixels of which most lie outside of 0..1 do not say which"
            " number is white. Save it with 8 or 16 bits."
        )
    return result


def _count_outside(wide: NDArray[Any]) -> int:
    """How many floating-point numbers are darker than black or brighter than white."""
    if wide.dtype.kind != "f":
        return 0
    return wide.size - int(((wide >= 0) & (wide <= 1)).sum())


def _decoded(
    picture: Directory, first: int, count: int, width: int, height: int, samples: int
) -> NDArray[Any]:
    """Neighbouring strips or tiles, shape (count, height, width, samples)."""
    bits = picture.number(BITS, 1)
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
