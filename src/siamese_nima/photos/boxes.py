"""Boxes: the structure that HEIF, AVIF, JPEG 2000 and Canon CR3 share (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

Box: TypeAlias = tuple[bytes, bytes]

_MAX_BOXES = 4096


class Span(NamedTuple):
    """Where a box stands: its kind, its first byte, that of its content, and its end."""

    kind: bytes
    head: int
    start: int
    end: int


def spans(contents: bytes, at: int = 0, until: int | None = None) -> Iterator[Span]:
    """Boxes of a part of a file, one after the other; ends where the structure does."""
    until = len(contents) if until is None else until
    for _ in range(_MAX_BOXES):
        if at + 8 > until:
            return
        size, kind = struct.unpack_from(">I4s", contents, at)
        head = 8
        if size == 1 and at + 16 <= until:
            head = 16
            (size,) = struct.unpack_from(">Q", contents, at + 8)
        end = until if size == 0 else at + size
        if end < at + head:
            return
        yield Span(kind, at, at + head, end)
        at = end


def span(contents: bytes, kind: bytes, at: int = 0, until: int | None = None) -> Span | None:
    """The first box of that kind that ends within a part of a file."""
    until = len(contents) if until is None else until
    found = (each for each in spans(contents, at, until) if each.kind == kind)
    return next((each for each in found if each.end <= until), None)


def boxes(contents: bytes) -> Iterator[Box]:
    """Kind and content of each box, one after the other; ends where the structure does."""
    for each in spans(contents):
        yield each.kind, contents[each.start : each.end]


def find(contents: bytes, *path: bytes) -> bytes | None:
    """The content of the first box of that path; None where it is missing."""
    for kind in path:
        content = next((content for name, content in boxes(contents) if name == kind), None)
        if content is None:
            return None
        contents = content
    return contents


def primary_properties(head: bytes) -> list[Box]:
    """Properties of the picture that a HEIF or AVIF file is, in the order in which they count.

    Args:
        head: The file, or as much of it as holds its `meta` box.

    Source: ISO/IEC 23008-12, sections 6.5 and 9.3.
    """
    meta = find(head, b"meta")
    try:
        if meta is None:
            return []
        meta = meta[4:]
        known = list(boxes(find(meta, b"iprp", b"ipco") or b""))
        primary = find(meta, b"pitm") or b""
        item = int.from_bytes(primary[4:6] if primary[:1] == b"\0" else primary[4:8])
        for kind, table in boxes(find(meta, b"iprp") or b""):
            row = associations(table).get(item) if kind == b"ipma" else None
            if row is not None:
                return [known[place - 1] for place in _places(table, row)]
    except (IndexError, struct.error):
        pass
    return []


def associations(table: bytes) -> dict[int, bytes]:
    """The row of each item, as it is written, in an `ipma` box."""
    code, wide = (">H" if table[0] < 1 else ">I"), table[3] & 1
    (count,) = struct.unpack_from(">I", table, 4)
    at = 8
    rows = {}
    for _ in range(min(count, len(table))):
        (item,) = struct.unpack_from(code, table, at)
        places = at + struct.calcsize(code)
        end = places + 1 + table[places] * (2 if wide else 1)
        rows[item] = table[at:end]
        at = end
    return rows


def _places(table: bytes, row: bytes) -> list[int]:
    """The places, from 1, of an item's properties."""
    after = row[2 if table[0] < 1 else 4 :]
    wide = table[3] & 1
    found = struct.unpack_from(f">{after[0]}{'H' if wide else 'B'}", after, 1)
    return [place & (0x7FFF if wide else 0x7F) for place in found]
