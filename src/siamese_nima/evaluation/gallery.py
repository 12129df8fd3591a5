"""Small pictures of the photos that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from siamese_nima.errors import PhotoError
from siamese_nima.evaluation.document import Picture
from siamese_nima.evaluation.rated_photos import RatedPhotos
from siamese_nima.photos.thumbnails import thumbnail
from siamese_nima.ratings import Floats

SHOWN = 8


def best_and_worst(rated: RatedPhotos, count: int = SHOWN) -> tuple[NDArray[np.intp], ...]:
    """Rows of the best-scored photos, best first, and of the worst, worst first."""
    order = np.argsort(-rated.scores, kind="stable")
    return order[:count], order[::-1][:count]


def most_disagreed(
    first: Floats, second: Floats, count: int = SHOWN
) -> tuple[NDArray[np.intp], ...]:
    """Rows that the first ranks higher than the second by most, and lower by most.

    Ranks, not values: scores drawn to the middle would otherwise make every extreme photo one.
    """
    ahead = rankdata(first) - rankdata(second)
    order = np.argsort(-ahead, kind="stable")
    above, below = order[:count], order[::-1][:count]
    return above[ahead[above] > 0], below[ahead[below] < 0]


def gallery(
    rated: RatedPhotos, rows: Sequence[int] | NDArray[np.intp], captions: Sequence[str], name: str
) -> list[Picture]:
    """A picture per row; a photo that cannot be read is left out, as it had no score either."""
    pictures = []
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True), start=1):
        path = rated.paths[int(row)]
        try:
            content = thumbnail(path)
        except PhotoError:
            continue
        text = f"{caption} {Path(path).name}"
        pictures.append(Picture(f"{name}-{number}.webp", content, text))
    return pictures
