"""Which files are photos: the one list that finding and reading share."""

from enum import Enum

PILLOW_EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".tif"),
        *(".tiff", ".gif", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
        *(".j2c", ".jpc", ".jpf", ".jpx", ".psd", ".psb", ".qoi", ".tga", ".avifs"),
    )
)
JPEG_EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
HEIF_EXTENSIONS = frozenset({".heic", ".heif", ".hif", ".heics", ".heifs"})
# JPEG XL, by an extra; JPEG XR, which is named as not supported.
OTHER_EXTENSIONS = frozenset({".jxl", ".jxr", ".wdp", ".hdp"})
RAW_EXTENSIONS = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr"),
        *(".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf"),
        *(".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    )
)
PHOTO_EXTENSIONS = PILLOW_EXTENSIONS | HEIF_EXTENSIONS | RAW_EXTENSIONS | OTHER_EXTENSIONS

# Pillow can open more, but documents, drawings and scientific containers are not photos, and its
# EPS reader starts Ghostscript on the file. TGA comes last: it has no signature to know it by.
PILLOW_FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000"),
    *("PSD", "QOI", "TGA"),
)


class Container(Enum):
    """Kinds of file that are told apart before Pillow is asked."""

    HEIF = "HEIF"
    AVIF = "AVIF"
    BMP = "BMP"
    PNG = "PNG"
    JPEG_2000 = "JPEG 2000"
    JPEG_XL = "JPEG XL"
    JPEG_XR = "JPEG XR"


_HEIF_BRANDS = frozenset(
    (
        *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
        *(b"mif1", b"mif2", b"msf1", b"miaf"),
    )
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_JPEG_XR = b"II\xbc"


def container_of(head: bytes) -> Container | None:
    """What the first 32 bytes of a file announce; None for what Pillow tells by itself.

    A file of the general brands `mif1` and `msf1` is AVIF where it says that it is compatible.
    """
    if head.startswith(_PNG):
        return Container.PNG
    if head.startswith(b"BM"):
        return Container.BMP
    if head.startswith(_JPEG_2000):
        return Container.JPEG_2000
    if head.startswith(_JPEG_XL):
        return Container.JPEG_XL
    if head.startswith(_JPEG_XR):
        return Container.JPEG_XR
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
    coded_as_hevc = brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
    if brands & _AVIF_BRANDS and not coded_as_hevc:
        return Container.AVIF
    return Container.HEIF if brands & _HEIF_BRANDS else None


# Camera raw that is not a variety of TIFF, known by bytes at an offset: Fujifilm, Canon CR3 and
# CRW, Olympus, Panasonic, Minolta, Sigma.
_RAW_SIGNATURES = (
    *((0, b"FUJIFILMCCD-RAW"), (4, b"ftypcrx "), (6, b"HEAPCCDR"), (0, b"IIRO"), (0, b"IIRS")),
    *((0, b"MMOR"), (0, b"IIU\0"), (0, b"\0MRM"), (0, b"FOVb"), (0, b"DSC-Image")),
)
# MP4 and its relatives, AVI, Matroska and WebM, MPEG, Flash.
_VIDEO_BRANDS: tuple[bytes, ...] = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"avc1",
    b"qt  ",
)
_VIDEO_BRANDS += (b"M4V ", b"3gp4", b"3gp5", b"3gp6", b"3g2a", b"dash", b"MSNV", b"XAVC")
_VIDEO_BRANDS += (b"iso3", b"iso7", b"iso8", b"iso9", b"M4VH", b"M4VP", b"f4v ", b"hvc1", b"mmp4")
_WINDOWS_MEDIA = b"0&\xb2u\x8ef\xcf\x11"
_VIDEO_SIGNATURES = (
    *(b"\x1aE\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"FLV\x01"),
    *(b"OggS", b"\x06\x0e+4"),
    _WINDOWS_MEDIA,
)
_PACKETS = ((0, 188), (4, 192))
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip")
_DOCUMENTS = {b"%PDF": "a PDF document", b"%!PS": "a PostScript document"}
_ARCHIVES = {
    **dict.fromkeys((b"PK\3\4", b"PK\5\6"), "a zip archive"),
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"PAR1": "a Parquet table",
}
_TAR = (257, b"ustar")
ARCHIVE_HEAD_BYTES = 262


def is_raw(head: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of camera raw that only LibRaw can read."""
    return any(head.startswith(signature, at) for at, signature in _RAW_SIGNATURES)


def is_video(head: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of a video."""
    named = head[4:8] == b"ftyp" and head[8:12] in _VIDEO_BRANDS
    named = named or head[4:8] in _OLD_QUICKTIME
    avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return named or avi or head.startswith(_VIDEO_SIGNATURES)


def is_transport_stream(head: bytes) -> bool:
    """Whether the first `ARCHIVE_HEAD_BYTES` bytes are packets of a camcorder's video.

    Each begins with a G, in files of cameras after four other bytes.
    """
    return any(
        head[at : at + 1] == b"G" == head[at + size : at + size + 1] for at, size in _PACKETS
    )


def document_kind(head: bytes) -> str | None:
    """What kind of document the first 16 bytes of a file announce, if they do."""
    return _DOCUMENTS.get(head[:4])


def archive_kind(head: bytes) -> str | None:
    """What kind of archive or table the first `ARCHIVE_HEAD_BYTES` bytes announce, if they do.

    >>> archive_kind(b"PK\\3\\4")
    'a zip archive'
    """
    at, magic = _TAR
    if head.startswith(magic, at):
        return "a tar archive"
    return next((kind for start, kind in _ARCHIVES.items() if head.startswith(start)), None)
