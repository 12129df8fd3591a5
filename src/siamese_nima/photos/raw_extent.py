"""How far a camera raw file should reach; LibRaw takes files that were cut off as they are."""

import struct

from siamese_nima.photos import tiff_extent

_BOX_FILE = b"ftypcrx "
_FUJIFILM = b"FUJIFILMCCD-RAW"
# Offset and length of the preview, of the metadata and of the sensor's picture, big-endian.
_FUJIFILM_PARTS = struct.Struct(">6I")
_FUJIFILM_PARTS_AT = 84


def ends_early(contents: bytes) -> bool:
    """Whether camera raw refers to bytes after its end: TIFF-like kinds, Canon CR3, Fujifilm RAF.

    Other files, and structures that cannot be followed, are left to their reader.
    """
    if contents.startswith(_BOX_FILE, 4):
        return _boxes_end_early(contents)
    if contents.startswith(_FUJIFILM):
        return _fujifilm_ends_early(contents)
    return tiff_extent.ends_early(contents)


def _boxes_end_early(contents: bytes) -> bool:
    """Whether a file of boxes (ISO/IEC 14496-12, section 4.2) lacks bytes of one, or its pixels."""
    at, pixels = 0, False
    while at < len(contents):
        if at + 8 > len(contents):
            return True
        size, kind = struct.unpack_from(">I4s", contents, at)
        header = 8
        if size == 1:
            header = 16
            if at + header > len(contents):
                return True
            (size,) = struct.unpack_from(">Q", contents, at + 8)
        pixels |= kind == b"mdat"
        if size == 0:  # to the end of the file, wherever that is
            return not pixels
        if size < header:
            return False
        at += size
    return at > len(contents) or not pixels


def _fujifilm_ends_early(contents: bytes) -> bool:
    if len(contents) < _FUJIFILM_PARTS_AT + _FUJIFILM_PARTS.size:
        return True
    numbers = _FUJIFILM_PARTS.unpack_from(contents, _FUJIFILM_PARTS_AT)
    parts = zip(numbers[::2], numbers[1::2], strict=True)
    return any(at + length > len(contents) for at, length in parts)
