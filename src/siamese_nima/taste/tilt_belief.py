"""What is known of a taste so far, and how uncertain it still is for every pair.

Has the methods of `strengths.Strengths` that `choosing` asks for, but answers about some photos
make others less uncertain too, through what the network sees in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from siamese_nima.ratings import Floats
from siamese_nima.taste.held_out import tilt_of_answers
from siamese_nima.taste.strengths import (
    Comparisons,
    expected_choice,
    expected_information,
    logistic,
)
from siamese_nima.taste.tilt import Rated, TiltPrior, alikeness, tilt_size, variances

_FEW = 10  # answers below which a taste is not worth fitting
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class TiltBelief:
    """Scores after the answers so far, and their uncertainty.

    Attributes:
        values: Shape (N,), the scores.
        noise: The difference of scores at which the better photo is chosen 73 times of 100.
    """

    values: Floats
    noise: float
    _slopes: Floats
    _covariance: Floats
    _shared: Floats
    _precision: Floats

    def gap(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """Score of the left less that of the right photo, for numbers of shape (P,)."""
        result: Floats = self.values[np.asarray(left)] - self.values[np.asarray(right)]
        return result

    def gap_variance(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """Variance of `gap`, in squared rating points."""
        i, j = np.asarray(left, np.intp), np.asarray(right, np.intp)
        a, b = self._slopes[i], self._slopes[j]
        own = self._covariance
        before = own[i, i] * a**2 + own[j, j] * b**2 - 2 * own[i, j] * a * b
        known = self._shared[:, i] * a - self._shared[:, j] * b
        taken = np.einsum("mp,mp->p", known, self._precision @ known)
        result: Floats = np.maximum(before - taken, 0.0)
        return result

    def preference(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """Probability that the person would choose the left photo."""
        return expected_choice(self.gap(left, right), self.gap_variance(left, right), self.noise)

    def information(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """What the answer is expected to tell of the taste; see `expected_information`."""
        gaps, spreads = self.gap(left, right), self.gap_variance(left, right)
        return expected_information(gaps, spreads, self.noise)


class TiltBeliefs:
    """Beliefs about one folder's photos, after any answers."""

    def __init__(self, rated: Rated, prior: TiltPrior) -> None:
        """Compare all photos once.

        Args:
            rated: The N photos; N x N numbers are kept.
            prior: What is believed before there are ten answers.
        """
        self._rated = rated
        self._prior = prior
        self._alike = alikeness(rated)

    def after(self, answers: Comparisons) -> TiltBelief:
        """What is believed after answers, which number photos as `rated` has them."""
        rated, prior = self._rated, self._prior
        tilts = np.zeros(len(rated.features))
        if len(answers) >= _FEW:
            tilt = tilt_of_answers(rated, answers)
            tilts, prior = tilt.of(rated.features), tilt.prior
        slopes = variances(rated.tilted(tilts), rated.scale)
        values = rated.scores(tilts)
        covariance = self._alike * tilt_size(rated, prior)
        left, right = answers.left, answers.right
        shared = covariance[left] * slopes[left, np.newaxis]
        shared -= covariance[right] * slopes[right, np.newaxis]
        between = shared[:, left] * slopes[left] - shared[:, right] * slopes[right]
        chosen = logistic((values[left] - values[right]) / prior.noise)
        weight = np.maximum(chosen * (1 - chosen), _LEAST_WEIGHT) / prior.noise**2
        inverse = np.linalg.inv(between + np.diag(1 / weight))
        return TiltBelief(values, prior.noise, slopes, covariance, shared, np.asarray(inverse))
