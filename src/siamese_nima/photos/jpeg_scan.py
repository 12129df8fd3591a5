"""Damage inside a JPEG file, which libjpeg paints over without Pillow hearing of it."""

import re

_START_OF_SCAN, _END = 0xDA, 0xD9
_SEQUENTIAL = {0xC0, 0xC1}
_HUFFMAN_TABLES = 0xC4
# Segments that may stand between two scans: DHT, DAC, EOI, SOS, DQT, DNL, DRI, COM, APP0 to APP15.
_AFTER_SCAN = {_HUFFMAN_TABLES, 0xCC, _END, _START_OF_SCAN, 0xDB, 0xDC, 0xDD, 0xFE}
_AFTER_SCAN |= set(range(0xE0, 0xF0))
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {_HUFFMAN_TABLES, 0xC8, 0xCC}
_JPEG_LS = 0xF7
_HOLE = bytes(1024)
_MARKER = re.compile(rb"\xff[^\xff]")
# In coded data a byte FF is followed by 00, or belongs to a restart marker.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def damage_in_scans(contents: bytes) -> str | None:
    """What cannot be right in the coded pixels of a JPEG file; None if nothing is seen.

    Two traces of overwritten data are looked for, at some 0.4 ms a megabyte: markers that cannot
    stand there, where decoders stop and leave the rest of the photo grey; and holes, blocks of
    zeros where the Huffman tables make zeros nonsense, or to the end of the file. Damage that
    leaves neither trace is not found; it would take a decoder that reports its warnings, and those
    come with sound photos too.

    Args:
        contents: The whole file, beginning with its SOI marker.
    """
    position, sequential, zeros_mean_nothing = 2, False, True
    while True:
        marked = _MARKER.search(contents, position)
        if marked is None or marked.end() + 2 > len(contents) or contents[marked.end() - 1] == _END:
            return None
        position = marked.end() - 2
        marker = contents[position + 1]
        end = position + 2 + int.from_bytes(contents[position + 2 : position + 4])
        sequential |= marker in _SEQUENTIAL
        if marker == _HUFFMAN_TABLES:
            zeros_mean_nothing &= _zeros_mean_nothing(contents[position + 4 : end])
        position = end
        if marker != _START_OF_SCAN:
            continue
        marked = _MARKER_IN_SCAN.search(contents, end)
        scan_end = marked.start() if marked else len(contents)
        hole = -1
        if sequential and not zeros_mean_nothing:
            hole = contents.find(_HOLE, end, scan_end)
        elif marked is None and contents.endswith(_HOLE):  # a copy that was broken off
            hole = len(contents.rstrip(b"\0"))
        if hole >= 0:
            length = scan_end - hole - len(contents[hole:scan_end].lstrip(b"\0"))
            return f"damaged: a hole of {length} bytes at byte {hole}"
        if marked is not None and contents[scan_end + 1] not in _AFTER_SCAN:
            return f"damaged: the picture breaks off at byte {scan_end}"
        position = scan_end


def unsupported_kind(contents: bytes) -> str | None:
    """In words what no decoder here reads of JPEG; None for all else.

    Args:
        contents: The file, or as much of it as holds its head, beginning with its SOI marker.
    """
    position = 2
    while marked := _MARKER.search(contents, position):
        position, marker = marked.end(), contents[marked.end() - 1]
        if marker in _FRAMES:
            depth = contents[position + 2] if len(contents) > position + 2 else 8
            if marker == _JPEG_LS:
                return "as JPEG-LS"
            return None if depth == 8 else f"with {depth} bits a channel"
        position += int.from_bytes(contents[position : position + 2])
    return None


def _zeros_mean_nothing(tables: bytes) -> bool:
    """Whether the shortest code of every table, which is all zeros, means "no change".

    A flat area may then be coded as a long row of zeros.
    """
    start = 0
    while start + 17 < len(tables):
        if tables[start + 17]:
            return False
        start += 17 + sum(tables[start + 1 : start + 17])
    return True
