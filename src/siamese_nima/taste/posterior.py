"""What is known of a person's taste between answers, to choose what to ask next."""

from __future__ import annotations

import numpy as np

from siamese_nima.ratings import Floats
from siamese_nima.taste.preference import (
    PhotoFeatures,
    alikeness,
    learn_preference,
    tilt_variance,
    variances,
)
from siamese_nima.taste.strengths import Comparisons, Indices, TastePrior, logistic

_LEAST_ANSWERS = 10  # below it a taste is not worth fitting
_LEAST_DOUBT = 1e-3  # of an answer: the variance of a choice, .25 at most
_LEAST_VARIANCE = 1e-9


class Posterior:
    """Scores after the answers, and how uncertain they are to each other.

    Answers about some photos say something of all others, through what the network sees in them.

    Attributes:
        photos: Shape (N,), the numbers that others know the photos by.
        values: Shape (N,), expected scores.
        covariance: Shape (N, N), of the scores before the answers, in squared rating points.
        prior: What was believed before.
    """

    def __init__(self, rated: PhotoFeatures, photos: Indices, answers: Comparisons) -> None:
        """What answers say.

        Args:
            rated: What the network sees of N photos.
            photos: Shape (N,), the numbers of these photos, different ones.
            answers: About photos by these numbers; about others they say nothing here.
        """
        self.photos = photos
        known = rated.tastes
        self.prior = known.of_pairs if known else TastePrior.on(rated.scale)
        self._place = {int(photo): place for place, photo in enumerate(photos)}
        about = np.isin(answers.left, photos) & np.isin(answers.right, photos)
        tilts = np.zeros(len(photos))
        if about.sum() >= _LEAST_ANSWERS:
            here = answers.select(about)
            left, right = self.places(here.left), self.places(here.right)
            given = Comparisons(left, right, here.outcome)
            tilts = learn_preference(rated, given, [self.prior]).tilts(rated.features)
        slopes = variances(rated.tilted(tilts), rated.scale)
        self.values = rated.scores(tilts)
        self.covariance = alikeness(rated) * np.outer(slopes, slopes)
        self.covariance *= tilt_variance(rated, self.prior)

    def expected_information(self, pairs: Indices, asked: Indices, others: Indices) -> Floats:
        """How much less uncertain other pairs become by an answer, in squared rating points.

        The sum over other pairs of the variance of their gaps that the answer takes away, each by
        how probable it is that their photos are equally good.

        Args:
            pairs: Shape (P, 2), places of photos in `photos`.
            asked: Shape (M, 2), pairs that were asked before.
            others: Shape (Q, 2), pairs that are to become less uncertain.

        Returns:
            Shape (P,).

        Reference:
            Yu, Bi and Tresp, "Active learning via transductive experimental design", ICML 2006.
            Differs: other pairs are weighed by how open their order is.
        """
        both = np.concatenate([pairs, others])
        root = np.linalg.cholesky(self._between(asked, asked) + np.diag(self._doubt(asked)))
        told = np.linalg.solve(root, self._between(asked, both))
        first, second = told[:, : len(pairs)], told[:, len(pairs) :]
        shared = self._between(pairs, others) - first.T @ second
        own = np.maximum(self._variance(pairs) - np.sum(first**2, axis=0), 0.0)
        open_by = np.sqrt(
            np.maximum(self._variance(others) - np.sum(second**2, axis=0), _LEAST_VARIANCE)
        )
        density = np.exp(-0.5 * (self._gaps(others) / open_by) ** 2) / open_by
        return np.asarray((shared**2 @ density) / (own + self._doubt(pairs)))

    def places(self, photos: Indices) -> Indices:
        """Where photos are in `photos`; numbers of any shape."""
        places = [self._place[photo] for photo in photos.ravel().tolist()]
        return np.array(places, np.intp).reshape(photos.shape)

    def _gaps(self, pairs: Indices) -> Floats:
        gaps: Floats = self.values[pairs[:, 0]] - self.values[pairs[:, 1]]
        return gaps

    def _doubt(self, pairs: Indices) -> Floats:
        """Variance of an answer as a measurement of a gap."""
        chosen = logistic(self._gaps(pairs) / self.prior.noise)
        return np.asarray(self.prior.noise**2 / np.maximum(chosen * (1 - chosen), _LEAST_DOUBT))

    def _variance(self, pairs: Indices) -> Floats:
        left, right = pairs.T
        own = self.covariance
        return np.asarray(own[left, left] + own[right, right] - 2 * own[left, right])

    def _between(self, pairs: Indices, others: Indices) -> Floats:
        """Covariances of gaps, shape (P, Q)."""
        rows = self.covariance[pairs[:, 0]] - self.covariance[pairs[:, 1]]
        return np.asarray(rows[:, others[:, 0]] - rows[:, others[:, 1]])
