"""Files of every photo format that hold metadata and little else."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
XMP_TEMPLATE = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{}"/></rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
)


def xmp(rating: object) -> bytes:
    return XMP_TEMPLATE.format(rating).encode()


def directory(entries: dict[int, bytes | int | str], at: int, order: str, following: int = 0):
    """An IFD that stands at an offset, and after it what does not fit into it."""
    body, beyond = struct.pack(f"{order}H", len(entries)), b""
    after = at + 2 + 12 * len(entries) + 4
    for tag, value in sorted(entries.items()):
        kind = 1 if isinstance(value, bytes) else 2 if isinstance(value, str) else 4
        content = value if isinstance(value, bytes) else None
        content = value.encode() + b"\0" if isinstance(value, str) else content
        content = struct.pack(f"{order}I", value) if isinstance(value, int) else content
        count = 1 if isinstance(value, int) else len(content)
        body += struct.pack(f"{order}HHI", tag, kind, count)
        if len(content) <= 4:
            body += content.ljust(4, b"\0")
        else:
            body += struct.pack(f"{order}I", after + len(beyond))
            beyond += content + b"\0" * (len(content) % 2)
    return body + struct.pack(f"{order}I", following) + beyond


def tiff(
    main: dict[int, bytes | int | str],
    exposure: dict[int, str] | None = None,
    *,
    order: str = "<",
    magic: bytes | None = None,
) -> bytes:
    """A TIFF; `magic` stands in place of the order and the number 42."""
    magic = magic or (b"II*\0" if order == "<" else b"MM\0*")
    main = {271: "Maker", 272: "Model X", **main}
    if exposure:
        main[34665] = 0
        main[34665] = 8 + len(directory(main, 8, order))
    first = directory(main, 8, order)
    second = directory(exposure, 8 + len(first), order) if exposure else b""
    return magic + struct.pack(f"{order}I", 8) + first + second


TIME = {36867: "2026:05:01 12:00:00", 37521: "25"}


def block(exif: dict[int, int]) -> bytes:
    return tiff(exif, TIME)


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def jpeg(exif: bytes | None, packet: bytes | None) -> bytes:
    made = b"\xff\xd8"
    if exif:
        made += segment(b"Exif\0\0" + exif)
    if packet:
        made += segment(b"http://ns.adobe.com/xap/1.0/\0" + packet)
    return made + b"\xff\xda\0\x02\xff\xd9"


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(exif: bytes | None, packet: bytes | None) -> bytes:
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    made += chunk(b"IDAT", zlib.compress(b"\0\0"))
    if exif:
        made += chunk(b"eXIf", exif)
    if packet:
        made += chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet))
    return made + chunk(b"IEND", b"")


def png_raw_profile(exif: bytes | None, packet: bytes | None) -> bytes:
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    for name, content in ((b"exif", exif and b"Exif\0\0" + exif), (b"xmp", packet)):
        if content:
            text = b"\n%s\n%8d\n%s\n" % (name, len(content), content.hex().encode())
            made += chunk(b"zTXt", b"Raw profile type " + name + b"\0\0" + zlib.compress(text))
    made += chunk(b"IDAT", zlib.compress(b"\0\0"))
    return made + chunk(b"IEND", b"")


def webp(exif: bytes | None, packet: bytes | None) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<IB9x", 10, 12)
    for name, content in ((b"EXIF", exif), (b"XMP ", packet)):
        if content:
            body += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif(exif: bytes | None, packet: bytes | None) -> bytes:  # has no place for EXIF
    made = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    made += b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    if packet:
        trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
        made += b"\x21\xff\x0bXMP DataXMP" + packet + trailer
    return made + b"\x3b"


def psd(exif: bytes | None, packet: bytes | None) -> bytes:
    resources = b""
    for number, content in ((1058, exif), (1060, packet)):
        if content:
            resources += b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content
            resources += b"\0" * (len(content) % 2)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 1, 1, 8, 1)
    return head + struct.pack(">II", 0, len(resources)) + resources + struct.pack(">IHB", 0, 0, 0)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def jp2(exif: bytes | None, packet: bytes | None) -> bytes:
    made = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    if exif:
        made += box(b"uuid", b"JpgTiffExif->JP2" + exif)
    if packet:
        made += box(b"uuid", XMP_UUID + packet)
    return made


def jxl(exif: bytes | None, packet: bytes | None) -> bytes:
    made = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    if exif:
        made += box(b"Exif", b"\0\0\0\0" + exif)
    if packet:
        made += box(b"xml ", packet)
    return made


def cr3(exif: bytes | None, packet: bytes | None) -> bytes:
    made = box(b"ftyp", b"crx \0\0\0\1crx isom")
    if exif:
        made += box(b"moov", box(b"uuid", CANON_UUID + box(b"CMT1", exif)))
    if packet:
        made += box(b"uuid", XMP_UUID + packet)
    return made


def heic(exif: bytes | None, packet: bytes | None, brand: bytes = b"heic") -> bytes:
    """Metadata in items, whose list of places begins with offsets into the file."""
    contents = [(b"Exif\0", b"\0\0\0\6Exif\0\0" + exif)] if exif else []
    if packet:
        contents.append((b"mime\0application/rdf+xml\0", packet))
    head = box(b"ftyp", brand + b"\0\0\0\0mif1" + brand)

    def meta(start: int) -> bytes:
        infos, places = b"", b""
        for item, (kind, content) in enumerate(contents, start=1):
            named = kind[:4] + b"\0" + kind[5:]
            infos += box(b"infe", b"\2\0\0\0" + struct.pack(">HH", item, 0) + named)
            places += struct.pack(">HHHII", item, 0, 1, start, len(content))
            start += len(content)
        handler = box(b"hdlr", bytes(8) + b"pict" + bytes(13))
        count = struct.pack(">H", len(contents))
        iinf = box(b"iinf", bytes(4) + count + infos)
        iloc = box(b"iloc", bytes(4) + b"\x44\0" + count + places)
        return box(b"meta", bytes(4) + handler + iinf + iloc)

    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", b"".join(content for _, content in contents))


def avif(exif: bytes | None, packet: bytes | None) -> bytes:
    return heic(exif, packet, b"avif")


def raf(exif: bytes | None, packet: bytes | None) -> bytes:
    preview = jpeg(exif, packet)
    head = b"FUJIFILMCCD-RAW 0201FF383501".ljust(84, b"\0")
    return head + struct.pack(">II", 100, len(preview)) + bytes(8) + preview


def mrw(exif: bytes | None, packet: bytes | None) -> bytes:
    content = tiff({700: packet}, TIME, order=">") if packet else exif
    blocks = b"\0PRD" + struct.pack(">I", 24) + bytes(24)
    blocks += b"\0TTW" + struct.pack(">I", len(content)) + content
    return b"\0MRM" + struct.pack(">I", len(blocks)) + blocks


def like_tiff(magic: bytes, order: str = "<") -> Callable[[bytes | None, bytes | None], bytes]:
    def made(exif: bytes | None, packet: bytes | None) -> bytes:
        if packet:
            return tiff({700: packet}, TIME, order=order, magic=magic)
        return tiff({0x4746: 3} if exif else {}, TIME, order=order, magic=magic)

    return made


FORMATS: dict[str, Callable[[bytes | None, bytes | None], bytes]] = {
    ".jpg": jpeg,
    ".png": png,
    ".profile.png": png_raw_profile,
    ".webp": webp,
    ".gif": gif,
    ".psd": psd,
    ".jp2": jp2,
    ".jxl": jxl,
    ".cr3": cr3,
    ".heic": heic,
    ".avif": avif,
    ".raf": raf,
    ".mrw": mrw,
    ".tif": like_tiff(b"II*\0"),
    ".big.tif": like_tiff(b"MM\0*", ">"),
    ".dng": like_tiff(b"II*\0"),
    ".nef": like_tiff(b"MM\0*", ">"),
    ".cr2": like_tiff(b"II*\0"),
    ".arw": like_tiff(b"II*\0"),
    ".orf": like_tiff(b"IIRO"),
    ".rw2": like_tiff(b"IIU\0"),
}
