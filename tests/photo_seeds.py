"""Small sound photos of every format, and ways to damage them: what fuzzing starts from."""

from __future__ import annotations

import importlib.util
import io
import random
import struct
from typing import Any

import numpy as np
import tifffile
from openjpeg.utils import encode_array
from PIL import Image, ImageCms, features

from dng_file import dng

_ORIENTATION = 0x0112
# Values at which sizes, counts and offsets go wrong.
_EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def scene(width: int = 48, height: int = 36) -> Image.Image:
    """A picture with colour, edges and detail."""
    y, x = np.mgrid[0:height, 0:width]
    bands = [255 * x / width, 255 * y / height, 127 + 127 * np.sin(x * y / 40)]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))


def seeds() -> dict[str, bytes]:
    """Encoded photos by name; HEIC only where pillow-heif is installed."""
    picture, exif = scene(), Image.Exif()
    exif[_ORIENTATION] = 6
    metadata: dict[str, Any] = {
        "exif": exif,
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    grey, wide = picture.convert("L"), Image.fromarray(np.asarray(picture)[..., 0] * np.uint16(257))
    palette, clear = picture.quantize(16), picture.copy()
    clear.putalpha(grey)
    frames: dict[str, Any] = {"save_all": True, "append_images": [picture.rotate(180)]}
    found = {
        "jpeg": encoded(picture, "JPEG", **metadata),
        "jpeg-progressive": encoded(picture, "JPEG", progressive=True),
        "jpeg-cmyk": encoded(picture.convert("CMYK"), "JPEG", restart_marker_blocks=2),
        "mpo": encoded(picture, "MPO", **frames),
        "png": encoded(picture, "PNG", **metadata),
        "png-palette": encoded(palette, "PNG", transparency=3),
        "png-16": encoded(wide, "PNG"),
        "apng": encoded(clear, "PNG", **frames),
        "webp": encoded(picture, "WEBP", **metadata),
        "webp-animated": encoded(clear, "WEBP", lossless=True, **frames),
        "tiff": encoded(picture, "TIFF", **metadata),
        "tiff-lzw": encoded(palette, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": encoded(picture, "TIFF", compression="jpeg"),
        "tiff-bilevel": encoded(picture.convert("1"), "TIFF", compression="group4"),
        "tiff-16": encoded(wide, "TIFF", compression="tiff_adobe_deflate"),
        "gif": encoded(palette, "GIF", **frames),
        "bmp": encoded(picture, "BMP"),
        "ppm": encoded(picture, "PPM"),
        "jpeg2000": encoded(picture, "JPEG2000"),
        "psd": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3" + bytes(1000),
        "qoi": encoded(picture, "QOI"),
        "tga": encoded(picture, "TGA", compression="tga_rle"),
        "dng": dng(picture),
        "dng-preview": dng(picture, preview=encoded(picture, "JPEG"), orientation=6),
    }
    for layout in ({"rowsperstrip": 5}, {"tile": (16, 16), "compression": 8, "predictor": True}):
        file = io.BytesIO()
        planes = np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1)) * np.uint16(257)
        options = {"photometric": "rgb", "planarconfig": "separate", **layout}
        tifffile.imwrite(file, planes, **options)
        found["tiff-planes-" + next(iter(layout))] = file.getvalue()
    for name, array, options in (
        ("float", np.asarray(picture, np.float32) / 255, {"photometric": "rgb", "compression": 8}),
        ("grey-32", np.asarray(grey, np.uint32) << 24, {"photometric": "minisblack"}),
        ("cmyka", np.asarray(clear.convert("CMYK")), {"photometric": "separated"}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        found["tiff-" + name] = file.getvalue()
    wide_colours = np.asarray(picture).astype(np.uint16) * 257
    found["jpeg2000-16"] = encode_array(wide_colours, photometric_interpretation=1, codec_format=1)
    found["jpeg2000-palette"] = _with_palette(encoded(palette.convert("L"), "JPEG2000"))
    if importlib.util.find_spec("pylibjxl"):
        import pylibjxl

        found["jxl"] = pylibjxl.encode(np.asarray(picture))
    if features.check("avif"):
        found["avif"] = encoded(picture, "AVIF", **metadata)
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        found["heic"] = encoded(picture, "HEIF", **metadata)
    return found


def _with_palette(contents: bytes) -> bytes:
    """A JP2 file of one channel, made places in a palette."""
    at = contents.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", contents, at)
    table = bytes(value * part % 256 for value in range(256) for part in (1, 2, 3))
    palette = struct.pack(">HB3B", 256, 3, 7, 7, 7) + table
    mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
    added = b"".join(
        struct.pack(">I4s", 8 + len(content), kind) + content
        for kind, content in ((b"pclr", palette), (b"cmap", mapping))
    )
    header = struct.pack(">I", size + len(added)) + contents[at + 4 : at + size] + added
    return contents[:at] + header + contents[at + size :]


def encoded(picture: Image.Image, image_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, image_format, **options)
    return file.getvalue()


def damaged(contents: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """A damaged copy: a few bytes, bits, numbers or blocks changed, cut, doubled or swapped in."""
    result = bytearray(contents)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # Headers are short and decide most; half of the damage is for them.
        reach = min(len(result), rng.choice((64, 512, 1 << 30)))
        if not reach:
            break
        place, length = rng.randrange(reach), rng.choice((1, 2, 4, 16, 64, 512))
        match rng.randrange(8):
            case 0:
                result[place] ^= 1 << rng.randrange(8)
            case 1:
                result[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))
            case 2:
                order, width = rng.choice(("big", "little")), rng.choice((2, 4))
                number = rng.choice(_EDGES) & (256**width - 1)
                result[place : place + width] = number.to_bytes(width, order)
            case 3:
                result[place : place + length] = rng.randbytes(length)
            case 4:
                del result[place : place + length]
            case 5:
                result[place:place] = result[place : place + length]
            case 6:
                donor = rng.choice(others)
                start = rng.randrange(len(donor))
                result[place : place + length] = donor[start : start + length]
            case 7:
                del result[place:]
    return bytes(result)


def damaged_at(contents: bytes, place: int, patch: bytes) -> bytes:
    """A copy with `patch` written over it at `place`."""
    return contents[:place] + patch + contents[place + len(patch) :]
