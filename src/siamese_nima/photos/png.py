"""What Pillow's PNG reader needs help with: long text, long profiles, colours told by numbers."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OLD_EXIF, _XMP = b"Raw profile type APP1", b"XML:com.adobe.xmp"
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
_MAX_TEXT_BYTES = 1 << 20  # Pillow refuses the whole photo above this
_MAX_ALL_TEXT_BYTES = 32 << 20
_MAX_PROFILE_BYTES = 16 << 20
_MAX_CHUNKS = 1_000_000


@dataclass(frozen=True, slots=True)
class Png:
    """A PNG file as Pillow takes it.

    Attributes:
        stream: The file, without text and profiles that Pillow would refuse it for.
        profile: The ICC profile, where it was left out for its length.
        coded: Numbers of primaries and of the transfer curve (ITU-T H.273), of a cICP chunk.
        gamma: Of a gAMA chunk where nothing else says what the numbers mean.
        primaries: Chromaticities of red, green, blue and white, of a cHRM chunk.
        exif: Of text that Pillow does not know for EXIF.
        xmp: Where it was left out for its length, as much as is wanted of text.
    """

    stream: BinaryIO
    profile: bytes | None = None
    coded: tuple[int, int] | None = None
    gamma: float | None = None
    primaries: tuple[tuple[float, float], ...] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def prepared(stream: BinaryIO) -> Png:
    """Look through the chunks of a PNG file; damage is for its reader to say."""
    stream.seek(len(SIGNATURE))
    left_out: list[tuple[int, int]] = []
    profile, coded, gamma, at, text = None, None, None, len(SIGNATURE), 0
    primaries, exif, xmp = None, None, None
    kinds = set()
    for _ in range(_MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        end = at + 12 + length
        kinds.add(kind)
        if kind == b"gAMA" and length == 4:
            gamma = int.from_bytes(stream.read(4)) / 100_000
        elif kind == b"cHRM" and length == 32:
            numbers = [number / 100_000 for number in struct.unpack(">8I", stream.read(32))]
            white, *others = zip(numbers[::2], numbers[1::2], strict=True)
            primaries = (*others, white)
        elif kind == b"cICP" and length == 4:
            content = stream.read(4)
            coded = (content[0], content[1])
        elif kind in _COMPRESSED or kind == b"tEXt":
            content = stream.read(min(length, _MAX_PROFILE_BYTES))
            inflated = _inflated(kind, content)
            text += 0 if kind == b"iCCP" else len(inflated or content)
            long = text > _MAX_ALL_TEXT_BYTES or length > _MAX_PROFILE_BYTES
            if inflated is not None and len(inflated) > _MAX_TEXT_BYTES:
                long = True
                if kind == b"iCCP" and len(inflated) <= _MAX_PROFILE_BYTES:
                    profile = inflated
            keyword = content[:80].partition(b"\0")[0]
            if keyword == _OLD_EXIF:
                exif = profile_in_text(inflated or content[len(keyword) + 1 :])
            if long:
                left_out.append((at, end))
                xmp = inflated or content if keyword == _XMP else xmp
        if kind == b"IEND":
            break
        at = end
        stream.seek(at)
    if kinds & {b"sRGB", b"iCCP", b"cICP"}:
        gamma = None
    left = _without(stream, left_out) if left_out else stream
    return Png(left, profile, coded, gamma, primaries, exif, xmp)


def profile_in_text(text: bytes) -> bytes | None:
    """A block as ImageMagick writes it: what it is, how long, hexadecimal digits, each on lines."""
    lines = text.split(b"\n", 3)
    try:
        return bytes.fromhex(lines[3].decode("ascii"))
    except (IndexError, ValueError):
        return None


def _inflated(kind: bytes, content: bytes) -> bytes | None:
    """The text or profile of a compressed chunk, up to a byte more than is ever wanted."""
    _, _, rest = content.partition(b"\0")
    if kind == b"tEXt":
        return None
    if kind == b"iTXt":
        compressed, rest = rest[:1] == b"\1", rest[2:]
        for _ in range(2):  # language and translated keyword
            _, _, rest = rest.partition(b"\0")
        if not compressed:
            return None
    else:
        rest = rest[1:]
    limit = _MAX_PROFILE_BYTES if kind == b"iCCP" else _MAX_TEXT_BYTES
    try:
        return zlib.decompressobj().decompress(rest, limit + 1)
    except zlib.error:
        return None


def _without(stream: BinaryIO, parts: list[tuple[int, int]]) -> BinaryIO:
    stream.seek(0)
    contents, kept, at = stream.read(), [], 0
    for start, end in parts:
        kept.append(contents[at:start])
        at = end
    return BytesIO(b"".join([*kept, contents[at:]]))
