"""Tell by its content which reader a photo needs, and decode it with that."""

import importlib
import struct
import threading
import warnings
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from PIL import ExifTags, Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import boxes, colour, png, psd, tiff, tiff_pixels
from siamese_nima.photos.avif import read_avif
from siamese_nima.photos.bitmaps import read_bmp, without_runs
from siamese_nima.photos.formats import (
    ARCHIVE_HEAD_BYTES,
    PILLOW_FORMATS,
    RAW_EXTENSIONS,
    Container,
    archive_kind,
    container_of,
    document_kind,
    is_raw,
    is_transport_stream,
    is_video,
)
from siamese_nima.photos.jpeg2000 import read_jpeg2000
from siamese_nima.photos.jpeg_scan import unsupported_kind
from siamese_nima.photos.jpeg_xl import read_jpeg_xl
from siamese_nima.photos.loading import (
    MAX_CODED_BYTES,
    MAX_FILE_BYTES,
    Stored,
    check_bytes,
    load,
    open_as,
    try_format,
    whole_file,
)
from siamese_nima.photos.raw import NotCameraRawError, decode_raw

_CFA, _LINEAR_RAW = 32803, 34892
_MAX_META_BYTES = 1 << 20
_VIDEO = (
    "a video, not a photo. Take pictures from it, such as by ffmpeg -i VIDEO -vf fps=1 "
    "frame-%05d.jpg; from Python, score a generator of arrays."
)
_LEAST_BYTES = 8  # shorter than the head of any format
_JPEG = b"\xff\xd8"
_CODED = {Container.HEIF, Container.AVIF, Container.JPEG_2000, Container.JPEG_XL}


def decode(
    stream: BinaryIO, label: str, *, min_short_side_px: int | None, max_pixels: int
) -> Stored:
    """The first picture in `stream`, decoded, in the mode and orientation in which it is stored.

    Args:
        stream: Seekable, at its start.
        label: Starts every error message; usually the path.
        min_short_side_px: The picture is shrunk by a whole factor, JPEG by 2, 4 or 8 while it is
            decoded, if its short side then still has this many pixels.
        max_pixels: Checked against the size that the header announces, before anything is decoded.

    Raises:
        PhotoError: Empty, in no known format, in one whose reader is not installed, larger than
            `max_pixels`, or a JPEG that is damaged inside.
        Exception: Whatever Pillow raises on a damaged file.
    """
    head = stream.read(32)
    if not head:
        raise PhotoError(f"{label}: empty (0 bytes).")
    if len(head) < _LEAST_BYTES and not head.startswith(_JPEG):
        raise PhotoError(f"{label}: not a photo ({len(head)} bytes).")
    if not head.startswith(_JPEG):  # of which only as much is read as its pixels can need
        coded = container_of(head) in _CODED or head.startswith(b"RIFF")
        check_bytes(stream, label, MAX_CODED_BYTES if coded else MAX_FILE_BYTES)
    named_raw = PurePath(label).suffix.lower() in RAW_EXTENSIONS
    limits: Any = {"min_short_side_px": min_short_side_px, "max_pixels": max_pixels}
    if is_raw(head):
        return decode_raw(whole_file(stream), label, **limits)
    if tiff.is_tiff(head):
        return _decode_tiff(stream, label, named_raw=named_raw, **limits)
    if head.startswith(b"8BPS"):
        stream.seek(0)
        return load(psd.read_merged(stream, label, max_pixels), label, **limits)
    image = _with_colours(_open(stream, head, label, max_pixels), stream, label)
    try:
        return load(image, label, **limits)
    except OSError:
        if image.format != "TGA":
            raise
        plain = without_runs(whole_file(stream))
        if plain is None:
            raise
        return load(open_as("TGA", BytesIO(plain), label), label, **limits)


