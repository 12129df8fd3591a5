"""Photos made small, for pages that show many of them."""

import io
import os

from PIL import Image, ImageOps

from siamese_nima.photos.read import read_photo

SIDE_PX = 240
# 240 px at this quality are about 6 kB, two thirds of what JPEG needs to look the same.
_QUALITY = 70


def thumbnail(path: str | os.PathLike[str], *, side_px: int = SIDE_PX) -> bytes:
    """The photo as a small WebP file, upright and in sRGB, its longer side at most `side_px`.

    Raises:
        PhotoError: The photo cannot be read.
    """
    return shrunk(read_photo(path, min_short_side_px=side_px), side_px=side_px)


def shrunk(photo: Image.Image, *, side_px: int = SIDE_PX) -> bytes:
    """`thumbnail` of a photo that is read already; `photo` stays as it is."""
    small = ImageOps.contain(photo, (side_px, side_px)) if max(photo.size) > side_px else photo
    file = io.BytesIO()
    small.save(file, format="WEBP", quality=_QUALITY)
    return file.getvalue()
