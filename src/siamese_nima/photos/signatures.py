"""What a photo looks like in a few bytes, to find near-copies of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.read import read_photo

THUMBNAIL_PX = 16
_DECODED_PX = 128  # short side that a JPEG is decoded at; eight times the thumbnail
_FLAT = 0.5  # grey levels of 0..255; below it a thumbnail has no pattern to compare


@dataclass(frozen=True, slots=True, eq=False)
class Signatures:
    """Signatures of N photos.

    Attributes:
        hashes: Shape (N,), the 64-bit difference hash: a bit per neighbouring pair of a 9 x 8 grey
            thumbnail, set where the right one is brighter.
        thumbnails: Shape (N, 256), 16 x 16 grey thumbnails, mean 0 and length 1, so that the
            product of two is their correlation. All zero for unreadable photos and flat ones,
            which therefore are near-copies of nothing.
        unreadable: Row and reason of each photo without a signature.
    """

    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.float32]
    unreadable: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.hashes)


def read_signatures(
    paths: Sequence[Path],
    *,
    threads: int = 4,
    report: Callable[[int, int], None] | None = None,
) -> Signatures:
    """Signatures of photo files, in order.

    Args:
        paths: The photos; one that cannot be read has an empty signature and its reason.
        threads: Photos read at a time.
        report: Called with photos done and photos in all.
    """
    hashes = np.zeros(len(paths), dtype=np.uint64)
    thumbnails = np.zeros((len(paths), THUMBNAIL_PX**2), dtype=np.float32)
    unreadable: list[tuple[int, str]] = []
    with ThreadPoolExecutor(threads) as pool:
        for row, signature in enumerate(pool.map(_read_signature, paths)):
            if isinstance(signature, PhotoError):
                unreadable.append((row, str(signature)))
            else:
                hashes[row], thumbnails[row] = signature
            if report:
                report(row + 1, len(paths))
    return Signatures(hashes, thumbnails, tuple(unreadable))


def difference_hash(photo: Image.Image) -> np.uint64:
    """The 64-bit difference hash of a photo; see `Signatures`."""
    grey = np.asarray(photo.convert("L").resize((9, 8), Image.Resampling.BICUBIC), dtype=np.int16)
    packed = np.packbits(grey[:, 1:] > grey[:, :-1])
    return np.uint64(int.from_bytes(packed.tobytes(), "big"))


def unit_thumbnail(photo: Image.Image) -> NDArray[np.float32]:
    """The grey thumbnail of a photo with mean 0 and length 1, shape (256,); zero where flat."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    grey = np.asarray(photo.convert("L").resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    centred = grey.ravel() - grey.mean()
    if centred.std() < _FLAT:
        return np.zeros(centred.size, dtype=np.float32)
    unit: NDArray[np.float32] = (centred / np.linalg.norm(centred)).astype(np.float32)
    return unit


def _read_signature(path: Path) -> tuple[np.uint64, NDArray[np.float32]] | PhotoError:
    try:
        photo = read_photo(path, min_short_side_px=_DECODED_PX)
    except PhotoError as error:
        return error
    return difference_hash(photo), unit_thumbnail(photo)
