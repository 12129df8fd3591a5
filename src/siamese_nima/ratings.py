"""The rating distribution and its mathematics, in numpy alone.

A *rating distribution* is a row of K probabilities over the grades of a *rating scale*. Functions
take one row, shape (K,), or many, shape (N, K), and answer with a scalar array or shape (N,).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_nima.errors import ConfigError, RatingError

Floats = NDArray[np.float64]

_SUM_TOLERANCE = 1e-4  # float32 softmax rows of up to 100 grades stay well inside
_NEWTON_STEPS = 200
_TOLERANCE = 1e-9  # of a rating point, on mean and variance
_EDGE = 1e-6  # relative distance from an impossible spread below which the limit is used


@dataclass(frozen=True, slots=True)
class RatingScale:
    """The ordered integer grades people could give, `low` to `high`, both included."""

    low: int = 1
    high: int = 10

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise RatingError(f"a rating scale needs low < high, got {self.low}..{self.high}")

    @property
    def grades(self) -> Floats:
        """Shape (K,), the grades in ascending order."""
        return _grades(self.low, self.high).copy()

    @property
    def size(self) -> int:
        """K, the number of grades."""
        return self.high - self.low + 1

    @classmethod
    def parse(cls, text: str) -> RatingScale:
        """The scale that `str` writes, such as "1..5".

        Raises:
            ConfigError: Another form.
        """
        low, separator, high = text.partition("..")
        if not (separator and low.isdigit() and high.isdigit() and int(low) < int(high)):
            raise ConfigError(f"scale {text!r}: wanted two rising whole numbers such as 1..5")
        return cls(int(low), int(high))

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


@lru_cache(maxsize=64)
def _grades(low: int, high: int) -> Floats:
    grades = np.arange(low, high + 1, dtype=np.float64)
    grades.flags.writeable = False
    return grades


AVA_SCALE = RatingScale(1, 10)


def check_distributions(distributions: ArrayLike, scale: RatingScale) -> Floats:
    """`distributions` as float64, refused unless each row is a distribution over `scale`.

    Raises:
        RatingError: Wrong number of grades, a value that is negative or not finite, or a row whose
            sum is further than 1e-4 from 1.
    """
    rows = np.asarray(distributions, dtype=np.float64)
    if rows.ndim not in (1, 2) or rows.shape[-1] != scale.size:
        raise RatingError(
            f"a distribution over {scale} has {scale.size} probabilities, got shape {rows.shape}"
        )
    if not np.all(np.isfinite(rows)) or np.any(rows < 0):
        raise RatingError("a rating distribution has a negative or non-finite probability")
    worst = float(np.max(np.abs(rows.sum(axis=-1) - 1), initial=0.0))
    if worst > _SUM_TOLERANCE:
        raise RatingError(f"a rating distribution must sum to 1, one is off by {worst:.3g}")
    return rows


def distribution_from_votes(votes: ArrayLike, scale: RatingScale = AVA_SCALE) -> Floats:
    """Vote counts per grade, shape (K,) or (N, K), as shares that sum to 1.

    Raises:
        RatingError: Wrong number of grades, a negative count, or a photo without votes.

    >>> distribution_from_votes([0, 1, 3, 0, 0], RatingScale(1, 5)).tolist()
    [0.0, 0.25, 0.75, 0.0, 0.0]
    """
    counts = np.asarray(votes, dtype=np.float64)
    if counts.ndim not in (1, 2) or counts.shape[-1] != scale.size:
        raise RatingError(f"votes over {scale} are {scale.size} counts, got shape {counts.shape}")
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise RatingError("a vote count is negative or not finite")
    totals = counts.sum(axis=-1, keepdims=True)
    if np.any(totals == 0):
        raise RatingError(f"{int(np.sum(totals == 0))} photo(s) have no vote at all")
    shares: Floats = counts / totals
    return shares


def mean(distributions: ArrayLike, scale: RatingScale = AVA_SCALE) -> Floats:
    """Expectation of each distribution, in [low, high]; higher is better. This is *the score*.

    >>> float(mean([0.5, 0, 0, 0, 0.5], RatingScale(1, 5)))
    3.0
    """
    result: Floats = np.asarray(
        np.asarray(distributions, dtype=np.float64) @ _grades(scale.low, scale.high)
    )
    return result


def spread(distributions: ArrayLike, scale: RatingScale = AVA_SCALE) -> Floats:
    """Standard deviation of each distribution, in rating points, from 0 to (high - low) / 2.

    It says how much people would disagree, not how sure the model is.

    >>> float(spread([0.5, 0, 0, 0, 0.5], RatingScale(1, 5)))
    2.0
    """
    rows = np.asarray(distributions, dtype=np.float64)
    centred = _grades(scale.low, scale.high) - mean(rows, scale)[..., np.newaxis]
    return np.asarray(np.sqrt((rows * centred**2).sum(axis=-1)))


def emd(first: ArrayLike, second: ArrayLike, *, r: Literal[1, 2] = 2) -> Floats:
    """Earth mover's distance between rating distributions, from 0 (equal) to ((K - 1) / K)^(1/r).

    The mean over the K grades of |difference of the cumulative distributions|^r, then the r-th
    root. Both values appear in the literature and are not comparable: r = 2 is trained on, r = 1
    is what the NIMA paper tabulates.

    Args:
        first: Shape (K,) or (N, K); rows sum to 1.
        second: A shape that broadcasts with `first`, same K.
        r: 1 or 2.

    Raises:
        RatingError: The numbers of grades differ, or r is neither 1 nor 2.

    Reference:
        Talebi and Milanfar, "NIMA: Neural Image Assessment", 2018, equation 1. arXiv:1709.05424

    >>> float(emd([1, 0, 0, 0], [0, 0, 0, 1], r=1))
    0.75
    """
    a, b = (np.asarray(x, dtype=np.float64) for x in (first, second))
    if a.shape[-1] != b.shape[-1]:
        raise RatingError(f"distributions of {a.shape[-1]} and {b.shape[-1]} grades do not compare")
    gaps = np.abs(np.cumsum(a, axis=-1) - np.cumsum(b, axis=-1))
    if r == 1:
        return np.asarray(gaps.mean(axis=-1))
    if r == 2:
        return np.asarray(np.sqrt((gaps**2).mean(axis=-1)))
    raise RatingError(f"the order r of the earth mover's distance is 1 or 2, got {r}")


def preference(first: ArrayLike, second: ArrayLike) -> Floats:
    """P(a vote on the first photo is above a vote on the second) + half of P(equal), in [0, 1].

    The two votes are drawn independently, one from each distribution; 0.5 means no preference and
    preference(a, b) + preference(b, a) = 1.

    >>> float(preference([0, 0, 1], [0, 0.5, 0.5]))
    0.75
    """
    a, b = (np.asarray(x, dtype=np.float64) for x in (first, second))
    if a.shape[-1] != b.shape[-1]:
        raise RatingError(f"distributions of {a.shape[-1]} and {b.shape[-1]} grades do not compare")
    below = np.cumsum(b, axis=-1) - b
    return np.asarray(np.sum(a * (below + 0.5 * b), axis=-1))


def map_mean(scores: ArrayLike, origin: RatingScale, target: RatingScale) -> Floats:
    """Scores on one scale at the same relative position of another.

    >>> float(map_mean(3.0, RatingScale(1, 5), RatingScale(1, 10)))
    5.5
    """
    position = (np.asarray(scores, dtype=np.float64) - origin.low) / (origin.high - origin.low)
    return np.asarray(target.low + position * (target.high - target.low))


def map_distribution(distributions: ArrayLike, origin: RatingScale, target: RatingScale) -> Floats:
    """Distributions carried to another scale so that each mean keeps its relative position.

    Each grade's probability goes to the two target grades around its relative position, split so
    that their expectation is that position. Means map exactly (see `map_mean`); spreads can grow by
    at most half a target grade.

    >>> map_distribution([0, 1, 0], RatingScale(1, 3), RatingScale(1, 4)).tolist()
    [0.0, 0.5, 0.5, 0.0]
    """
    rows = check_distributions(distributions, origin)
    positions = map_mean(origin.grades, origin, target)
    nearness: Floats = 1 - np.abs(positions[:, np.newaxis] - target.grades[np.newaxis, :])
    return np.asarray(rows @ np.maximum(nearness, 0))


def distribution_from_mos(
    mos: ArrayLike, scale: RatingScale = AVA_SCALE, *, spread: ArrayLike | None = None
) -> Floats:
    """The maximum-entropy distribution with the given mean and, where given, standard deviation.

    A data set that publishes only mean opinion scores still has to train a distribution. Of all
    distributions with that mean (and spread) the one of largest entropy adds no further claim.
    With a mean alone it is p_k proportional to exp(a k); with a spread too, exp(a k + b k^2).

    Args:
        mos: Mean opinion scores on `scale`, a scalar or shape (N,).
        scale: The rating scale of the result; see `ratings.map_mean` to bring scores onto it.
        spread: Standard deviations of the votes in rating points, same shape as `mos`. Not the
            standard error of the mean.

    Returns:
        Shape (K,) or (N, K). Means agree with `mos` within 1e-6 rating points.

    Raises:
        RatingError: A score outside the scale, or a spread that no distribution with that mean has.

    Reference:
        Jaynes, "Information theory and statistical mechanics", 1957.

    >>> distribution_from_mos(2.0, RatingScale(1, 3)).round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    means = np.asarray(mos, dtype=np.float64)
    if means.ndim > 1:
        raise RatingError(f"mean opinion scores are one per photo, got shape {means.shape}")
    outside = ~((means >= scale.low) & (means <= scale.high))
    if np.any(outside):
        raise RatingError(
            f"a mean opinion score of {np.atleast_1d(means)[np.atleast_1d(outside)][0]:g} "
            f"is outside the scale {scale}"
        )
    flat = np.atleast_1d(means)
    if spread is None:
        rows = _with_mean(flat, scale)
    else:
        spreads = np.asarray(spread, dtype=np.float64)
        if spreads.shape != means.shape:
            raise RatingError(f"{means.shape} scores need as many spreads, got {spreads.shape}")
        rows = _with_mean_and_variance(flat, np.atleast_1d(spreads) ** 2, scale)
    return rows if means.ndim else rows[0]


