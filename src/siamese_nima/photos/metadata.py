"""EXIF and XMP blocks in files of any photo format, read without decoding a picture.

Only headers and the blocks themselves are read, and no block beyond a bound, so that neither a
camera raw file of 100 MB nor a file made to fill the memory costs much.

Reference:
    TIFF 6.0; CIPA DC-008 (Exif 2.32); ISO 16684-1 and Adobe, "XMP specification, part 3: storage in
    files"; ISO/IEC 23008-12 (HEIF); ISO/IEC 18181-2 (JPEG XL). Fujifilm RAF, Minolta MRW, Panasonic
    RW2, Olympus ORF and Canon CR3 as ExifTool documents them.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from siamese_nima.photos import png
from siamese_nima.photos.formats import RAW_EXTENSIONS

MAKE, MODEL, XMP_PACKET, RATING, RATING_PERCENT = 271, 272, 700, 0x4746, 0x4749
TIME, TIME_FRACTION, TIME_ZONE, SERIAL_NUMBER = 36867, 37521, 36881, 42033
COLOUR_SPACE, INTEROP_INDEX = 40961, 1
_EXIF_IFD, _INTEROP_IFD, _JPEG_IN_RAW = 34665, 40965, 0x2E
_WANTED = frozenset(
    (
        *(MAKE, MODEL, XMP_PACKET, RATING, RATING_PERCENT, _EXIF_IFD, _JPEG_IN_RAW),
        *(TIME, TIME_FRACTION, TIME_ZONE, SERIAL_NUMBER),
        *(COLOUR_SPACE, INTEROP_INDEX, _INTEROP_IFD),
    )
)

_LARGEST = 16 << 20  # bytes of one block
# Of one file: blocks can overlap, and point in circles.
_MOST_BYTES, _MOST_READS = 64 << 20, 300_000
_LONGEST_LIST = 1 << 20  # bytes of a list of places
_PACKED_PIECE = 256  # bytes that are unpacked at a time
_MOST = 10_000  # entries of a list, boxes of a box: more is no photo but an attack
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_JP2_EXIF_UUID = b"JpgTiffExif->JP2"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_RIFF, _PNG = b"RIFF", b"\x89PNG\r\n\x1a\n"
_WITHOUT_METADATA = (b"BM", b"qoif", b"\xff\x0a", b"\xff\x4f\xff\x51")
_EXIFTOOL_TAGS = {
    "Rating": RATING,
    "RatingPercent": RATING_PERCENT,
    "Make": MAKE,
    "Model": MODEL,
    "DateTimeOriginal": TIME,
    "SubSecTimeOriginal": TIME_FRACTION,
    "OffsetTimeOriginal": TIME_ZONE,
    "SerialNumber": SERIAL_NUMBER,
}


@dataclass(slots=True)
class Metadata:
    """What a photo file says beside its picture.

    Attributes:
        tags: EXIF tags that are wanted here, of the main picture and its exposure, by number:
            whole numbers, or text.
        xmp: XMP packets, as they are; the main one first.
        complete: Whether all that the file can say was looked at. False for damaged files, and for
            formats that keep metadata where nothing installed here can read them.
    """

    tags: dict[int, int | str] = field(default_factory=dict)
    xmp: list[bytes] = field(default_factory=list)
    complete: bool = True


def read_metadata(path: str | os.PathLike[str]) -> Metadata:
    """The metadata of a photo file; what cannot be read is not in it.

    Formats that are not read here are left to ExifTool where it is installed.
    """
    found = Metadata()
    try:
        with Path(path).open("rb") as file:
            known = _read(_Bytes(file), found)
        if not known and Path(path).suffix.lower() in RAW_EXTENSIONS:
            found.complete = False
    except OSError:
        return Metadata(complete=False)
    # Damaged files break every rule of their formats.
    except (ValueError, LookupError, struct.error, zlib.error, RecursionError):
        found.complete = False
    return found if found.complete else _by_exiftool(Path(path), found)


def metadata_of(contents: bytes) -> Metadata:
    """The metadata of a photo file that is in memory, as far as they are read here."""
    found = Metadata()
    try:
        _read(_Bytes(BytesIO(contents)), found)
    except (ValueError, LookupError, struct.error, zlib.error, RecursionError):
        found.complete = False
    return found


class _Bytes:
    """A file, or a part of one, read piece by piece at offsets from its start."""

    def __init__(
        self,
        file: BinaryIO,
        start: int = 0,
        end: int | None = None,
        spent: list[int] | None = None,
    ) -> None:
        self._file = file
        self._start = start
        self._end = file.seek(0, os.SEEK_END) if end is None else end
        # Bytes and reads, of the whole file.
        self._spent = [0, 0] if spent is None else spent

    def __len__(self) -> int:
        return max(0, self._end - self._start)

    def at(self, offset: int, count: int) -> bytes:
        """Bytes; fewer at the end.

        Raises:
            ValueError: More than any block has, or than blocks of a file have together.
        """
        if count > _LARGEST or offset < 0:
            raise ValueError("a block without measure")
        self._file.seek(self._start + offset)
        return self.spend(self._file.read(max(0, min(count, len(self) - offset))))

    def spend(self, content: bytes) -> bytes:
        """Count bytes of this file that were read or unpacked, against the bound of all."""
        self._spent[0] += len(content)
        self._spent[1] += 1
        if self._spent[0] > _MOST_BYTES or self._spent[1] > _MOST_READS:
            raise ValueError("more metadata than any photo has")
        return content

    def part(self, offset: int, count: int | None = None) -> _Bytes:
        """The bytes from an offset on, no further than these."""
        start = self._start + offset
        end = self._end if count is None else min(self._end, start + count)
        return _Bytes(self._file, start, end, self._spent)

    def of(self, content: bytes) -> _Bytes:
        """Bytes that were unpacked from these."""
        return _Bytes(BytesIO(content), 0, len(content), self._spent)

    def number(self, offset: int, form: str) -> int:
        """A whole number, in the form that `struct` knows."""
        (value,) = struct.unpack(form, self.at(offset, struct.calcsize(form)))
        return int(value)

    def all(self) -> bytes:
        """All of them, within the bound of a block."""
        return self.at(0, len(self))


def _read(data: _Bytes, found: Metadata) -> bool:
    """Whether the format is one that is read here."""
    head = data.at(0, 16)
    for signature, reader in _READERS.items():
        if head.startswith(signature):
            reader(data, found)
            return True
    if head[4:8] == b"ftyp":
        (_cr3 if head[8:12] == b"crx " else _heif)(data, found)
        return True
    return head.startswith(_WITHOUT_METADATA) or (head[:1] == b"P" and head[1:2] in b"1234567")


def _keep(found: Metadata, tag: int, value: int | str) -> None:
    found.tags.setdefault(tag, value)


def _jpeg(data: _Bytes, found: Metadata) -> None:
    place, extended = 2, bytearray()
    while True:
        marker = data.at(place, 4)
        if len(marker) < 4 or marker[0] != 0xFF:
            break
        if marker[1] == 0xFF:  # a fill byte
            place += 1
            continue
        length = int.from_bytes(marker[2:], "big")
        if marker[1] in (0xDA, 0xD9) or length < 2:
            break
        if marker[1] == 0xE1:
            _app1(data.part(place + 4, length - 2), found, extended)
        place += 2 + length
    if extended:
        found.xmp.append(bytes(extended))


def _app1(segment: _Bytes, found: Metadata, extended: bytearray) -> None:
    head = segment.at(0, 64)
    if head.startswith(b"Exif\0"):
        _tiff(segment.part(6), found)
    elif head.startswith(_EXTENDED_XMP):
        # Its own name, the length of all parts and the place of this one come before.
        extended += segment.at(len(_EXTENDED_XMP) + 40, len(segment))
    elif head.startswith((b"http://ns.adobe.com/xap/", b"<?xpacket", b"<x:xmpmeta")):
        _, zero, packet = segment.all().partition(b"\0")
        found.xmp.append(packet if zero else segment.all())


def _tiff(data: _Bytes, found: Metadata) -> None:
    """Varieties of TIFF, camera raw with numbers of their own in place of 42 among them."""
    order = "<" if data.at(0, 2) == b"II" else ">"
    big = data.number(2, f"{order}H") == 43
    waiting = [data.number(8, f"{order}Q") if big else data.number(4, f"{order}I")]
    seen: set[int] = set()
    while waiting and len(seen) < 16:
        place = waiting.pop(0)
        if place and place not in seen:
            seen.add(place)
            waiting += _directory(data, place, order, big, found)


def _directory(data: _Bytes, place: int, order: str, big: bool, found: Metadata) -> list[int]:
    """Read a directory; gives those that it leads to, of the exposure first."""
    if place >= len(data):
        found.complete = False
        return []
    size, wide = (20, "Q") if big else (12, "I")
    count = data.number(place, f"{order}{'Q' if big else 'H'}")
    first = place + (8 if big else 2)
    if count > _MOST:
        raise ValueError("a directory without measure")
    entries = data.at(first, count * size)
    below: list[int] = []
    for start in range(0, len(entries) - size + 1, size):
        tag, kind = struct.unpack_from(f"{order}HH", entries, start)
        if tag not in _WANTED or kind not in _SIZES:
            continue
        (number,) = struct.unpack_from(f"{order}{wide}", entries, start + 4)
        length, inside = number * _SIZES[kind], size - struct.calcsize(f"{order}HH{wide}")
        where = first + start + size - inside
        if length > inside:
            where = data.number(where, f"{order}{wide}")
        if tag == _JPEG_IN_RAW:
            _jpeg(data.part(where, length), found)
        elif tag == XMP_PACKET:
            found.xmp.append(data.at(where, length))
        elif tag in (_EXIF_IFD, _INTEROP_IFD):
            below.append(data.number(where, f"{order}{_CODES[kind]}"))
        elif tag == INTEROP_INDEX:  # other directories have other things at that number
            text = _text(data.at(where, length))
            if kind == 2 and text.startswith("R"):
                _keep(found, tag, text)
        elif kind in (2, 7):
            _keep(found, tag, _text(data.at(where, length)))
        elif number:
            _keep(found, tag, data.number(where, f"{order}{_CODES[kind]}"))
    following = data.at(first + count * size, 8 if big else 4)
    if len(following) == (8 if big else 4):
        below.append(struct.unpack(f"{order}{wide}", following)[0])
    return below


# Bytes of a value of each type, and how `struct` calls those that are whole numbers.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


def _text(value: bytes) -> str:
    """EXIF text without the zeros and blanks that cameras fill it up with."""
    return value.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _exif_block(block: _Bytes, found: Metadata) -> None:
    """TIFF, with or without the words that start it in a JPEG."""
    _tiff(block.part(6) if block.at(0, 6) == b"Exif\0\0" else block, found)


def _fujifilm(data: _Bytes, found: Metadata) -> None:
    _jpeg(data.part(data.number(84, ">I"), data.number(88, ">I")), found)


def _minolta(data: _Bytes, found: Metadata) -> None:
    place, end = 8, 8 + data.number(4, ">I")
    while place < min(end, len(data)):
        name, length = data.at(place, 4), data.number(place + 4, ">I")
        if name == b"\0TTW":
            _tiff(data.part(place + 8, length), found)
        place += 8 + length


def _png(data: _Bytes, found: Metadata) -> None:
    place = 8
    while place + 8 <= len(data):
        length, name = data.number(place, ">I"), data.at(place + 4, 4)
        block = data.part(place + 8, length)
        if name == b"eXIf":
            _exif_block(block, found)
        elif name in (b"iTXt", b"zTXt", b"tEXt"):
            keyword = block.at(0, 80).partition(b"\0")[0]
            if keyword == b"XML:com.adobe.xmp" or keyword.startswith(b"Raw profile type "):
                _png_text(keyword, name, block, found)
        elif name == b"IEND":
            return
        place += 12 + length
    found.complete = False


def _png_text(keyword: bytes, name: bytes, block: _Bytes, found: Metadata) -> None:
    rest = block.all()[len(keyword) + 1 :]
    packed = name == b"zTXt"
    if name == b"iTXt":
        packed = rest[0] == 1
        rest = rest[2:].split(b"\0", 2)[2]
    elif packed:
        rest = rest[1:]
    text = block.spend(zlib.decompressobj().decompress(rest, _LARGEST)) if packed else rest
    if keyword == b"XML:com.adobe.xmp":
        found.xmp.append(text)
        return
    kind, content = keyword.rpartition(b" ")[2], png.profile_in_text(text)
    if kind in (b"exif", b"APP1", b"xmp"):
        if content is None:
            raise ValueError("a block in text that is no text of numbers")
        if kind == b"xmp" or content.startswith(b"http://ns.adobe.com/xap/"):
            found.xmp.append(content.partition(b"\0")[2] if b"\0" in content[:64] else content)
        else:
            _exif_block(block.of(content), found)


def _webp(data: _Bytes, found: Metadata) -> None:
    place = 12
    while place + 8 <= len(data):
        name, length = data.at(place, 4), data.number(place + 4, "<I")
        if name == b"EXIF":
            _exif_block(data.part(place + 8, length), found)
        elif name == b"XMP ":
            found.xmp.append(data.at(place + 8, length))
        place += 8 + length + length % 2


def _gif(data: _Bytes, found: Metadata) -> None:
    flags = data.at(10, 1)[0]
    place = 13 + (3 << ((flags & 7) + 1) if flags & 128 else 0)
    while place < len(data):
        block = data.at(place, 14)
        if block[:1] == b"\x2c":  # a picture, its colours, and its smallest code
            flags = data.at(place + 9, 1)[0]
            place += 11 + (3 << ((flags & 7) + 1) if flags & 128 else 0)
        elif block[:1] == b"\x21":
            place += 2
        else:
            return
        start, place = place, _after_blocks(data, place)
        if block[3:14] == b"XMP DataXMP":
            # A packet is not cut into blocks; 258 bytes after it lead any reader to its end.
            found.xmp.append(data.at(start + 12, place - start - 12)[:-258])


def _after_blocks(data: _Bytes, place: int) -> int:
    while length := data.at(place, 1):
        place += 1 + length[0]
        if not length[0]:
            break
    return place


def _photoshop(data: _Bytes, found: Metadata) -> None:
    start = 30 + data.number(26, ">I")
    place, end = start + 4, start + 4 + data.number(start, ">I")
    while place + 12 <= min(end, len(data)):
        number = data.number(place + 4, ">H")
        name_length = data.at(place + 6, 1)[0]
        place += 6 + (name_length + 2) // 2 * 2
        length = data.number(place, ">I")
        if number in (1058, 1059):
            _exif_block(data.part(place + 4, length), found)
        elif number == 1060:
            found.xmp.append(data.at(place + 4, length))
        place += 4 + length + length % 2


def _boxes(data: _Bytes) -> Iterator[tuple[bytes, _Bytes]]:
    """The boxes of an ISO base media file, and of a box in it."""
    place = 0
    for _ in range(_MOST):
        if place + 8 > len(data):
            return
        length, name, header = data.number(place, ">I"), data.at(place + 4, 4), 8
        if length == 1:
            length, header = data.number(place + 8, ">Q"), 16
        elif length == 0:
            length = len(data) - place
        if length < header:
            raise ValueError("a box shorter than its head")
        yield name, data.part(place + header, length - header)
        place += length
    raise ValueError("boxes without end")


def _cr3(data: _Bytes, found: Metadata) -> None:
    for name, box in _boxes(data):
        if name == b"uuid" and box.at(0, 16) == _XMP_UUID:
            found.xmp.append(box.part(16).all())
        elif name == b"moov":
            for inner_name, inner in _boxes(box):
                if inner_name == b"uuid" and inner.at(0, 16) == _CANON_UUID:
                    for kind, block in _boxes(inner.part(16)):
                        if kind in (b"CMT1", b"CMT2"):
                            _tiff(block, found)


def _boxed(data: _Bytes, found: Metadata) -> None:
    """JPEG 2000 and JPEG XL."""
    for name, box in _boxes(data):
        if name == b"brob":
            _packed_box(box, found)
        elif name == b"Exif":
            _exif_block(box.part(4 + box.number(0, ">I")), found)
        elif name == b"xml " or (name == b"uuid" and box.at(0, 16) == _XMP_UUID):
            content = box.part(0 if name == b"xml " else 16).all()
            if name == b"uuid" or b"rdf-syntax-ns#" in content:
                found.xmp.append(content)
        elif name == b"uuid" and box.at(0, 16) == _JP2_EXIF_UUID:
            _exif_block(box.part(16), found)


def _packed_box(box: _Bytes, found: Metadata) -> None:
    """A box of JPEG XL that Brotli has made smaller."""
    name = box.at(0, 4)
    if name not in (b"Exif", b"xml "):
        return
    try:
        decompressor, unpacked = importlib.import_module("brotli").Decompressor(), b""
        for place in range(4, len(box), _PACKED_PIECE):
            unpacked += decompressor.process(box.at(place, _PACKED_PIECE))
            if len(unpacked) > _LARGEST:
                raise ValueError("a block without measure")
    except Exception:  # not installed, or damaged
        found.complete = False
        return
    if name == b"xml ":
        found.xmp.append(unpacked)
    else:
        _exif_block(box.of(unpacked[4 + int.from_bytes(unpacked[:4], "big") :]), found)


def _heif(data: _Bytes, found: Metadata) -> None:
    """HEIF and AVIF: metadata are items beside the picture, found by a list of places."""
    for name, meta in _boxes(data):
        if name == b"meta":
            boxes = dict(_boxes(meta.part(4)))
            kinds = dict(_item_kinds(boxes[b"iinf"])) if b"iinf" in boxes else {}
            for item, content in _items(data, boxes, kinds.keys()):
                if kinds[item] == b"Exif":
                    start = int.from_bytes(content[:4], "big")
                    _exif_block(data.of(content[4 + start :]), found)
                else:
                    found.xmp.append(content)


def _item_kinds(box: _Bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers of the items that are EXIF or XMP, and which they are."""
    wide = box.at(0, 1)[0] > 0
    for name, entry in _boxes(box.part(8 if wide else 6)):
        version = entry.at(0, 1)[0]
        if name == b"infe" and version >= 2:
            item = entry.number(4, ">H" if version == 2 else ">I")
            kind, _, rest = entry.at(8 if version == 2 else 10, 200).partition(b"\0")
            if kind[:4] == b"Exif":
                yield item, b"Exif"
            elif kind[:4] == b"mime" and rest.startswith(b"application/rdf+xml"):
                yield item, b"mime"


