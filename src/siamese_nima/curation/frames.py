"""What grouping needs to know of each photo: how it looks, and when it was taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.capture import Capture, read_capture
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.similarity import difference_hash, unit_thumbnail

_DECODED_PX = 128  # short side that a JPEG is decoded at; eight times the thumbnail


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One photo, for grouping.

    Attributes:
        path: Its path.
        difference_hash: 64 bits; see `difference_hash`.
        thumbnail: Shape (256,), mean 0 and length 1, zero where the photo is flat.
        capture: When it was taken, or None.
    """

    path: str
    difference_hash: np.uint64
    thumbnail: NDArray[np.float32]
    capture: Capture | None = None


class FrameReader:
    """Gathers the frames of photos while they are scored, and reads those that were not.

    Hand `look` to `Scorer.score` as `on_photo`: a photo is then decoded once for its score and its
    frame. Photos whose score came from a cache are decoded by `frames`, in the same way, so that
    the cache never changes the outcome.

    Attributes:
        decode_px: Short side that a JPEG is decoded at least at; that of the scorer.
    """

    def __init__(self, decode_px: int | None = _DECODED_PX) -> None:
        self.decode_px = decode_px
        self._seen: dict[str, Frame] = {}

    def look(self, path: str, photo: Image.Image) -> None:
        """Take the frame of a photo that is decoded and upright; may be called by many threads."""
        self._seen[path] = Frame(
            path, difference_hash(photo), unit_thumbnail(photo), read_capture(path)
        )

    def frames(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        threads: int = 4,
        report: Callable[[int, int], None] | None = None,
    ) -> list[Frame | None]:
        """The frame of each photo, in order; None for one that cannot be read.

        Args:
            paths: As they were given to be scored.
            threads: Photos read at a time, of those that were not seen yet.
            report: Called with photos done and photos in all.
        """
        found: list[Frame | None] = []
        for frame in self._read([os.fspath(path) for path in paths], threads):
            found.append(frame)
            if report:
                report(len(found), len(paths))
        return found

    def _read(self, paths: list[str], threads: int) -> Iterator[Frame | None]:
        with ThreadPoolExecutor(threads, thread_name_prefix="nima-frames") as pool:
            yield from pool.map(self._frame, paths)

    def _frame(self, path: str) -> Frame | None:
        if path not in self._seen:
            try:
                self.look(path, read_photo(path, min_short_side_px=self.decode_px))
            except PhotoError:
                return None
        return self._seen[path]