def spread_limits(mos: ArrayLike, scale: RatingScale = AVA_SCALE) -> tuple[Floats, Floats]:
    """The smallest and the largest standard deviation of whole ratings with these means.

    Args:
        mos: Shape (N,), means on `scale`. Between two grades people cannot all agree.
        scale: The rating scale.

    Returns:
        Two of shape (N,), in rating points.

    >>> spread_limits([3.0, 3.5], RatingScale(1, 5))[0].tolist()
    [0.0, 0.5]
    """
    _, least, most = _variance_limits(np.asarray(mos, dtype=np.float64), scale)
    return np.sqrt(least), np.sqrt(most)


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _with_mean(means: Floats, scale: RatingScale) -> Floats:
    grades = scale.grades
    low = np.full(means.shape, -60.0)  # exp(-60) is below the rounding error of 1
    high = np.full(means.shape, 60.0)
    for _ in range(80):
        middle = (low + high) / 2
        too_low = _softmax(middle[:, np.newaxis] * grades) @ grades < means
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return _softmax(((low + high) / 2)[:, np.newaxis] * grades)


def _with_mean_and_variance(means: Floats, variances: Floats, scale: RatingScale) -> Floats:
    below, least, most = _variance_limits(means, scale)
    impossible = ~((variances >= least * (1 - _EDGE) - _EDGE) & (variances <= most * (1 + _EDGE)))
    if np.any(impossible):
        i = int(np.flatnonzero(impossible)[0])
        raise RatingError(
            f"no distribution on {scale} with mean {means[i]:g} has a spread of "
            f"{variances[i] ** 0.5:g}; possible are {least[i] ** 0.5:.3g} to {most[i] ** 0.5:.3g}"
        )
    room = most - least
    narrow = variances - least <= _EDGE * np.maximum(room, 1)
    wide = ~narrow & (most - variances <= _EDGE * np.maximum(room, 1))
    inner = ~narrow & ~wide
    rows = np.zeros((means.size, scale.size))
    index = np.arange(means.size)
    above_share = means - below
    first = np.where(wide, scale.low, below).astype(int) - scale.low
    second = np.where(wide, scale.high, np.minimum(below + 1, scale.high)).astype(int) - scale.low
    high_share = np.where(wide, (means - scale.low) / (scale.high - scale.low), above_share)
    rows[index, first] += 1 - high_share
    rows[index, second] += high_share
    if np.any(inner):
        rows[inner] = _newton(means[inner], variances[inner], scale)
    return rows