def _decode_tiff(
    stream: BinaryIO,
    label: str,
    *,
    named_raw: bool,
    min_short_side_px: int | None,
    max_pixels: int,
) -> Stored:
    """A TIFF file, or camera raw that is built like one."""
    limits: Any = {"min_short_side_px": min_short_side_px, "max_pixels": max_pixels}
    contents = whole_file(stream)
    try:
        pictures = tiff.directories(contents)
    except tiff.StructureError:
        pictures = []
    picture = tiff.main_picture(pictures)
    sensor = any(
        each.number(tiff.PHOTOMETRIC) in (_CFA, _LINEAR_RAW) or tiff.DNG_VERSION in each.entries
        for each in pictures
    )
    thumbnail_first = picture is not None and picture is not pictures[0]
    raw = sensor or (named_raw and not thumbnail_first)
    raw |= picture is not None and picture.is_reduced
    if raw:
        try:
            return decode_raw(contents, label, **limits)
        except NotCameraRawError:
            if not sensor:
                raise
            return _preview(pictures, label, **limits)
    if picture and (kind := tiff_pixels.unsupported_kind(picture)):
        raise PhotoError(
            f"{label}: TIFF with {kind} is not supported. Save it as JPEG, PNG or plain TIFF."
        )
    rewritten = thumbnail_first or contents.startswith(b"MM\0+")
    if picture is None or not (tiff_pixels.needs_own_reader(picture) or rewritten):
        image = open_as("TIFF", BytesIO(contents), label)
        if picture and image.mode == "P" and (palette := tiff_pixels.palette_of_bytes(picture)):
            image.putpalette(palette)
        if image.mode == "YCbCr":
            tiff_pixels.leave_to_libtiff(image)
        return load(image, label, **limits)
    if tiff_pixels.needs_own_reader(picture):
        image, applied = tiff_pixels.read_picture(picture, label, max_pixels), False
    else:
        image = open_as("TIFF", BytesIO(tiff.as_first(picture)), label)
        applied = tiff.ORIENTATION in picture.entries  # by Pillow, as it loads
    image.info.setdefault("xmp", pictures[0].block(tiff.XMP))
    found = load(image, label, **limits)
    turned = picture.number(tiff.ORIENTATION) or pictures[0].number(tiff.ORIENTATION)
    if turned and not applied:
        found = replace(found, orientation=turned if turned in range(1, 9) else 1)
    return found


def _preview(pictures: list[tiff.Directory], label: str, **limits: Any) -> Stored:
    """The largest finished picture in a camera raw file that LibRaw has no decoder for."""
    finished = [each for each in pictures if each.size and _is_finished(each)]
    if not finished:
        raise PhotoError(
            f"{label}: camera raw that LibRaw cannot read, without a preview to take instead."
        )
    best = max(finished, key=lambda each: each.size[0] * each.size[1])
    if len(best.segments) == 1 and best.number(tiff.COMPRESSION) in (6, 7):
        at, length = best.segments[0]
        image = open_as("JPEG", BytesIO(best.contents[at : at + length]), label)
    else:
        image = open_as("TIFF", BytesIO(tiff.as_first(best)), label)
    found = load(image, label, **limits)
    return Stored(found.pixels, pictures[0].number(tiff.ORIENTATION, 1), found.profile)


def _is_finished(picture: tiff.Directory) -> bool:
    ycbcr = picture.number(tiff.PHOTOMETRIC, -1) == 6
    return ycbcr or (tiff.is_plain(picture) and picture.number(tiff.SAMPLES, 1) >= 3)


def _open(stream: BinaryIO, head: bytes, label: str, max_pixels: int) -> Image.Image:
    """The picture, by content whatever the name says, not decoded yet."""
    match container_of(head):
        case Container.HEIF:
            return _heif(stream, label)
        case Container.BMP:
            return read_bmp(whole_file(stream), label, max_pixels)
        case Container.AVIF:
            return read_avif(whole_file(stream), label, max_pixels)
        case Container.JPEG_2000:
            return read_jpeg2000(whole_file(stream), label, max_pixels)
        case Container.JPEG_XL:
            return read_jpeg_xl(whole_file(stream), label, max_pixels)
        case Container.JPEG_XR:
            raise PhotoError(f"{label}: JPEG XR is not supported. Save it as JPEG, PNG or TIFF.")
        case Container.PNG:
            return _png(stream, label)
    if is_video(head):
        raise PhotoError(f"{label}: {_VIDEO}")
    damage: list[str] = []
    for prepare in (Image.preinit, Image.init):
        prepare()
        for name in PILLOW_FORMATS:
            image = try_format(name, head, stream, damage)
            if image is not None:
                return image
    if head.startswith(_JPEG) and (kind := _unsupported_jpeg(stream)):
        raise PhotoError(f"{label}: JPEG {kind} is not supported. Save it as JPEG, PNG or TIFF.")
    if damage:
        raise PhotoError(f"{label}: not a readable photo ({damage[0]}).")
    stream.seek(0)
    start = stream.read(ARCHIVE_HEAD_BYTES)
    if is_transport_stream(start):
        raise PhotoError(f"{label}: {_VIDEO}")
    if kind := archive_kind(start):
        raise PhotoError(
            f"{label}: {kind}, not a photo. nima score and nima rank read photos in .tar, .zip and "
            ".parquet files; unpack other kinds, and for other commands."
        )
    if kind := document_kind(head):
        raise PhotoError(f"{label}: {kind}, not a photo. Export its pictures as JPEG or PNG.")
    raise PhotoError(
        f"{label}: not a photo in a format that can be read (it starts with {head[:8]!r})."
    )


