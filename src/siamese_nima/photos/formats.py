"""Which files are photos: the one list that finding and reading share."""

PILLOW_EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".tif"),
        *(".tiff", ".gif", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
        *(".j2c", ".jpc", ".jpf", ".jpx", ".psd", ".qoi", ".tga", ".pcx"),
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
    *("PSD", "QOI", "PCX", "TGA"),
)

HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def is_heif(head: bytes) -> bool:
    """Whether the first 12 bytes of a file announce HEIC/HEIF (AVIF has brands of its own)."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS
