"""Simulated people who choose between photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from siamese_nima.ratings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Picker:
    """Looks at each photo of a pair with an error of its own (Thurstone's model).

    Attributes:
        strengths: Shape (N,), how good each photo is to this person, in rating points.
        noise: Standard deviation of one look at one photo, in rating points.
        tie: Photos that seem less than this apart are too close to call.
    """

    strengths: Floats
    noise: float
    tie: float = 0.0

    def answers(self, left: ArrayLike, right: ArrayLike, generator: np.random.Generator) -> Floats:
        """Answers to pairs: 1 for the left photo, 0 for the right one, .5 for a tie."""
        gaps = self.strengths[np.asarray(left)] - self.strengths[np.asarray(right)]
        seen = gaps + generator.normal(0, 2**0.5 * self.noise, gaps.shape)
        return np.where(np.abs(seen) < self.tie, 0.5, (seen > 0).astype(np.float64))