def _unsupported_jpeg(stream: BinaryIO) -> str | None:
    stream.seek(0)
    return unsupported_kind(stream.read(_MAX_META_BYTES))


def _heif(stream: BinaryIO, label: str) -> Image.Image:
    try:
        plugin = importlib.import_module("pi_heif")
    except ImportError as error:
        raise PhotoError(
            f"{label}: HEIC/HEIF needs an optional part: pip install pi-heif"
        ) from error
    contents = whole_file(stream)
    try:
        image: Image.Image = plugin.HeifImageFile(BytesIO(contents))
    except SyntaxError as error:
        reason = f"HEIF that libheif does not read: {str(error).strip()}"
        raise PhotoError(f"{label}: not a readable photo ({reason}).") from error
    return image


def _png(stream: BinaryIO, label: str) -> Image.Image:
    prepared = png.prepared(stream)
    prepared.stream.seek(0)
    image = open_as("PNG", prepared.stream, label)
    profile = prepared.profile
    if prepared.coded:
        profile = colour.coded_profile(*prepared.coded)
    elif prepared.gamma:
        profile = colour.gamma_profile(prepared.gamma, prepared.primaries)
    if profile:
        image.info["icc_profile"] = profile
    for name, block in (("exif", prepared.exif), ("xmp", prepared.xmp)):
        if block:
            image.info.setdefault(name, block)
    return image


def _with_colours(image: Image.Image, stream: BinaryIO, label: str) -> Image.Image:
    """With a profile made of what the file says of its colours in words other than ICC's."""
    if image.info.get("icc_profile"):
        return image
    profile = None
    if image.format in ("HEIF", "AVIF"):
        nclx = dict(_properties(stream)).get(b"colr", b"")
        if nclx[:4] == b"nclx" and len(nclx) >= 8:
            profile = colour.coded_profile(*struct.unpack_from(">HH", nclx, 4))
    elif image.format in ("JPEG", "MPO") and _is_adobe_rgb(image, label):
        profile = colour.adobe_rgb_profile()
    if profile:
        image.info["icc_profile"] = profile
    return image


def _properties(stream: BinaryIO) -> list[boxes.Box]:
    stream.seek(0)
    return boxes.primary_properties(stream.read(_MAX_META_BYTES))


def _is_adobe_rgb(image: Image.Image, label: str) -> bool:
    try:
        exif = image.getexif()
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    # A photo whose EXIF block is damaged is still a photo.
    except Exception:
        return False
    return colour.is_adobe_rgb(space, index, label)


_PILLOW_MODULES = r"PIL\."
_muting = threading.Lock()
_readers = 0


@contextmanager
def pillow_muted() -> Iterator[None]:
    """Keep Pillow's warnings (odd metadata, large pictures) from being shown or raised.

    `warnings.catch_warnings` swaps the list of filters of the whole process, so that threads which
    leave it in another order than they entered lose filters. Here one filter, which concerns
    Pillow's modules alone, is put in by the first reader and taken out by the last.
    """
    global _readers
    with _muting:
        _readers += 1
        if _readers == 1:
            warnings.filterwarnings("ignore", module=_PILLOW_MODULES)
    try:
        yield
    finally:
        with _muting:
            _readers -= 1
            if _readers == 0:
                _unmute_pillow()


def _unmute_pillow() -> None:
    filters = cast("MutableSequence[Any]", warnings.filters)
    for entry in list(filters):
        if getattr(entry[3], "pattern", entry[3]) == _PILLOW_MODULES:
            # Between the two lines another thread's catch_warnings may have swapped the list.
            with suppress(ValueError):
                filters.remove(entry)
