"""Photos made small, for pages that show many of them."""

import io
import os

from siamese_nima.photos.read import read_photo

SIDE_PX = 240
# 240 px at this quality are about 6 kB, two thirds of what JPEG needs to look the same.
_QUALITY = 70


def thumbnail(path: str | os.PathLike[str], *, side_px: int = SIDE_PX) -> bytes:
    """The photo as a small WebP file, upright and in sRGB, its longer side at most `side_px`.

    Raises:
        PhotoError: The photo cannot be read.
    """
    photo = read_photo(path, min_short_side_px=side_px)
    photo.thumbnail((side_px, side_px))
    file = io.BytesIO()
    photo.save(file, format="WEBP", quality=_QUALITY)
    return file.getvalue()
