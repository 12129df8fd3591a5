"""How strong each photo is to a person, from answers to 'which of these two is better?'.

Bradley-Terry on top of a model: each photo has a strength on the model's rating scale. Before any
answer it is the model's score, give or take `spread`; the probability that the left photo is
chosen is a logistic function of the strengths' difference over `noise`. Photos that nobody was
asked about keep their scores, and so the model's order. In numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_nima.errors import ConfigError, RatingError
from siamese_nima.ratings import Floats, RatingScale
from siamese_nima.taste.answers import Answer

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Coupling:
    """Photos in groups that answers couple, and where the pairs of a group are kept.

    A coupled matrix is one flat array, block after block; `at` gives the place of an entry.

    Attributes:
        photos: Shape (A,), numbers of all photos that were asked about, group after group.
        row: Shape (N,), where the photo's row begins in a flat matrix; -1 for photos not asked.
        column: Shape (N,), the photo's place in its group.
        group: Shape (N,), the group's number; -1 for photos not asked.
        sizes: Shape (G,), photos per group, ascending.
    """

    photos: Indices
    row: Indices
    column: Indices
    group: Indices
    sizes: Indices

    @classmethod
    def of(cls, left: Indices, right: Indices, count: int) -> Coupling:
        """What answers about `left` and `right`, both shape (M,), couple among `count` photos."""
        asked = np.unique(np.concatenate([left, right]))
        leader = _leaders(left, right, count)[asked]
        _, group, sizes = np.unique(leader, return_inverse=True, return_counts=True)
        by_size = np.argsort(sizes, kind="stable")
        rank = np.empty_like(by_size)
        rank[by_size] = np.arange(by_size.size)
        group, sizes = rank[group], sizes[by_size]
        order = np.argsort(group, kind="stable")
        photos, group = asked[order], group[order]
        place = np.arange(photos.size) - (np.cumsum(sizes) - sizes)[group]
        begin = np.cumsum(sizes**2) - sizes**2
        row, column, number = (
            _scattered(np.asarray(values, np.intp), photos, count)
            for values in (begin[group] + place * sizes[group], place, group)
        )
        return cls(photos, row, column, number, sizes)

    @property
    def entries(self) -> int:
        """Length of a flat matrix."""
        return int(np.sum(self.sizes**2))

    def at(self, first: Indices, second: Indices) -> Indices:
        """Places in a flat matrix of the entries of photos of one group."""
        return np.asarray(self.row[first] + self.column[second])

    def solved(self, matrix: Floats, values: Floats) -> Floats:
        """The x with matrix x = values, both sides in the order of `photos`."""
        result = np.empty_like(values)
        for rows, blocks, size in self._batches():
            square = matrix[blocks].reshape(-1, size, size)
            result[rows] = np.linalg.solve(square, values[rows].reshape(-1, size, 1)).ravel()
        return result

    def inverse(self, matrix: Floats) -> Floats:
        """The inverse, flat too."""
        result = np.empty_like(matrix)
        for _, blocks, size in self._batches():
            result[blocks] = np.linalg.inv(matrix[blocks].reshape(-1, size, size)).ravel()
        return result

    def _batches(self) -> Iterator[tuple[slice, slice, int]]:
        """Groups of one size lie together: their photos, their entries, the size."""
        row = entry = 0
        for size, groups in zip(*np.unique(self.sizes, return_counts=True), strict=True):
            rows, entries = int(size * groups), int(size**2 * groups)
            yield slice(row, row + rows), slice(entry, entry + entries), int(size)
            row, entry = row + rows, entry + entries


def _leaders(left: Indices, right: Indices, count: int) -> Indices:
    """The lowest number that a chain of answers leads to, for each photo."""
    leader = np.arange(count, dtype=np.intp)
    while np.any(leader[left] != leader[right]):
        lowest = np.minimum(leader[left], leader[right])
        for side in (left, right):
            np.minimum.at(leader, leader[side], lowest)
        while np.any(leader != leader[leader]):
            leader = leader[leader]
    return leader


def _scattered(values: Indices, photos: Indices, count: int) -> Indices:
    result = np.full(count, -1, dtype=np.intp)
    result[photos] = values
    return result


# Of 1..10: about a model's error, and half of it.
_SPREAD = 1.0
_NOISE = 0.5

_OUTCOMES = {"left": 1.0, "right": 0.0, "tie": 0.5}
_STEPS = 100
_HALVINGS = 40
_TOLERANCE = 1e-9  # of the prior's spread, on the largest step
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Answers about photos that are known by number.

    Attributes:
        left: Shape (M,), numbers of the photos on one side.
        right: Shape (M,), numbers of the photos on the other side.
        outcome: Shape (M,), 1 where the left photo was chosen, 0 where the right one was, .5 where
            they were too close to call. Shares between, such as several people's, are allowed.
    """

    left: Indices
    right: Indices
    outcome: Floats

    def __post_init__(self) -> None:
        if not self.left.shape == self.right.shape == self.outcome.shape or self.left.ndim != 1:
            raise RatingError(
                f"answers are one left, right and outcome each, got shapes {self.left.shape}, "
                f"{self.right.shape} and {self.outcome.shape}"
            )
        if np.any(self.left == self.right):
            raise RatingError("an answer compares a photo with itself")
        if not np.all((self.outcome >= 0) & (self.outcome <= 1)):
            raise RatingError("an outcome is outside 0..1")

    @classmethod
    def of(cls, left: ArrayLike, right: ArrayLike, outcome: ArrayLike) -> Comparisons:
        """The same from lists."""
        return cls(
            np.asarray(left, dtype=np.intp),
            np.asarray(right, dtype=np.intp),
            np.asarray(outcome, dtype=np.float64),
        )

    @classmethod
    def from_answers(cls, answers: Iterable[Answer], numbers: Mapping[str, int]) -> Comparisons:
        """What answers say; flags say nothing.

        Args:
            answers: All about photos in `numbers`.
            numbers: Of photos, by name.
        """
        said = [answer for answer in answers if answer.choice != "flag"]
        return cls.of(
            [numbers[answer.left] for answer in said],
            [numbers[answer.right] for answer in said],
            [_OUTCOMES[answer.choice] for answer in said],
        )

    def __len__(self) -> int:
        return int(self.outcome.size)

    def select(self, rows: NDArray[np.bool_] | Indices) -> Comparisons:
        """Some of the answers, by mask or number."""
        return Comparisons(self.left[rows], self.right[rows], self.outcome[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class TastePrior:
    """What is believed of a person before the first answer, in points of the model's rating scale.

    Attributes:
        spread: How far the person's score of a photo may be from the model's: one standard
            deviation.
        noise: The difference of scores at which the better photo is chosen 73 times of 100.
    """

    spread: float = _SPREAD
    noise: float = _NOISE

    def __post_init__(self) -> None:
        if not (0 < self.spread < np.inf and 0 < self.noise < np.inf):
            raise ConfigError(
                "the spread of a taste and the noise of answers are above 0, "
                f"got {self.spread} and {self.noise}"
            )

    @classmethod
    def on(cls, scale: RatingScale) -> TastePrior:
        """The defaults, which are of 1..10, at the same share of another scale's width."""
        share = (scale.high - scale.low) / 9
        return cls(spread=_SPREAD * share, noise=_NOISE * share)


@dataclass(frozen=True, slots=True, eq=False)
class Strengths:
    """Strengths of all photos and how uncertain they are.

    Attributes:
        values: Shape (N,), the most probable strengths, in rating points.
        variances: Shape (N,), their variances (Laplace's approximation); never above the prior's.
        prior: What was believed before.
    """

    values: Floats
    variances: Floats
    prior: TastePrior
    _coupling: Coupling = field(repr=False)
    _covariance: Floats = field(repr=False)

    @property
    def asked(self) -> Indices:
        """Shape (A,), numbers of the photos that answers are about."""
        return np.sort(self._coupling.photos)

    def gap(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """Strength of the left less that of the right photo, for numbers of any one shape."""
        return np.asarray(self.values[np.asarray(left)] - self.values[np.asarray(right)])

    def covariance(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """Covariance of two different photos' strengths; 0 where no answers connect them."""
        i, j = np.broadcast_arrays(np.asarray(left, np.intp), np.asarray(right, np.intp))
        groups = self._coupling.group
        coupled = (groups[i] >= 0) & (groups[i] == groups[j])
        result = np.zeros(i.shape)
        result[coupled] = self._covariance[self._coupling.at(i[coupled], j[coupled])]
        return result

    def gap_variance(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """Variance of `gap`: how uncertain it still is, in squared rating points."""
        i, j = np.asarray(left, np.intp), np.asarray(right, np.intp)
        variance = self.variances[i] + self.variances[j] - 2 * self.covariance(i, j)
        return np.asarray(np.maximum(variance, 0.0))

    def preference(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """Probability that the person would choose the left photo, in [0, 1]."""
        return expected_choice(
            self.gap(left, right), self.gap_variance(left, right), self.prior.noise
        )

    def information(self, left: ArrayLike, right: ArrayLike) -> Floats:
        """What the answer about a pair is expected to tell of the strengths; see
        `expected_information`.
        """
        return expected_information(
            self.gap(left, right), self.gap_variance(left, right), self.prior.noise
        )


def expected_choice(gaps: Floats, variances: Floats, noise: float) -> Floats:
    """Probability that the left photo is chosen, in [0, 1], for strengths that are uncertain.

    Args:
        gaps: Expected strength of the left less that of the right photo, any shape.
        variances: Of the gaps.
        noise: The gap at which the better photo is chosen 73 times of 100.
    """
    return _chances(gaps, variances, noise) @ _WEIGHTS


def expected_information(gaps: Floats, variances: Floats, noise: float) -> Floats:
    """What the answer about a pair is expected to tell of the strengths, 0 to log 2 nats.

    The mutual information of answer and strengths: high where the answer is open because the
    strengths are, low where it is known, or where the person would toss a coin. Arguments are those
    of `expected_choice`.

    Reference:
        Houlsby et al., "Bayesian active learning for classification and preference learning",
        2011. arXiv:1112.5745
        Differs: the expectation is by quadrature, for the logistic function.
    """
    chances = _chances(gaps, variances, noise)
    result: Floats = _entropy(chances @ _WEIGHTS) - _entropy(chances) @ _WEIGHTS
    return np.maximum(result, 0.0)


def estimate_strengths(
    scores: ArrayLike,
    comparisons: Comparisons,
    *,
    prior: TastePrior | None = None,
    start: Strengths | None = None,
) -> Strengths:
    """The most probable strengths of all photos given a person's answers.

    Costs a few solutions of as many equations as photos were asked about: the folder's size
    hardly matters.

    Args:
        scores: Shape (N,), the model's scores, in rating points.
        comparisons: Answers; their numbers are places in `scores`. None is fine.
        prior: Spread and noise; by default those of the scale 1..10.
        start: An earlier estimate for the same photos, to be there sooner. Changes no result.

    Raises:
        RatingError: A score that is not finite, or an answer about a photo that is not there.

    Reference:
        Bradley and Terry, "Rank analysis of incomplete block designs", 1952.

    >>> once = Comparisons.of([0], [1], [0])
    >>> estimate_strengths([6.0, 5.0, 5.5], once).values.round(2).tolist()
    [5.33, 5.67, 5.5]
    """
    prior = prior or TastePrior()
    means = np.asarray(scores, dtype=np.float64)
    if means.ndim != 1 or not np.all(np.isfinite(means)):
        raise RatingError("strengths start from one finite score per photo")
    numbers = np.concatenate([comparisons.left, comparisons.right])
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < means.size):
        raise RatingError(
            f"an answer is about photo number {numbers.max()}, there are {means.size} photos"
        )
    coupling = Coupling.of(comparisons.left, comparisons.right, means.size)
    values = _most_probable(
        means, comparisons, prior, coupling, means if start is None else start.values
    )
    chosen = logistic((values[comparisons.left] - values[comparisons.right]) / prior.noise)
    covariance = coupling.inverse(_curvature(chosen, comparisons, prior, coupling))
    variances = np.full(means.size, prior.spread**2)
    variances[coupling.photos] = covariance[coupling.at(coupling.photos, coupling.photos)]
    return Strengths(values, variances, prior, coupling, covariance)


def _most_probable(
    means: Floats, answers: Comparisons, prior: TastePrior, coupling: Coupling, first: Floats
) -> Floats:
    """Newton's method on the log posterior, which is concave."""
    asked = coupling.photos
    values = means.copy()
    values[asked] = first[asked]
    height = _log_posterior(values, means, answers, prior)
    for _ in range(_STEPS if asked.size else 0):
        chosen = logistic((values[answers.left] - values[answers.right]) / prior.noise)
        surprise = (answers.outcome - chosen) / prior.noise
        slope = (means - values) / prior.spread**2
        np.add.at(slope, answers.left, surprise)
        np.add.at(slope, answers.right, -surprise)
        step = np.zeros(means.size)
        step[asked] = coupling.solved(_curvature(chosen, answers, prior, coupling), slope[asked])
        for _ in range(_HALVINGS):
            higher = _log_posterior(values + step, means, answers, prior)
            if higher >= height - 1e-12 * abs(height):
                break
            step = step / 2
        values, height = values + step, higher
        if np.max(np.abs(step)) < _TOLERANCE * prior.spread:
            break
    return values


def _log_posterior(values: Floats, means: Floats, answers: Comparisons, prior: TastePrior) -> float:
    gaps = (values[answers.left] - values[answers.right]) / prior.noise
    likelihood = answers.outcome * gaps - np.logaddexp(0, gaps)
    return float(likelihood.sum() - np.sum((values - means) ** 2) / (2 * prior.spread**2))


def _curvature(
    chosen: Floats, answers: Comparisons, prior: TastePrior, coupling: Coupling
) -> Floats:
    """Minus the second derivatives of the log posterior, a flat coupled matrix."""
    weight = chosen * (1 - chosen) / prior.noise**2
    result = np.zeros(coupling.entries)
    result[coupling.at(coupling.photos, coupling.photos)] = 1 / prior.spread**2
    for side, other in ((answers.left, answers.right), (answers.right, answers.left)):
        np.add.at(result, coupling.at(side, side), weight)
        np.add.at(result, coupling.at(side, other), -weight)
    return result


def _chances(gaps: Floats, variances: Floats, noise: float) -> Floats:
    """Probabilities of choosing left at the nodes of the quadrature, along a last axis."""
    spread = np.sqrt(variances)[..., np.newaxis]
    return logistic((gaps[..., np.newaxis] + spread * _NODES) / noise)


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _entropy(share: Floats) -> Floats:
    inside = np.clip(share, 1e-300, 1.0)
    outside = np.clip(1 - share, 1e-300, 1.0)
    return np.asarray(-(share * np.log(inside) + (1 - share) * np.log(outside)))
