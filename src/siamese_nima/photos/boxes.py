"""Boxes: the structure that HEIF, AVIF, JPEG 2000 and Canon CR3 share (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

Box: TypeAlias = tuple[bytes, bytes]

_MAX_BOXES = 4096


def boxes(contents: bytes) -> Iterator[Box]:
    """Kind and content of each box, one after the other; ends where the structure does."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > len(contents):
            return
        size, kind = struct.unpack_from(">I4s", contents, at)
        head = 8
        if size == 1 and at + 16 <= len(contents):
            head = 16
            (size,) = struct.unpack_from(">Q", contents, at + 8)
        end = len(contents) if size == 0 else at + size
        if end < at + head:
            return
        yield kind, contents[at + head : end]
        at = end


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
        associations = find(meta, b"iprp", b"ipma") or b""
        return [known[place - 1] for place in _associated(associations, item)]
    except (IndexError, struct.error):
        return []


def _associated(table: bytes, wanted: int) -> list[int]:
    """The places, from 1, of an item's properties in an `ipma` box."""
    version, wide = table[0], table[3] & 1
    (count,) = struct.unpack_from(">I", table, 4)
    at = 8
    for _ in range(min(count, len(table))):
        code = ">H" if version < 1 else ">I"
        (item,) = struct.unpack_from(code, table, at)
        at += struct.calcsize(code)
        places = table[at]
        at += 1
        code = f">{places}{'H' if wide else 'B'}"
        found = struct.unpack_from(code, table, at)
        at += struct.calcsize(code)
        if item == wanted:
            return [place & (0x7FFF if wide else 0x7F) for place in found]
    return []
