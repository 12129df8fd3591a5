"""Tell by its content which reader a photo needs, and decode it with that."""

import importlib
import struct
import threading
import warnings
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from PIL import Image, TiffImagePlugin

from siamese_nima.errors import PhotoError
from siamese_nima.photos.formats import (
    PILLOW_FORMATS,
    RAW_EXTENSIONS,
    document_kind,
    is_heif,
    is_raw,
)
from siamese_nima.photos.loading import load
from siamese_nima.photos.raw import decode_raw

_TIFF_SUBFILE_TYPE, _TIFF_PHOTOMETRIC, _TIFF_DNG_VERSION = 254, 262, 50706
_REDUCED, _COLOUR_FILTER_ARRAY = 1, 32803


def decode(
    stream: BinaryIO, label: str, *, min_short_side_px: int | None, max_pixels: int
) -> Image.Image:
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
    image = _open(stream, label)
    if image is None:
        stream.seek(0)
        return decode_raw(
            stream.read(), label, min_short_side_px=min_short_side_px, max_pixels=max_pixels
        )
    return load(image, label, min_short_side_px=min_short_side_px, max_pixels=max_pixels)


def _open(stream: BinaryIO, label: str) -> Image.Image | None:
    """The picture, by content whatever the name says, not decoded yet; None for camera raw.

    Not by `Image.open`, which warns above 89 million pixels and refuses above 179 million, by a
    setting of the whole process that is not ours to change.
    """
    head = stream.read(16)
    if not head:
        raise PhotoError(f"{label}: empty (0 bytes).")
    if is_raw(head) or _is_raw_tiff(stream, head):
        return None
    damage: list[str] = []
    Image.preinit()
    image = _open_as(PILLOW_FORMATS, head, stream, damage)
    if image is None:
        Image.init()
        image = _open_as(PILLOW_FORMATS, head, stream, damage)
    if image is None and is_heif(head):
        _register_heif(label)
        image = _open_as(("HEIF",), head, stream, damage)
    named_raw = PurePath(label).suffix.lower() in RAW_EXTENSIONS
    if named_raw and (image is None or image.format == "TIFF"):
        return None
    if image is not None:
        return image
    if damage:
        raise PhotoError(f"{label}: not a readable photo ({damage[0]}).")
    if kind := document_kind(head):
        raise PhotoError(f"{label}: {kind}, not a photo. Export its pictures as JPEG or PNG.")
    raise PhotoError(
        f"{label}: not a photo in a format that can be read (it starts with {head[:8]!r})."
    )


def _open_as(
    formats: tuple[str, ...], head: bytes, stream: BinaryIO, damage: list[str]
) -> Image.Image | None:
    for name in formats:
        if name not in Image.OPEN:
            continue
        factory, accepts = Image.OPEN[name]
        try:
            verdict = accepts is None or accepts(head)
            if isinstance(verdict, str):  # a sentence about a codec that Pillow was built without
                damage.append(verdict)
            elif verdict:
                stream.seek(0)
                return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, KeyError, EOFError, struct.error) as error:
            if accepts is not None:
                damage.append(f"damaged {name}: {error}")
    return None


def _is_raw_tiff(stream: BinaryIO, head: bytes) -> bool:
    """Whether a TIFF is camera raw, whose first picture is only a thumbnail or a mosaic."""
    if head[:4] not in (b"II*\0", b"MM\0*"):
        return False
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
    stream.seek(tags.next)
    with suppress(Exception):  # Damage is for the reader of the pixels to say.
        tags.load(stream)
        return (
            _TIFF_DNG_VERSION in tags
            or bool(tags.get(_TIFF_SUBFILE_TYPE, 0) & _REDUCED)
            or tags.get(_TIFF_PHOTOMETRIC) == _COLOUR_FILTER_ARRAY
        )
    return False


def _register_heif(label: str) -> None:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise PhotoError(
            f"{label}: HEIC/HEIF needs an optional part: pip install 'siamese-nima[heif]'"
        ) from error


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
