"""The structure of TIFF, and of camera raw that is built like it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest

SUBFILE_TYPE, OLD_SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION = 254, 255, 256, 257, 258, 259
PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES = 262, 266, 273, 274, 277
ROWS_PER_STRIP, STRIP_BYTES, PLANAR, PREDICTOR = 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT = 330, 338, 339
COLOUR_MAP, XMP, ICC_PROFILE, DNG_VERSION = 320, 700, 34675, 50706

WHITE_IS_ZERO, GREY, RGB, PALETTE, CMYK, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 8, 9
COLOURS = {WHITE_IS_ZERO: 1, GREY: 1, RGB: 3, PALETTE: 1, CMYK: 4, CIELAB: 3, ICCLAB: 3}

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
        of_tiles = TILE_OFFSETS in self.entries
        offsets, lengths = (TILE_OFFSETS, TILE_BYTES) if of_tiles else (STRIP_OFFSETS, STRIP_BYTES)
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
    colours = COLOURS.get(picture.number(PHOTOMETRIC, -1), 0)
    return colours > 0 and picture.number(SAMPLES, 1) >= colours


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


def ends_early(contents: bytes) -> bool:
    """Whether a TIFF, or camera raw built like one, refers to bytes after its end.

    Other files, and structures that cannot be followed, are left to their reader.
    """
    try:
        return any(picture.ends_early for picture in directories(contents))
    except StructureError:
        return True
