"""The origin's training data: photos beside labels, cut to views once and kept for all epochs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_nima.cores import usable_cores
from siamese_nima.errors import PhotoError, TableError
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy, Views


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhotos:
    """Photos that could be read, with their labels.

    Attributes:
        paths: N of them, in table order; one may appear twice.
        labels: Shape (N,), integers or floats.
        views: uint8, shape (N, V, H, W, 3), a memory map.
        unreadable: Why the other photos are left out.
    """

    paths: tuple[Path, ...]
    labels: NDArray[Any]
    views: Views
    unreadable: tuple[PhotoError, ...]


def read_labelled_photos(raw: Any, policy: ViewPolicy, store: Path) -> LabelledPhotos:
    """Cut the views of all photos into the file `store`.

    Args:
        raw: (paths, labels), as `SiameseNIMA.load_data` returns them for two columns.
        policy: Must give views of one size.
        store: A new file that the views are kept in.

    Raises:
        TableError: `raw` is something else, or no photo can be read.
    """
    paths, labels = _checked(raw)
    shape = (len(paths), sum(policy.group_sizes), *(policy.view_size or ()), 3)
    views = np.lib.format.open_memmap(store, "w+", np.uint8, shape)
    unreadable: list[PhotoError] = []
    kept: list[int] = []
    for row, cut in enumerate(_cut_all(paths, policy)):
        if isinstance(cut, PhotoError):
            unreadable.append(cut)
        else:
            views[len(kept)] = cut
            kept.append(row)
    if not kept:
        raise TableError(
            f"none of the {len(paths)} photos can be read; the first: {unreadable[0]}"
            if paths
            else "the table has no photos"
        )
    return LabelledPhotos(
        tuple(paths[row] for row in kept), labels[kept], views[: len(kept)], tuple(unreadable)
    )


def _checked(raw: Any) -> tuple[list[Path], NDArray[Any]]:
    if not isinstance(raw, (tuple, list)) or len(raw) != 2:
        raise TableError(
            "training data are (paths, labels), as load_data returns them for the columns "
            f"file_name and label; got {type(raw).__name__}"
            + (f" of length {len(raw)}" if isinstance(raw, Sequence) else "")
        )
    paths = [Path(os.fspath(path)) for path in raw[0]]
    labels = np.asarray(raw[1])
    if labels.shape != (len(paths),) or labels.dtype.kind not in "iufb":
        raise TableError(
            f"{len(paths)} photos need as many labels that are numbers, got shape {labels.shape} "
            f"of {labels.dtype}"
        )
    if not np.all(np.isfinite(labels)):
        raise TableError("a label is not a finite number")
    return paths, labels


def _cut_all(paths: Sequence[Path], policy: ViewPolicy) -> Iterator[Views | PhotoError]:
    return map_in_order(partial(_cut, policy=policy), paths, workers=usable_cores())


def _cut(path: Path, policy: ViewPolicy) -> Views | PhotoError:
    try:
        # Decoded in full, as `SiameseNIMA.predict` does.
        return policy.views(read_photo(path))
    except PhotoError as error:
        return error
