"""Open and decode a picture: limits first, and no more pixels than the views need."""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, cast

from PIL import ExifTags, Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.jpeg_scan import damage_in_scans

# A file that is larger holds no photo, or one that is not meant to be scored.
MAX_FILE_BYTES = 2 << 30
# Of formats that are read whole and whose decoders copy that; they code a pixel in a few bits.
MAX_CODED_BYTES = 512 << 20
_BAND_PIXELS = 4_000_000
# More than the noisiest JPEG has, and room for the film or the pictures that phones append.
_JPEG_BYTES_PER_PIXEL, _JPEG_BYTES_BESIDE = 4, 64 << 20


class FetchedPhoto:
    """A photo that is no file of its own: in an archive, a table or a store, or at a URL."""

    __slots__ = ()

    def read(self) -> bytes:
        """The photo's bytes.

        Raises:
            PhotoError: There are none.
            OSError: Where they were is gone.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Stored:
    """A decoded picture as it is stored: what its numbers mean is still to be applied.

    Attributes:
        pixels: In any of Pillow's modes, as they lie in the file.
        orientation: 1 to 8, as EXIF has it: how they are turned upright.
        profile: ICC profile of the colours; None for sRGB.
    """

    pixels: Image.Image
    orientation: int = 1
    profile: bytes | None = None


def check_size(width: int, height: int, label: str, max_pixels: int) -> None:
    """Refuse a picture without pixels or with more than `max_pixels`.

    Raises:
        PhotoError: It is one of these.
    """
    if width < 1 or height < 1:
        raise PhotoError(f"{label}: no pixels ({width} x {height}).")
    if width * height > max_pixels:
        raise PhotoError(
            f"{label}: {width} x {height} = {width * height} pixels, more than the limit of"
            f" {max_pixels}. If you trust the file, raise max_pixels."
        )


def check_bytes(stream: BinaryIO, label: str, limit: int = MAX_FILE_BYTES) -> None:
    """Refuse a file that has more than so many bytes.

    Raises:
        PhotoError: It has.
    """
    size = stream.seek(0, 2)
    if size > limit:
        raise PhotoError(f"{label}: {size} bytes, more than the limit of {limit}.")


def whole_file(stream: BinaryIO) -> bytes:
    """The contents of a file from its start; its size was checked before."""
    stream.seek(0)
    return stream.read()


def try_format(name: str, head: bytes, stream: BinaryIO, damage: list[str]) -> Image.Image | None:
    """The picture, if the content is of that format.

    Not by `Image.open`, which warns above 89 million pixels and refuses above 179 million, by a
    setting of the whole process that is not ours to change.
    """
    if name not in Image.OPEN:
        return None
    factory, accepts = Image.OPEN[name]
    try:
        verdict = accepts is None or accepts(head[:16])
        if isinstance(verdict, str):  # a sentence about a codec that Pillow was built without
            damage.append(verdict)
        elif verdict:
            stream.seek(0)
            return factory(stream, "")
    except (SyntaxError, IndexError, TypeError, KeyError, EOFError, struct.error) as error:
        if accepts is not None:
            damage.append(f"damaged {name}: {error}")
    return None


def open_as(name: str, stream: BinaryIO, label: str) -> Image.Image:
    """The picture in a format that was told by its content, not decoded yet.

    Raises:
        PhotoError: Its head is damaged.
    """
    Image.init()
    damage: list[str] = []
    image = try_format(name, stream.read(16), stream, damage)
    if image is None:
        reason = damage[0] if damage else f"damaged {name}"
        raise PhotoError(f"{label}: not a readable photo ({reason}).")
    return image


def load(
    image: Image.Image, label: str, *, min_short_side_px: int | None, max_pixels: int
) -> Stored:
    """The pixels of a picture that was opened, shrunk by a whole factor where that leaves enough.

    Args:
        image: Opened by one of Pillow's readers; JPEG with its whole file in `fp`.
        label: Starts every error message.
        min_short_side_px: What the short side must keep; None keeps every pixel.
        max_pixels: Checked against the size that the header announces, before anything is decoded.

    Raises:
        PhotoError: Larger than `max_pixels`, or a JPEG that is damaged inside.
        Exception: Whatever Pillow raises on a damaged file.
    """
    check_size(*image.size, label, max_pixels)
    if image.format in ("JPEG", "MPO"):
        _check_scans(image, label)
        if min_short_side_px is not None:
            # Both sides must reach a square's side, so a photo stored lying down needs no thought.
            image.draft(image.mode, (min_short_side_px, min_short_side_px))
        image.load()
        return stored(image)
    image.load()
    # Pillow's own AVIF and HEIF readers may find another size than the header said.
    check_size(*image.size, label, max_pixels)
    # Before the picture is shrunk: what says how it lies may stand after the pixels.
    found = stored(image)
    if min_short_side_px is None:
        return found
    shrunk = _shrunk(image, min(image.size) // min_short_side_px)
    return Stored(shrunk, found.orientation, found.profile)


def stored(image: Image.Image) -> Stored:
    """A loaded picture with what its own metadata say of orientation and colours."""
    return Stored(image, orientation(image), image.info.get("icc_profile"))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation; that of XMP where EXIF has none; 1 where it is damaged or absurd."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    # A photo whose EXIF block is damaged is still a photo, and most are stored upright.
    except Exception:
        return 1
    if isinstance(value, bytes):  # of type BYTE, not SHORT
        value = int.from_bytes(value[:1])
    if isinstance(value, tuple):
        value = next(iter(value), 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check_scans(image: Image.Image, label: str) -> None:
    picture = cast("Any", image)
    picture.fp.seek(0)
    limit = _JPEG_BYTES_PER_PIXEL * image.width * image.height + _JPEG_BYTES_BESIDE
    contents = picture.fp.read(limit)
    damage = damage_in_scans(contents)
    if damage is not None:
        raise PhotoError(f"{label}: {damage}.")
    # What was checked is what is decoded, even if the file is being overwritten.
    picture.fp = BytesIO(contents)
    # In one piece: by Pillow's own 64 KB each piece is joined to what the decoder has left over.
    picture.decodermaxblock = len(contents)


def _shrunk(image: Image.Image, factor: int) -> Image.Image:
    """The averages of blocks of `factor` x `factor` pixels.

    Made in bands of whole blocks: a palette or transparency would else be unfolded to four bytes
    for each of 200 million pixels before anything shrinks.
    """
    if factor < 2 or image.mode[0] in "IF":
        return image
    rows = max(1, _BAND_PIXELS // (image.width * factor)) * factor
    tops = range(0, image.height, rows)
    boxes = [(0, top, image.width, min(top + rows, image.height)) for top in tops]
    bands = [_averageable(image.crop(box)).reduce(factor) for box in boxes]
    size = bands[0].width, sum(band.height for band in bands)
    shrunk = Image.new(bands[0].mode, size)
    for place, band in enumerate(bands):
        shrunk.paste(band, (0, place * rows // factor))
    return shrunk


def _averageable(band: Image.Image) -> Image.Image:
    """Pixels whose numbers are amounts, not places in a palette."""
    if band.has_transparency_data:
        return band.convert("LA" if band.mode in ("1", "L", "LA", "La") else "RGBA")
    if band.mode in ("L", "RGB", "CMYK", "LAB"):
        return band
    return band.convert("L" if band.mode == "1" else "RGB")
