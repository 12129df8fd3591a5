"""One photo as a person sees it: upright, in sRGB, on white."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.colour import averages_like_srgb, to_srgb
from siamese_nima.photos.decode import decode, pillow_muted
from siamese_nima.photos.loading import Stored, check_size, stored

PhotoSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray[Any, Any]"
)

MAX_PIXELS = 300_000_000
# Goes up when a photo is read otherwise than before, so that scores in a cache are not mixed.
READING = 5

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# How the stored pixels of each orientation lie to the upright photo: whether axes are swapped, and
# whether the stored columns and rows run against it.
_LIES = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
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
    photo = open_photo(
        source, min_short_side_px=min_short_side_px, max_pixels=max_pixels, name=name
    )
    return photo.whole()


class Photo:
    """A decoded photo as a person sees it, whose colours and orientation are applied when needed.

    Whoever wants only small views of it pays for those alone: `resize` shrinks the pixels as they
    are stored, and then turns and converts the few that are left. It may be shared by threads.

    Attributes:
        size: Width and height, upright.
        name: What error messages call it.
    """

    def __init__(self, found: Stored, name: str, *, borrowed: bool = False) -> None:
        self._stored = found
        self._borrowed = borrowed
        self._whole: Image.Image | None = None
        self.name = name
        width, height = found.pixels.size
        self.size = (height, width) if found.orientation >= 5 else (width, height)

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.size[1]

    def whole(self) -> Image.Image:
        """All pixels, mode RGB, in sRGB on white.

        Raises:
            PhotoError: Its pixels do not say what is white.
        """
        if self._whole is None:
            with _errors_named(self.name):
                srgb = to_srgb(_turned(self._stored), self._stored.profile, self.name)
                self._whole = _plain(srgb, self._stored.pixels if self._borrowed else None)
        return self._whole

    def luminance(self) -> Image.Image:
        """All pixels' luminance, mode L, upright.

        Colours whose numbers are nearly those of sRGB are taken as they are stored, which spares
        converting a large photo.

        Raises:
            PhotoError: Its pixels do not say what is white.
        """
        if self._whole is None and self._averages_as_stored():
            return _turned(Stored(self._stored.pixels.convert("L"), self._stored.orientation))
        return self.whole().convert("L")

    def _averages_as_stored(self) -> bool:
        pixels = self._stored.pixels
        plain = pixels.mode in ("RGB", "L") and not pixels.has_transparency_data
        return plain and averages_like_srgb(self._stored.profile, pixels.mode)

    def resize(
        self,
        size: tuple[int, int],
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        box: tuple[float, float, float, float] | None = None,
        reducing_gap: float | None = None,
    ) -> Image.Image:
        """The photo, or a part of it, at another size, mode RGB, in sRGB on white.

        Takes what `PIL.Image.Image.resize` takes. Colours whose numbers are nearly those of sRGB,
        as in every camera's working space, are averaged as they are stored; all others are
        converted first.

        Raises:
            PhotoError: Its pixels do not say what is white.
        """
        if not self._averages_as_stored():
            return self.whole().resize(size, resample, box, reducing_gap)
        quarter_turned = self._stored.orientation >= 5
        stored_size = (size[1], size[0]) if quarter_turned else size
        stored_box = None if box is None else self._stored_box(box)
        with _errors_named(self.name):
            pixels = self._stored.pixels.resize(stored_size, resample, stored_box, reducing_gap)
            small = Stored(pixels, self._stored.orientation)
            return _plain(to_srgb(_turned(small), self._stored.profile, self.name), None)

    def _stored_box(
        self, box: tuple[float, float, float, float]
    ) -> tuple[float, float, float, float]:
        """Where a part of the upright photo lies among the stored pixels."""
        width, height = self._stored.pixels.size
        swapped, columns_back, rows_back = _LIES[self._stored.orientation]
        left, top, right, bottom = box
        if swapped:
            left, top, right, bottom = top, left, bottom, right
        if columns_back:
            left, right = width - right, width - left
        if rows_back:
            top, bottom = height - bottom, height - top
        return max(0, left), max(0, top), min(right, width), min(bottom, height)


def open_photo(
    source: PhotoSource,
    *,
    min_short_side_px: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Photo:
    """Decode one photo as `read_photo` does, and leave colours and orientation for when they count.

    Args and errors are those of `read_photo`.
    """
    if min_short_side_px is not None and min_short_side_px < 1:
        raise ConfigError(f"min_short_side_px must be 1 or more, or None; got {min_short_side_px}")
    label = name or _name_of(source)
    with _errors_named(label):
        found = _stored(source, label, min_short_side_px, max_pixels)
    return Photo(found, label, borrowed=isinstance(source, Image.Image))


@contextmanager
def _errors_named(label: str) -> Iterator[None]:
    """Every error as a PhotoError that begins with the photo's name."""
    try:
        with pillow_muted():
            yield
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


def _turned(found: Stored) -> Image.Image:
    turn = _UPRIGHT.get(found.orientation)
    return found.pixels if turn is None else found.pixels.transpose(turn)


def _plain(image: Image.Image, borrowed: Image.Image | None) -> Image.Image:
    """Without metadata, and sharing no pixels with a picture of the caller's."""
    # Of what was decoded here the pixels are handed on: a copy of a large photo is hundreds of
    # megabytes.
    plain = image.copy() if image is borrowed else image._new(image.im)
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