def _items(
    data: _Bytes, boxes: dict[bytes, _Bytes], wanted: Collection[int]
) -> Iterator[tuple[int, bytes]]:
    places = boxes.get(b"iloc")
    if places is None:
        return
    table = places.at(0, min(len(places), _LONGEST_LIST))
    version = table[0]
    offset_size, length_size = table[4] >> 4, table[4] & 15
    base_size, index_size = table[5] >> 4, table[5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    place = 6 + wide

    def take(size: int) -> int:
        nonlocal place
        place += size
        if place > len(table):
            raise ValueError("a list of places that is cut off")
        return int.from_bytes(table[place - size : place], "big")

    for _ in range(int.from_bytes(table[6 : 6 + wide], "big")):
        item = take(wide)
        method = take(2) & 15 if version else 0
        take(2)
        base = take(base_size)
        parts = []
        for _ in range(take(2)):
            take(index_size)
            parts.append((base + take(offset_size), take(length_size)))
        if item in wanted and method in (0, 1):
            source = data if method == 0 else boxes[b"idat"]
            yield item, b"".join(source.at(*part) for part in parts)


_READERS: dict[bytes, Callable[[_Bytes, Metadata], None]] = {
    b"\xff\xd8": _jpeg,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    **dict.fromkeys((b"IIRO", b"IIRS", b"MMOR", b"IIU\0"), _tiff),
    b"FUJIFILMCCD-RAW": _fujifilm,
    b"\0MRM": _minolta,
    _PNG: _png,
    _RIFF: _webp,
    b"GIF8": _gif,
    b"8BPS": _photoshop,
    b"\0\0\0\x0cJXL ": _boxed,
    b"\0\0\0\x0cjP  ": _boxed,
}


def _by_exiftool(path: Path, found: Metadata) -> Metadata:
    """What ExifTool finds, if it is installed and can read the file; else what was found here."""
    program = shutil.which("exiftool")
    if program is None:
        return found
    command = [program, "-json", "-n", "-warning", *(f"-{name}" for name in _EXIFTOOL_TAGS)]
    try:
        done = subprocess.run(
            [*command, os.path.abspath(path)],  # noqa: PTH100 -- keeps a link; never an option
            capture_output=True,
            timeout=30,
            check=True,
        )
        [read] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return found
    if "Install" in str(read.get("Warning")):  # a module of its own that it lacks
        return found
    for name, tag in _EXIFTOOL_TAGS.items():
        value = read.get(name)
        if value is not None:
            _keep(found, tag, value if isinstance(value, int) else str(value))
    found.complete = True
    return found
