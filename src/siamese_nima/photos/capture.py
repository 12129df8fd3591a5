"""When and with which camera a photo was taken, by what the camera wrote into it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime

from siamese_nima.photos.metadata import (
    MAKE,
    MODEL,
    SERIAL_NUMBER,
    TIME,
    TIME_FRACTION,
    TIME_ZONE,
    read_metadata,
)

_EPOCH = datetime(1970, 1, 1)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Capture:
    """The moment of exposure.

    Attributes:
        seconds: Since 1970 by the camera's clock, with fractions where the camera writes them; in
            UTC where it writes its time zone, else in local time.
        in_utc: Whether the time zone is known. Only times of one kind can be compared.
        camera: Maker and model as far as they are known.
        serial_number: Of the camera's body; "" where the file does not have it: two cameras of one
            model cannot be told apart then.
    """

    seconds: float
    in_utc: bool = False
    camera: str = ""
    serial_number: str = ""


def read_capture(path: str | os.PathLike[str]) -> Capture | None:
    """The moment at which a photo file was taken; None where the file does not say.

    Only the header is read. The time is that of the original exposure (EXIF DateTimeOriginal), not
    that of a later change, which copies and edits have.
    """
    tags = {tag: str(value) for tag, value in read_metadata(path).tags.items()}
    try:
        taken = datetime.strptime(tags.get(TIME, "")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    seconds = (taken - _EPOCH).total_seconds()
    fraction = tags.get(TIME_FRACTION, "")
    if fraction.isdecimal() and fraction.isascii():
        seconds += float(f"0.{fraction}")
    zone = _OFFSET.fullmatch(tags.get(TIME_ZONE, ""))
    if zone:
        sign, hours, minutes = zone.groups()
        seconds -= (1 if sign == "+" else -1) * (int(hours) * 3600 + int(minutes) * 60)
    camera = " ".join(name for tag in (MAKE, MODEL) if (name := tags.get(tag)))
    return Capture(seconds, zone is not None, camera, tags.get(SERIAL_NUMBER, ""))
