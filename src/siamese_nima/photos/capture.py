"""When and with which camera a photo was taken, by what the camera wrote into it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from siamese_nima.photos.decode import pillow_muted
from siamese_nima.photos.formats import PILLOW_FORMATS

_EPOCH = datetime(1970, 1, 1)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Capture:
    """The moment of exposure.

    Attributes:
        seconds: Since 1970 by the camera's clock, with fractions where the camera writes them; in
            UTC where it writes its time zone, else in local time.
        in_utc: Whether the time zone is known. Only times of one kind can be compared.
        camera: Maker, model and serial number as far as they are known; two cameras of one model
            that do not write their serial number have the same.
    """

    seconds: float
    in_utc: bool = False
    camera: str = ""


def read_capture(path: str | os.PathLike[str]) -> Capture | None:
    """The moment at which a photo file was taken; None where the file does not say.

    Only the header is read. The time is that of the original exposure (EXIF DateTimeOriginal), not
    that of a later change, which copies and edits have.
    """
    try:
        with pillow_muted(), Path(path).open("rb") as file:
            Image.init()
            known = tuple(name for name in (*PILLOW_FORMATS, "HEIF") if name in Image.OPEN)
            exif = Image.open(file, formats=known).getexif()
            return _capture(dict(exif), exif.get_ifd(ExifTags.IFD.Exif))
    # Damaged metadata raise almost anything; the time is then not known.
    except Exception:
        return None


def _capture(camera: dict[int, Any], exposure: dict[int, Any]) -> Capture | None:
    tag = ExifTags.Base
    text = _text(exposure.get(tag.DateTimeOriginal))[:19]
    try:
        taken = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    seconds = (taken - _EPOCH).total_seconds()
    fraction = _text(exposure.get(tag.SubsecTimeOriginal))
    if fraction.isdecimal() and fraction.isascii():
        seconds += float(f"0.{fraction}")
    zone = _OFFSET.fullmatch(_text(exposure.get(tag.OffsetTimeOriginal)))
    if zone:
        sign, hours, minutes = zone.groups()
        seconds -= (1 if sign == "+" else -1) * (int(hours) * 3600 + int(minutes) * 60)
    names = (camera.get(tag.Make), camera.get(tag.Model), exposure.get(tag.BodySerialNumber))
    return Capture(seconds, zone is not None, " ".join(filter(None, map(_text, names))))


def _text(value: object) -> str:
    """EXIF text without the zeros and blanks that cameras fill it up with."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.partition("\0")[0].strip()
