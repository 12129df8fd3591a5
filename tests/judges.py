"""Models whose scores can be worked out by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siamese_nima.card import ModelCard
from siamese_nima.photos import ViewPolicy


class Judge:
    """Rates a view by the mean of a figure over its pixels, from 1 at 0 to 10 at `full`."""

    model_id = "judge-1@0"

    def __init__(self, figure, full: float, *, view: str = "native") -> None:
        self._figure, self._full = figure, full
        self.card = ModelCard(name="judge", backbone="none", view=ViewPolicy.parse(view))

    def rate(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        figures = [self._figure(view[0].astype(np.float64).mean(-1)).mean() for view in views]
        share = np.clip(np.array(figures) / self._full, 0, 1)
        # All votes on the grades 1 and 10: the mean is 1 + 9 share.
        distribution = np.zeros((len(views), 10), np.float32)
        distribution[:, 0], distribution[:, 9] = 1 - share, share
        return distribution


def sharpness(grey):
    """Difference to the next pixel, up to 40: what is sharper than sharp counts no more."""
    return np.minimum(np.abs(np.diff(grey, axis=1)), 40)


def calm(grey):
    """100 less the difference to the next pixel: noise is a flaw."""
    return 100 - np.minimum(np.abs(np.diff(grey, axis=1)), 100)