def _variance_limits(means: Floats, scale: RatingScale) -> tuple[Floats, Floats, Floats]:
    """The grade below each mean, and the least and largest variance possible with that mean."""
    below = np.minimum(np.floor(means), scale.high - 1)
    least = (means - below) * (below + 1 - means)
    most = (means - scale.low) * (scale.high - means)
    return below, least, most


def _newton(means: Floats, variances: Floats, scale: RatingScale) -> Floats:
    """Minimise the convex dual log Z(a, b) over p ~ exp(a d + b (d^2 - variance)), d = k - mean."""
    centred = scale.grades[np.newaxis, :] - means[:, np.newaxis]
    features = np.stack([centred, centred**2 - variances[:, np.newaxis]], axis=2)  # (N, K, 2)
    parameters = np.zeros((means.size, 2))
    parameters[:, 1] = -0.5 / variances  # a normal density is the answer on an endless scale
    objective = _dual(parameters, features)
    for _ in range(_NEWTON_STEPS):
        rows = _softmax(np.einsum("nkf,nf->nk", features, parameters))
        gradient = np.einsum("nk,nkf->nf", rows, features)
        if np.max(np.abs(gradient)) < _TOLERANCE:
            return rows
        deviations = features - gradient[:, np.newaxis, :]
        curvature = np.einsum("nk,nkf,nkg->nfg", rows, deviations, deviations)
        curvature += 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient[:, :, np.newaxis])[:, :, 0]
        size = np.ones(means.size)
        slope = np.sum(gradient * step, axis=1)
        for _ in range(40):
            trial = _dual(parameters - size[:, np.newaxis] * step, features)
            bad = ~(trial <= objective - 1e-4 * size * slope + 1e-13)
            if not np.any(bad):
                break
            size = np.where(bad, size / 2, size)
        parameters = parameters - size[:, np.newaxis] * step
        objective = _dual(parameters, features)
    rows = _softmax(np.einsum("nkf,nf->nk", features, parameters))
    missed = np.max(np.abs(np.einsum("nk,nkf->nf", rows, features)), axis=1)
    i = int(np.argmax(missed))
    if missed[i] > 1e-6:
        raise RatingError(
            f"no maximum-entropy distribution found for mean {means[i]:g} and spread "
            f"{variances[i] ** 0.5:g} on {scale}; the spread is too close to an impossible one"
        )
    return rows


def _dual(parameters: Floats, features: Floats) -> Floats:
    logits = np.einsum("nkf,nf->nk", features, parameters)
    peak = logits.max(axis=1)
    return np.asarray(peak + np.log(np.sum(np.exp(logits - peak[:, np.newaxis]), axis=1)))
