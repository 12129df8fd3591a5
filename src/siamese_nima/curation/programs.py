"""What photo programs read: in which files, under which names, and what they cannot take.

Reference:
    The sources of darktable (common/exif.cc) and digiKam (metadataengine/dmetadata); of Lightroom
    and Capture One, which are closed, what is published. docs/stars.md says what was tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.curation.sidecars import Naming
from siamese_nima.curation.xmp import (
    DIGIKAM_COLOUR,
    DIGIKAM_PICK,
    LABEL,
    OUR_DIGIKAM_COLOUR,
    OUR_DIGIKAM_PICK,
    OUR_LABEL,
    Name,
    Packet,
)
from siamese_nima.errors import ConfigError
from siamese_nima.photos.formats import RAW_EXTENSIONS

# By digiKam's numbers. The names are those of xmp:Label in programs that are set to English.
COLOURS = {"red": 1, "yellow": 3, "green": 4, "blue": 5, "purple": 6}
REJECTED = -1
DIGIKAM_REJECTED, DIGIKAM_ACCEPTED = "1", "3"
# DNG is camera raw with a place for XMP, where Adobe programs look and nowhere else.
_WITHOUT_PLACE_FOR_XMP = RAW_EXTENSIONS - {".dng", ".gpr"}


@dataclass(frozen=True, slots=True)
class Program:
    """A photo program.

    Attributes:
        title: Its name.
        naming: What it calls a sidecar.
        only_raw: Whether it reads sidecars of camera raw files alone, and looks into all others.
        digikam: Whether it reads the labels of digiKam.
        limits: What it cannot take, a sentence each.
    """

    title: str
    naming: Naming
    only_raw: bool = False
    digikam: bool = False
    limits: tuple[str, ...] = ()

    def reads_sidecar_of(self, photo: str) -> bool:
        """Whether it reads a sidecar of a photo file of this name."""
        return not self.only_raw or Path(photo).suffix.lower() in _WITHOUT_PLACE_FOR_XMP


_ENGLISH = (
    "Colour labels have English names; set to another language, it shows them without colour."
)
PROGRAMS: Mapping[str, Program] = {
    "lightroom": Program(
        "Lightroom Classic",
        "stem",
        only_raw=True,
        limits=(
            "Lightroom keeps its pick and reject flags in its catalogue, not in files: rejected "
            "photos have the rating -1, which Bridge shows; give them a colour (--labels -1=red) "
            "to filter by in Lightroom.",
            _ENGLISH,
            "Photos that are in its catalogue already: Metadata > Read Metadata from Files.",
        ),
    ),
    "darktable": Program(
        "darktable",
        "full",
        limits=(
            "darktable has no picks, only stars, rejected and colours.",
            "It reads sidecars when it imports photos; for others: 'load sidecar file', or "
            "'look for updated XMP files on startup' in its preferences.",
        ),
    ),
    "digikam": Program(
        "digiKam",
        "full",
        digikam=True,
        limits=(
            "digiKam has no rating -1: rejected photos have its pick label 'rejected'.",
            "It reads sidecars if its settings say so (Metadata > Sidecars > Read from sidecar "
            "files); for photos it knows: Item > Reread Metadata From File.",
        ),
    ),
    "captureone": Program(
        "Capture One",
        "stem",
        only_raw=True,
        limits=(
            "Capture One has no picks and no rejected photos, only stars and colours; give "
            "rejected photos a colour (--labels -1=red).",
            _ENGLISH,
            "It reads sidecars with 'Auto Sync Sidecar XMP: Load' in its preferences, or by Load "
            "Metadata.",
        ),
    ),
}


def program_named(name: str | None) -> Program | None:
    """A program; None for any that reads sidecars.

    Raises:
        ConfigError: It is not known.
    """
    if name is None:
        return None
    if name not in PROGRAMS:
        raise ConfigError(f"known photo programs are {', '.join(PROGRAMS)}, not {name!r}")
    return PROGRAMS[name]


def stars_in_words(rating: float | None) -> str:
    """A rating as people read it; "?" for one that there is and that cannot be read.

    >>> stars_in_words(2), stars_in_words(-1)
    ('★★', 'rejected')
    """
    if rating is None or math.isnan(rating):
        return "?"
    return "rejected" if rating < 0 else "★" * min(round(rating), 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is written beside stars.

    Attributes:
        pick_from: Stars from which on a photo is picked; None picks none.
        labels: Colours by stars, -1 to 5; those that are not there get none.
        digikam: Whether picked and rejected photos get digiKam's pick labels, and its colours.
    """

    pick_from: int | None = None
    labels: Mapping[int, str] | None = None
    digikam: bool = False

    def __post_init__(self) -> None:
        if self.pick_from is not None and not 1 <= self.pick_from <= 5:
            raise ConfigError(f"photos are picked from 1 to 5 stars on, not {self.pick_from}")
        for stars, colour in (self.labels or {}).items():
            if stars not in (REJECTED, *range(1, 6)) or colour.lower() not in COLOURS:
                raise ConfigError(
                    f"a label is stars and a colour, such as 5=green or -1=red, of "
                    f"{', '.join(COLOURS)}; got {stars}={colour}"
                )

    def values(self, packet: Packet, stars: int, *, overwrite: bool) -> dict[Name, str]:
        """Properties to write into a packet; what a person marked stays, unless `overwrite`."""
        values: dict[Name, str] = {}
        for name, ours, value in self._wanted(stars):
            now, empty = packet.value(name) or "", "" if name == LABEL else "0"
            is_ours = packet.value(ours) == now
            if now in ("", "0") or is_ours or overwrite:
                if value is not None:
                    values |= {name: value, ours: value}
                elif is_ours and now:
                    values |= {name: empty, ours: empty}
        return values

    def _wanted(self, stars: int) -> Iterator[tuple[Name, Name, str | None]]:
        """Names of properties, where ours are remembered, and the value; None for none."""
        colour = (self.labels or {}).get(stars, "").lower()
        yield LABEL, OUR_LABEL, colour.capitalize() or None
        if not self.digikam:
            return
        picked = self.pick_from is not None and stars >= self.pick_from
        pick = DIGIKAM_REJECTED if stars == REJECTED else DIGIKAM_ACCEPTED if picked else None
        yield DIGIKAM_PICK, OUR_DIGIKAM_PICK, pick
        number = COLOURS.get(colour)
        yield DIGIKAM_COLOUR, OUR_DIGIKAM_COLOUR, None if number is None else str(number)
