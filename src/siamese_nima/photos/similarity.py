"""Near-copies: perceptual hashes and thumbnails of photos, and which photos are alike by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.read import Photo, open_photo

Pairs = NDArray[np.intp]

LIKE_CORRELATION = 0.90
LIKE_BITS = 6
_BLOCK = 2048  # pairs of thumbnails compared at a time; 4 MB, which caches hold
_BITS = np.array([value.bit_count() for value in range(65536)], dtype=np.uint8)

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
    for row, signature in enumerate(map_in_order(_read_signature, paths, workers=threads)):
        if isinstance(signature, PhotoError):
            unreadable.append((row, str(signature)))
        else:
            hashes[row], thumbnails[row] = signature
        if report:
            report(row + 1, len(paths))
    return Signatures(hashes, thumbnails, tuple(unreadable))


def difference_hash(photo: Image.Image | Photo) -> np.uint64:
    """The 64-bit difference hash of a photo; see `Signatures`."""
    grey = np.asarray(_small_grey(photo, (9, 8)), dtype=np.int16)
    packed = np.packbits(grey[:, 1:] > grey[:, :-1])
    return np.uint64(int.from_bytes(packed.tobytes(), "big"))


def unit_thumbnail(photo: Image.Image | Photo) -> NDArray[np.float32]:
    """The grey thumbnail of a photo with mean 0 and length 1, shape (256,); zero where flat."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    grey = np.asarray(_small_grey(photo, size), dtype=np.float64)
    centred = grey.ravel() - grey.mean()
    if centred.std() < _FLAT:
        return np.zeros(centred.size, dtype=np.float32)
    unit: NDArray[np.float32] = (centred / np.linalg.norm(centred)).astype(np.float32)
    return unit


def _small_grey(photo: Image.Image | Photo, size: tuple[int, int]) -> Image.Image:
    if isinstance(photo, Image.Image):
        return photo.convert("L").resize(size, Image.Resampling.BICUBIC)
    return photo.resize(size).convert("L")


def _read_signature(path: Path) -> tuple[np.uint64, NDArray[np.float32]] | PhotoError:
    try:
        photo = open_photo(path, min_short_side_px=_DECODED_PX)
    except PhotoError as error:
        return error
    return difference_hash(photo), unit_thumbnail(photo)


def group_pairs(count: int, pairs: ArrayLike) -> NDArray[np.intp]:
    """Groups of rows that pairs connect, directly or over others.

    Args:
        count: N, the number of rows.
        pairs: Shape (P, 2).

    Returns:
        Shape (N,), the smallest row of each row's group.

    >>> group_pairs(5, [[1, 2], [2, 4]]).tolist()
    [0, 1, 1, 3, 1]
    """
    first, second = np.asarray(pairs, dtype=np.intp).reshape(-1, 2).T
    group = np.arange(count)
    while True:
        lower = np.minimum(group[first], group[second])
        merged = group.copy()
        # Lowering the roots too joins whole groups in one step.
        for place in (first, second, group[first], group[second]):
            np.minimum.at(merged, place, lower)
        merged = merged[merged]
        if np.array_equal(merged, group):
            return merged
        group = merged


def alike_by_hash(hashes: NDArray[np.uint64], *, reach: int | None = None) -> Iterator[Pairs]:
    """Pairs of rows whose hashes differ in at most `LIKE_BITS` bits, some of them repeatedly.

    Of eight bytes at most six can hold a differing bit, so two bytes are equal: rows are compared
    only where they agree on one of the 28 choices of two bytes.

    Args:
        hashes: Shape (N,), 64-bit difference hashes.
        reach: Compare a row only with that many following rows of the same choice. Without it all
            pairs are found, and as many as N (N - 1) / 2 where all rows are alike.
    """
    table = hashes.view(np.uint8).reshape(-1, 8).astype(np.uint32)
    for first, second in combinations(range(8), 2):
        keys = table[:, first] * 256 + table[:, second]
        order = np.argsort(keys, kind="stable")
        yield from _alike_in_runs(hashes, keys[order], order, reach or len(keys))


def more_alike(thumbnails: NDArray[np.float32], pairs: Pairs, correlation: float) -> Pairs:
    """The pairs whose thumbnails, rows of length 1, correlate above `correlation`."""
    kept = [pairs[:0]]
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        likeness = np.einsum("ij,ij->i", thumbnails[block[:, 0]], thumbnails[block[:, 1]])
        kept.append(block[likeness > correlation])
    return np.concatenate(kept)


def _alike_in_runs(
    hashes: NDArray[np.uint64], keys: NDArray[np.uint32], order: Pairs, reach: int
) -> Iterator[Pairs]:
    """Pairs within each run of equal keys, compared at a distance of one, of two, ..."""
    first = np.arange(len(keys))
    for step in range(1, reach + 1):
        first = first[: np.searchsorted(first, len(keys) - step)]
        first = first[keys[first] == keys[first + step]]
        if len(first) == 0:
            return
        here, there = order[first], order[first + step]
        near = _differing_bits(hashes[here], hashes[there]) <= LIKE_BITS
        yield np.stack([here[near], there[near]], axis=1)


def _differing_bits(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    halves = (first ^ second).view(np.uint16).reshape(-1, 4)
    return np.asarray(_BITS[halves].sum(axis=1, dtype=np.uint8))
