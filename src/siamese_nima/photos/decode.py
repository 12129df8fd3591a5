"""Open a photo with Pillow and decode it: limits first, at reduced scale where that is cheaper."""

import importlib
import struct
import threading
import warnings
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.formats import PILLOW_FORMATS, RAW_EXTENSIONS, is_heif

_TIFF_SUBFILE_TYPE, _TIFF_DNG_VERSION = 254, 50706


def decode(
    stream: BinaryIO, label: str, *, min_short_side_px: int | None, max_pixels: int
) -> Image.Image:
    """The first picture in `stream`, decoded, in the mode and orientation in which it is stored.

    Args:
        stream: Seekable, at its start.
        label: Starts every error message; usually the path.
        min_short_side_px: A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if its short side then
            still has this many pixels.
        max_pixels: Checked against the size that the header announces, before anything is decoded.

    Raises:
        PhotoError: Empty, in no known format, or larger than `max_pixels`.
        Exception: Whatever Pillow raises on a damaged file.
    """
    image = _open(stream, label)
    check_size(image, label, max_pixels)
    if min_short_side_px is not None and image.format in ("JPEG", "MPO"):
        # Both sides must reach a square's side, so a photo stored lying down needs no thought.
        image.draft(image.mode, (min_short_side_px, min_short_side_px))
    image.load()
    return image


def check_size(image: Image.Image, label: str, max_pixels: int) -> None:
    """Refuse a picture without pixels or with more than `max_pixels`.

    Raises:
        PhotoError: It is one of these.
    """
    width, height = image.size
    if width < 1 or height < 1:
        raise PhotoError(f"{label}: no pixels ({width} x {height}).")
    if width * height > max_pixels:
        raise PhotoError(
            f"{label}: {width} x {height} = {width * height} pixels, more than the limit of"
            f" {max_pixels}. If you trust the file, raise max_pixels."
        )


def _open(stream: BinaryIO, label: str) -> Image.Image:
    """Identify the format by content, whatever the name says; nothing is decoded yet.

    Not by `Image.open`, which warns above 89 million pixels and refuses above 179 million, by a
    setting of the whole process that is not ours to change.
    """
    head = stream.read(16)
    if not head:
        raise PhotoError(f"{label}: empty (0 bytes).")
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
    if named_raw if image is None else _is_raw(image, named_raw=named_raw):
        raise PhotoError(
            f"{label}: camera raw, which cannot be read yet. Export it as JPEG or TIFF."
        )
    if image is None:
        if damage:
            raise PhotoError(f"{label}: not a readable photo ({damage[0]}).")
        raise PhotoError(
            f"{label}: not a photo in a format that can be read (it starts with {head[:8]!r})."
        )
    return image


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


def _is_raw(image: Image.Image, *, named_raw: bool) -> bool:
    """Whether a TIFF is camera raw, whose first picture is only a thumbnail or a mosaic."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return False
    return named_raw or _TIFF_DNG_VERSION in tags or bool(tags.get(_TIFF_SUBFILE_TYPE, 0) & 1)


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
