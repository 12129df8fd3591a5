"""Pictures made of a photo, saved as new files; the photo itself is never written to."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from siamese_nima.atomic_write import write_whole
from siamese_nima.errors import ConfigError

# Endings of files, and how Pillow saves them.
PICTURE_FORMATS = {
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 95}),
}


def check_new_picture(path: str | os.PathLike[str], photo: str | os.PathLike[str]) -> None:
    """Whether a picture made of `photo` may be saved at `path`; better asked before it is made.

    Raises:
        ConfigError: The ending is unknown, or `path` is the photo itself, by whatever name.
    """
    target = Path(path)
    if target.suffix.lower() not in PICTURE_FORMATS:
        raise ConfigError(f"{target}: a picture ends in {', '.join(PICTURE_FORMATS)}")
    if target.exists() and Path(photo).exists() and target.samefile(photo):
        raise ConfigError(f"{target}: this is the photo itself; choose another name")


def save_new_picture(
    picture: Image.Image, path: str | os.PathLike[str], photo: str | os.PathLike[str]
) -> Path:
    """Save a picture made of `photo`; it appears under its name only when it is complete.

    Raises:
        ConfigError: See `check_new_picture`.
        NimaError: The file cannot be written.
    """
    check_new_picture(path, photo)
    target = Path(path)
    kind, options = PICTURE_FORMATS[target.suffix.lower()]
    content = io.BytesIO()
    picture.save(content, format=kind, **options)
    write_whole(target, content.getvalue())
    return target
