"""Photos as pages show them: upright, whole, no larger than a screen needs."""

from __future__ import annotations

import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from siamese_nima.cores import usable_cores
from siamese_nima.photos.decode import pillow_muted
from siamese_nima.photos.read import Photo, open_photo
from siamese_nima.scoring.faces import Face, find_faces

FULL_PX = 8192  # of a photo seen pixel for pixel; zoom.js asks for it
SIDES_PX = (640, 960, 1280, 1920, 2560, FULL_PX)
# At 88 no difference shows on a screen; WebP would be smaller but takes eight times as long.
_QUALITY = 88
_REDUCING_GAP = 2.0  # whole pixels are averaged first, down to twice the size: nothing of it shows
_KEPT_BYTES = 96 << 20
FACE_PX = 144
_FACES_PX = 1500  # short side of a photo whose faces are looked for
_MOST_FACES = 8
_AROUND_FACE = 1.5  # side of what is shown, in sides of the face


def screen_picture(photo: Path | BinaryIO, side_px: int, *, name: str | None = None) -> bytes:
    """A photo as a JPEG file in sRGB, its longer side at most `side_px`; never enlarged.

    Args:
        photo: Its path, or the open file.
        side_px: In pixels.
        name: What errors call it.

    Raises:
        PhotoError: The photo cannot be read.
    """
    found = open_photo(photo, min_short_side_px=_short_side_px(photo, side_px), name=name)
    scale = side_px / max(found.size)
    if scale < 1:
        size = (max(1, round(found.size[0] * scale)), max(1, round(found.size[1] * scale)))
        picture = found.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    else:
        picture = found.whole()
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=_QUALITY)
    return file.getvalue()


def face_pictures(photo: BinaryIO, *, name: str | None = None) -> list[tuple[str, bytes]]:
    """The faces of a photo, from left to right; of many the largest.

    Returns:
        Of each its eyes, as `Face` has them, and a JPEG file of it, at most `FACE_PX` high and
        wide.

    Raises:
        PhotoError: It cannot be read.
    """
    found = open_photo(photo, min_short_side_px=_FACES_PX, name=name)
    faces = find_faces(found)
    large = sorted(faces, key=lambda face: -face.box[2] * face.box[3])[:_MOST_FACES]
    return [(face.eyes, _cut_out(found, face)) for face in faces if face in large]


def _cut_out(photo: Photo, face: Face) -> bytes:
    width, height = photo.size
    left, top, wide, high = face.box
    side = _AROUND_FACE * max(wide * width, high * height)
    middle = (left + wide / 2) * width, (top + high / 2) * height
    box = (
        max(0.0, middle[0] - side / 2),
        max(0.0, middle[1] - side / 2),
        min(float(width), middle[0] + side / 2),
        min(float(height), middle[1] + side / 2),
    )
    across, down = box[2] - box[0], box[3] - box[1]
    scale = FACE_PX / max(across, down)
    size = (max(1, round(across * scale)), max(1, round(down * scale)))
    file = io.BytesIO()
    photo.resize(size, Image.Resampling.LANCZOS, box).save(file, format="JPEG", quality=_QUALITY)
    return file.getvalue()


def _short_side_px(photo: Path | BinaryIO, side_px: int) -> int:
    """The short side of a photo whose longer one has `side_px`; `side_px` where its header does
    not say, which is always enough."""
    try:
        with pillow_muted(), Image.open(photo) as header:
            short, long = sorted(header.size)
    except Exception:  # reading the photo will say what is wrong with it
        return side_px
    finally:
        if not isinstance(photo, Path):
            photo.seek(0)
    return max(1, math.ceil(side_px * short / long))


class ScreenPictures:
    """Makes such pictures, one thread a core, and keeps the last ones; may be used by threads."""

    def __init__(
        self,
        made: Callable[[Path | str, int], bytes] | None = None,
        *,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        """Nothing is made yet.

        Args:
            made: Makes the picture of a photo, known by its path or by an id; by default
                `screen_picture` of its path.
            kept_bytes: About so much is kept.
        """
        self._made = made or (lambda path, side_px: screen_picture(Path(path), side_px))
        self._kept_bytes = kept_bytes
        self._pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="nima-pictures")
        self._lock = threading.Lock()
        self._pictures: OrderedDict[tuple[Path | str, int], Future[bytes]] = OrderedDict()

    def get(self, photo: Path | str, side_px: int) -> bytes:
        """The picture of a photo; made once even if several ask for it at the same time.

        Raises:
            PhotoError: The photo cannot be read.
        """
        key = photo, side_px
        with self._lock:
            if key not in self._pictures:
                self._pictures[key] = self._pool.submit(self._made, photo, side_px)
            self._pictures.move_to_end(key)
            picture = self._pictures[key]
        try:
            content = picture.result()
        except BaseException:
            with self._lock:
                self._pictures.pop(key, None)
            raise
        self._forget_old()
        return content

    def close(self) -> None:
        """End the threads; what is being made is finished first."""
        self._pool.shutdown(cancel_futures=True)

    def _forget_old(self) -> None:
        with self._lock:
            made = [key for key, picture in self._pictures.items() if picture.done()]
            sizes = {key: _size(self._pictures[key]) for key in made}
            too_much = sum(sizes.values()) - self._kept_bytes
            for key in made:
                if too_much <= 0:
                    break
                too_much -= sizes[key]
                del self._pictures[key]


def _size(picture: Future[bytes]) -> int:
    return 0 if picture.cancelled() or picture.exception() else len(picture.result())
