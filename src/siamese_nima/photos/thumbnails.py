"""Photos made small, for pages that show many of them."""

import io
import os

from PIL import Image

from siamese_nima.photos.read import Photo, open_photo

SIDE_PX = 240
# 240 px at this quality are about 6 kB, two thirds of what JPEG needs to look the same.
_QUALITY = 70


def thumbnail(path: str | os.PathLike[str], *, side_px: int = SIDE_PX) -> bytes:
    """The photo as a small WebP file, upright and in sRGB, its longer side at most `side_px`.

    Raises:
        PhotoError: The photo cannot be read.
    """
    return shrunk(open_photo(path, min_short_side_px=side_px), side_px=side_px)


def shrunk(photo: Image.Image | Photo, *, side_px: int = SIDE_PX) -> bytes:
    """`thumbnail` of a photo that is read already; `photo` stays as it is."""
    scale = min(1, side_px / max(photo.size))
    width, height = (max(1, round(side * scale)) for side in photo.size)
    small = photo.resize((width, height))
    file = io.BytesIO()
    small.save(file, format="WEBP", quality=_QUALITY)
    return file.getvalue()
