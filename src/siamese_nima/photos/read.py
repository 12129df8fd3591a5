"""One photo as a person sees it: upright, in sRGB, on white."""

import os
import stat
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.colour import to_srgb
from siamese_nima.photos.decode import decode, pillow_muted
from siamese_nima.photos.loading import Stored, check_size, stored

PhotoSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray[Any, Any]"
)

MAX_PIXELS = 300_000_000
# Goes up when a photo is read otherwise than before, so that scores in a cache are not mixed.
READING = 2

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_photo(
    source: PhotoSource,
    *,
    min_short_side_px: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Image.Image:
    """Read one photo as upright sRGB pixels in Pillow mode RGB, 8 bits per channel.

    The EXIF orientation is applied, the ICC profile converted to sRGB (one that cannot be used
    counts as sRGB), transparency laid over white, 16-bit grey scaled to 8 bits, and of an animation
    the first frame taken. The format is told by content, not by the name. Safe to call from many
    threads; files are opened for reading only and are closed on return.

    Args:
        source: One of

            - a path (`str` or `Path`) of a regular file;
            - `bytes`, the contents of an image file;
            - a binary file object, read from where it stands to its end and left open;
            - a `PIL.Image.Image`, whose EXIF and ICC entries count as those of a file do; it is not
              changed;
            - a uint8 array of shape (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGB and alpha, taken as
              upright sRGB.
        min_short_side_px: What the short side must have for the views that follow. Larger photos
            are then shrunk by a whole factor that leaves as much: JPEG by 2, 4 or 8 while it is
            decoded, which is several times faster, others once they are decoded; of camera raw a
            large enough preview is taken. None keeps every pixel.
        max_pixels: Larger photos are refused before they are decoded, against files made to fill
            the memory. WebP and TIFF stop at Pillow's own 179 million.
        name: What error messages call the photo; by default its path, or the kind of `source`.

    Returns:
        A new picture without metadata, so that reading it again changes nothing.

    Raises:
        PhotoError: The photo is missing, not a regular file, empty, in an unknown format, too
            large, truncated or otherwise damaged. The message starts with its name.
        ConfigError: `min_short_side_px` is below 1.
    """
    if min_short_side_px is not None and min_short_side_px < 1:
        raise ConfigError(f"min_short_side_px must be 1 or more, or None; got {min_short_side_px}")
    label = name or _name_of(source)
    try:
        with pillow_muted():
            found = _stored(source, label, min_short_side_px, max_pixels)
            srgb = to_srgb(_turned_upright(found), found.profile, label)
            return _plain(srgb, source)
    except PhotoError:
        raise
    # Decoders answer damaged files with almost any exception; all mean that there is no photo.
    except Exception as error:
        raise PhotoError(f"{label}: {_reason(error)}") from error


def _name_of(source: PhotoSource) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source) or "(empty name)"
    named = getattr(source, "name", None) or getattr(source, "filename", None)
    return str(named) if isinstance(named, (str, Path)) else f"({type(source).__name__})"


def _stored(
    source: PhotoSource, label: str, min_short_side_px: int | None, max_pixels: int
) -> Stored:
    """The decoded picture as it is stored: colours and orientation still to be settled."""
    if isinstance(source, (str, os.PathLike)):
        _check_file(Path(source), label)
        with Path(source).open("rb") as file:
            return decode(file, label, min_short_side_px=min_short_side_px, max_pixels=max_pixels)
    if isinstance(source, np.ndarray):
        source = _from_array(source, label)
    if isinstance(source, Image.Image):
        check_size(*source.size, label, max_pixels)
        source.load()
        return stored(source)
    contents = source if isinstance(source, bytes) else _contents(source, label)
    return decode(
        BytesIO(contents), label, min_short_side_px=min_short_side_px, max_pixels=max_pixels
    )


def _check_file(path: Path, label: str) -> None:
    """Raise unless `path` is a regular file; opening a pipe would wait for ever."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        listable = os.access(path, os.R_OK | os.X_OK)
        problem = "a folder, not a photo" if listable else "a folder without permission to list it"
        raise PhotoError(f"{label}: {problem}.")
    if not stat.S_ISREG(mode):
        raise PhotoError(f"{label}: a pipe, socket or device, not a regular file.")


def _contents(source: object, label: str) -> bytes:
    read = getattr(source, "read", None)
    contents = read() if callable(read) else None
    if isinstance(contents, (bytes, bytearray)):
        return bytes(contents)
    found = "a text stream" if isinstance(contents, str) else type(source).__name__
    raise PhotoError(
        f"{label}: {found} is not a photo; wanted a path, bytes, a binary file object, a"
        " PIL.Image.Image or a uint8 array."
    )


def _from_array(array: "np.ndarray[Any, Any]", label: str) -> Image.Image:
    channels_fit = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not channels_fit or array.size == 0:
        raise PhotoError(
            f"{label}: an array of {array.dtype} and shape {array.shape}; wanted uint8 of shape"
            " (H, W), (H, W, 3) or (H, W, 4)."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _turned_upright(found: Stored) -> Image.Image:
    turn = _UPRIGHT.get(found.orientation)
    return found.pixels if turn is None else found.pixels.transpose(turn)


def _plain(image: Image.Image, source: PhotoSource) -> Image.Image:
    """Without metadata, and sharing no pixels with the caller's picture."""
    # Of what was decoded here the pixels are handed on: a copy of a large photo is hundreds of
    # megabytes.
    plain = image.copy() if image is source else image._new(image.im)
    plain.info = {}
    return plain


def _reason(error: Exception) -> str:
    """What an exception of the file system or a decoder says about the photo."""
    match error:
        case FileNotFoundError():
            return "no such file."
        case PermissionError():
            return "no permission to read it."
        case MemoryError():
            return "not enough memory to decode it."
        case OSError(errno=int()):
            return f"the file cannot be read ({error.strerror})."
    text = str(error) or type(error).__name__
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"truncated, the file ends before the picture does ({text})."
    return f"not a readable photo ({text})."
