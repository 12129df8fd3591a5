"""Which files are photos: the one list that finding and reading share."""

PILLOW_EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".tif"),
        *(".tiff", ".gif", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
        *(".j2c", ".jpc", ".jpf", ".jpx", ".psd", ".qoi", ".tga"),
    )
)
HEIF_EXTENSIONS = frozenset({".heic", ".heif", ".hif"})
RAW_EXTENSIONS = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr"),
        *(".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf"),
        *(".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    )
)
PHOTO_EXTENSIONS = PILLOW_EXTENSIONS | HEIF_EXTENSIONS | RAW_EXTENSIONS

# Pillow can open more, but documents, drawings and scientific containers are not photos, and its
# EPS reader starts Ghostscript on the file. TGA comes last: it has no signature to know it by.
PILLOW_FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000"),
    *("PSD", "QOI", "TGA"),
)

HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def is_heif(head: bytes) -> bool:
    """Whether the first 12 bytes of a file announce HEIC/HEIF (AVIF has brands of its own)."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS


# Camera raw that is not a variety of TIFF, known by bytes at an offset: Fujifilm, Canon CR3 and
# CRW, Olympus, Panasonic, Minolta, Sigma.
_RAW_SIGNATURES = (
    *((0, b"FUJIFILMCCD-RAW"), (4, b"ftypcrx "), (6, b"HEAPCCDR"), (0, b"IIRO"), (0, b"IIRS")),
    *((0, b"MMOR"), (0, b"IIU\0"), (0, b"\0MRM"), (0, b"FOVb")),
)
_DOCUMENTS = {b"%PDF": "a PDF document", b"%!PS": "a PostScript document"}


def is_raw(head: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of camera raw that only LibRaw can read."""
    return any(head.startswith(signature, at) for at, signature in _RAW_SIGNATURES)


def document_kind(head: bytes) -> str | None:
    """What kind of document the first 16 bytes of a file announce, if they do."""
    return _DOCUMENTS.get(head[:4])
