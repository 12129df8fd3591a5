"""How far a TIFF structure reaches: camera raw that was cut off, which LibRaw takes as it is."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

# Bytes of one value by TIFF type: BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, ...
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_INTEGERS = {3: "H", 4: "I", 13: "I"}
# Offsets and byte counts of strips, and of tiles.
_PIXELS = ((273, 279), (324, 325))
_SUB_DIRECTORIES = 330
# Cameras put offsets of other files, or of the memory they were made in, into their own blocks.
_MAKERS_OWN = {37500, 50740}
_MAX_DIRECTORIES = 32


def ends_early(contents: bytes) -> bool:
    """Whether a TIFF, or camera raw built like one, refers to bytes after its end.

    Other files, and structures that cannot be followed, are left to their reader.
    """
    order = {b"II": "<", b"MM": ">"}.get(contents[:2])
    if order is None or contents[2:4] not in (b"*\0", b"\0*"):
        return False
    waiting = [_Reader(contents, order).first_directory()]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        start = waiting.pop()
        if start == 0 or start in seen:
            continue
        seen.add(start)
        try:
            directory = dict(_Reader(contents, order).entries(start))
            waiting += directory.get(_SUB_DIRECTORIES, _Values()).numbers
            waiting += directory[0].numbers
        except struct.error:
            return True
        if any(values.end > len(contents) for values in directory.values()):
            return True
        for offsets, counts in _PIXELS:
            starts = directory.get(offsets, _Values()).numbers
            lengths = directory.get(counts, _Values()).numbers
            ends = (at + length for at, length in zip_longest(starts, lengths, fillvalue=0))
            if any(end > len(contents) for end in ends):
                return True
    return False


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of one tag: where they end, and the integers among them."""

    end: int = 0
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reader:
    contents: bytes
    order: str

    def first_directory(self) -> int:
        return self._integers("I", 1, 4)[0] if len(self.contents) >= 8 else 0

    def entries(self, start: int) -> Iterator[tuple[int, _Values]]:
        """Tags of a directory; tag 0 stands for the place of the next directory."""
        (count,) = self._integers("H", 1, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = self._integers("H", 2, place)
            (length,) = self._integers("I", 1, place + 4)
            size = length * _VALUE_BYTES.get(kind, 1)
            at = place + 8 if size <= 4 else self._integers("I", 1, place + 8)[0]
            if tag in _MAKERS_OWN:
                continue
            numbers: tuple[int, ...] = ()
            if kind in _INTEGERS and at + size <= len(self.contents):
                numbers = self._integers(_INTEGERS[kind], length, at)
            yield tag, _Values(at + size, numbers)
        yield 0, _Values(0, self._integers("I", 1, start + 2 + 12 * count))

    def _integers(self, code: str, count: int, at: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{self.order}{count}{code}", self.contents, at)
