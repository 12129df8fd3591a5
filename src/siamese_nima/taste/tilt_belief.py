"""What is believed of a taste after some answers, and which pair would tell most about it.

Answers about some photos say something of all others, through what the network sees in them. So a
pair is worth asking as far as its answer makes other pairs of the folder less uncertain, above all
those whose order is open.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siamese_nima.ratings import Floats
from siamese_nima.taste.asked import Asked, Indices, random_pairs, recent_photos
from siamese_nima.taste.held_out import tilt_of_answers
from siamese_nima.taste.strengths import Comparisons, StrengthPrior, logistic
from siamese_nima.taste.tilt import Rated, TiltPrior, alikeness, tilt_size, variances

LEAST_ANSWERS = 10  # below it a taste is not worth fitting
_CANDIDATES = 500
_JUDGED_PAIRS = 250
_LEAST_DOUBT = 1e-3  # of an answer: the variance of a choice, .25 at most
_LEAST_VARIANCE = 1e-9


class TiltBelief:
    """Scores after the answers, and how uncertain they are to each other.

    Attributes:
        photos: Shape (N,), the numbers that others know the photos by.
        values: Shape (N,), expected scores.
        covariance: Shape (N, N), of the scores before the answers, in squared rating points.
        prior: What was believed before.
    """

    def __init__(self, rated: Rated, photos: Indices, answers: Comparisons) -> None:
        """What answers say.

        Args:
            rated: What the network sees of N photos.
            photos: Shape (N,), the numbers of these photos, different ones.
            answers: About photos by these numbers; about others they say nothing here.
        """
        usual = StrengthPrior.on(rated.scale)
        self.photos = photos
        self.prior = TiltPrior(spread=usual.spread, noise=usual.noise)
        self._place = {int(photo): place for place, photo in enumerate(photos)}
        known = np.isin(answers.left, photos) & np.isin(answers.right, photos)
        tilts = np.zeros(len(photos))
        if known.sum() >= LEAST_ANSWERS:
            here = answers.select(known)
            left, right = self._places(here.left), self._places(here.right)
            given = Comparisons(left, right, here.outcome)
            tilts = tilt_of_answers(rated, given, [self.prior]).of(rated.features)
        slopes = variances(rated.tilted(tilts), rated.scale)
        self.values = rated.scores(tilts)
        self.covariance = alikeness(rated) * np.outer(slopes, slopes)
        self.covariance *= tilt_size(rated, self.prior)

    def telling_pair(
        self, asked: Sequence[Asked], draw: np.random.Generator
    ) -> tuple[int, int] | None:
        """The pair that tells most, of 500 drawn ones; None where there is none to be asked.

        Args:
            asked: All that was shown, whether its answer is in the belief or still to come.
            draw: Of the pairs that are tried, and of those that are to become less uncertain.
        """
        known = {frozenset((pair.left, pair.right)) for pair in asked}
        tired = recent_photos(asked)
        tried = self.photos[random_pairs(len(self.photos), _CANDIDATES, draw)]
        fresh = np.array([frozenset(pair) not in known for pair in tried.tolist()])
        rested = fresh & ~np.isin(tried, list(tired)).any(axis=1)
        tried = tried[rested if rested.any() else fresh]
        if not len(tried):
            return None
        shown = np.array(
            [
                (pair.left, pair.right)
                for pair in asked
                if pair.left in self._place and pair.right in self._place
            ],
            np.intp,
        ).reshape(-1, 2)
        others = random_pairs(len(self.photos), _JUDGED_PAIRS, draw)
        best = np.argmax(self.worth(self._places(tried), self._places(shown), others))
        return int(tried[best, 0]), int(tried[best, 1])

    def worth(self, pairs: Indices, asked: Indices, others: Indices) -> Floats:
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
        result: Floats = (shared**2 @ density) / (own + self._doubt(pairs))
        return result

    def _places(self, photos: Indices) -> Indices:
        places = [self._place[photo] for photo in photos.ravel().tolist()]
        return np.array(places, np.intp).reshape(photos.shape)

    def _gaps(self, pairs: Indices) -> Floats:
        gaps: Floats = self.values[pairs[:, 0]] - self.values[pairs[:, 1]]
        return gaps

    def _doubt(self, pairs: Indices) -> Floats:
        """Variance of an answer as a measurement of a gap."""
        chosen = logistic(self._gaps(pairs) / self.prior.noise)
        result: Floats = self.prior.noise**2 / np.maximum(chosen * (1 - chosen), _LEAST_DOUBT)
        return result

    def _variance(self, pairs: Indices) -> Floats:
        left, right = pairs.T
        own = self.covariance
        result: Floats = own[left, left] + own[right, right] - 2 * own[left, right]
        return result

    def _between(self, pairs: Indices, others: Indices) -> Floats:
        """Covariances of gaps, shape (P, Q)."""
        rows = self.covariance[pairs[:, 0]] - self.covariance[pairs[:, 1]]
        result: Floats = rows[:, others[:, 0]] - rows[:, others[:, 1]]
        return result
