"""How often the better of two photos scores higher: by gap of the labels, and of the scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.stats import norm

from siamese_nima.errors import TableError
from siamese_nima.evaluation.metrics import Interval, interval_of
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import AVA_SCALE, Floats, RatingScale

# Shares of the scale's range: .1, .2, .5, 1 and 2 points of the scale 1..10.
GAP_SHARES = (0.0, 1 / 90, 2 / 90, 5 / 90, 1 / 9, 2 / 9, 1.0)
MAX_PAIRS = 300_000


@dataclass(frozen=True, slots=True)
class GapAccuracy:
    """Pairs whose labels differ by more than `low` up to `high`, and the share in right order."""

    low: float
    high: float
    pairs: int
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class PairAccuracies:
    """Accuracy over all pairs with different labels, and by gap of the labels; see
    `accuracy_by_gap`.
    """

    total: Interval
    pairs: int
    by_gap: tuple[GapAccuracy, ...]


def sample_pairs(count: int, limit: int = MAX_PAIRS, *, seed: int = 0) -> NDArray[np.intp]:
    """All pairs of `count` rows, or where there are more than `limit`, as many drawn at random.

    Returns:
        Shape (P, 2), two different rows each.
    """
    if count * (count - 1) // 2 <= limit:
        return np.stack(np.triu_indices(count, k=1), axis=1)
    generator = np.random.default_rng(seed)
    first = generator.integers(0, count, limit)
    second = (first + generator.integers(1, count, limit)) % count
    return np.stack([first, second], axis=1)


def right_order(scores: Floats, labels: Floats, pairs: NDArray[np.intp]) -> Floats:
    """Per pair 1 where scores and labels agree on the better photo, 0 where not, .5 for a tie.

    Args:
        scores: Shape (N,).
        labels: Shape (N,).
        pairs: Shape (P, 2), rows with different labels.
    """
    first, second = pairs[:, 0], pairs[:, 1]
    agreed = (scores[first] - scores[second]) * (labels[first] - labels[second])
    return np.asarray((agreed > 0) + 0.5 * (agreed == 0), dtype=np.float64)


def accuracy_by_gap(
    scores: ArrayLike,
    labels: ArrayLike,
    scenes: Sequence[str],
    edges: ArrayLike,
    *,
    repeats: int = 400,
    seed: int = 0,
    max_pairs: int = MAX_PAIRS,
) -> PairAccuracies:
    """Share of pairs in the order people gave them, 0 to 1, in total and by gap of the labels.

    A tie of scores counts one half; pairs of equal labels count nowhere. Intervals hold 95 % and
    come from drawing scenes again: a pair counts as often as both its scenes are drawn.

    Args:
        scores: Shape (N,).
        labels: Shape (N,), higher is better.
        scenes: Shape (N,).
        edges: Ascending gaps between the classes, shape (E,); the first is excluded from its class
            (a gap of 0 is no order), each other edge belongs to the class below it.
        repeats: Resamples of the intervals.
        seed: Of the drawing of pairs and scenes.
        max_pairs: Where there are more pairs, as many are drawn at random.

    Returns:
        Classes without a pair are left out.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    bounds = np.asarray(edges, dtype=np.float64)
    if bounds.size < 2 or np.any(np.diff(bounds) <= 0):
        raise TableError(f"gap edges must ascend, at least two, got {bounds.tolist()}")
    pairs = sample_pairs(len(s), max_pairs, seed=seed)
    gaps = np.abs(y[pairs[:, 0]] - y[pairs[:, 1]])
    pairs, gaps = pairs[gaps > 0], gaps[gaps > 0]
    right = right_order(s, y, pairs)
    classes = np.searchsorted(bounds, gaps, side="left") - 1
    inside = (classes >= 0) & (classes < len(bounds) - 1)
    size = len(bounds) - 1
    # The last of the shares is that of all pairs.
    values = _shares(right, classes, inside, np.ones(len(pairs)), size)
    draws = np.array(
        [
            _shares(right, classes, inside, weights, size)
            for weights in pair_weights(scenes, pairs, repeats, seed)
        ]
    ).reshape(repeats, size + 1)
    counts = np.bincount(classes[inside], minlength=size)
    rows = tuple(
        GapAccuracy(
            float(bounds[i]),
            float(bounds[i + 1]),
            int(counts[i]),
            interval_of(values[i], draws[:, i]),
        )
        for i in range(size)
        if counts[i]
    )
    return PairAccuracies(interval_of(values[size], draws[:, size]), len(pairs), rows)


def pair_weights(
    scenes: Sequence[str], pairs: NDArray[np.intp], repeats: int, seed: int
) -> Iterator[Floats]:
    """How often each pair counts in each of `repeats` drawings of scenes; shape (P,) each."""
    _, codes = np.unique(np.asarray(scenes), return_inverse=True)
    first, second = codes[pairs[:, 0]], codes[pairs[:, 1]]
    count = int(codes.max()) + 1
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        drawn = generator.integers(0, count, count)
        times = np.bincount(drawn, minlength=count).astype(np.float64)
        yield times[first] * times[second]


def top_precision(scores: ArrayLike, labels: ArrayLike, *, share: float = 0.1) -> float:
    """Of the best-scored photos, the share that is among the best-rated as well, 0 to 1.

    Chance gives `share`. Among equal labels at the border the model is given the benefit.

    Args:
        scores: Shape (N,).
        labels: Shape (N,).
        share: How many count as best, of all photos; at least one photo does.

    >>> top_precision([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0], share=0.5)
    1.0
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if not 0 < share <= 1:
        raise TableError(f"the share of best photos must be above 0 and at most 1, got {share}")
    count = max(1, round(share * len(s)))
    best = np.argsort(-s, kind="stable")[:count]
    return float(np.mean(y[best] >= np.sort(y)[-count]))


def _shares(
    right: Floats, classes: NDArray[np.intp], inside: NDArray[np.bool_], weights: Floats, size: int
) -> Floats:
    found = np.bincount(classes[inside], weights[inside], minlength=size)
    agreed = np.bincount(classes[inside], (weights * right)[inside], minlength=size)
    total = np.append(found, weights.sum())
    sums = np.append(agreed, weights @ right)
    shares = np.full(size + 1, np.nan)
    np.divide(sums, total, out=shares, where=total > 0)
    return shares


LEAST_PAIRS = 100
_KNOTS = 24
_ANSWERS_PER_KNOT = 25
# Where the error of pairs of one scene is noted, in points of the scale 1..10.
_SCENE_GAPS = np.array([0, 0.05, *np.arange(0.1, 1.2, 0.1), 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 9.0])
_BOUND = 0.05  # the lower bound holds with 95 %


def measure_pair_error(
    scores: ArrayLike,
    labels: ArrayLike,
    scenes: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> PairError:
    """Measure on photos that were neither trained on nor chosen by.

    Pairs are sorted by score gap into groups of equal size. The share in right order per group is
    made to rise with the gap (isotonic regression, least squares). The lower bound is the 5 %
    quantile over drawings of scenes.

    Args:
        scores: Shape (N,), the model's mean scores.
        labels: Shape (N,), mean opinion scores; pairs of equal labels are left out.
        scenes: Shape (N,).
        groups: Shape (N,); only pairs of one group count. Between kinds of photos that differ in
            quality order is easier to tell than among photos of one kind. None for all pairs.
        repeats: Drawings of scenes.
        seed: Of the drawing of pairs and scenes.

    Raises:
        TableError: Fewer than 100 pairs, or all scores are equal.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    pairs = sample_pairs(len(s), seed=seed)
    pairs = pairs[y[pairs[:, 0]] != y[pairs[:, 1]]]
    if groups is not None:
        names = np.asarray(groups)
        pairs = pairs[names[pairs[:, 0]] == names[pairs[:, 1]]]
    _check_enough(len(pairs))
    if np.ptp(s) == 0:
        raise TableError(f"a pair error needs scores that differ, all {len(s)} are {s[0]:g}")
    gaps, right = np.abs(s[pairs[:, 0]] - s[pairs[:, 1]]), right_order(s, y, pairs)
    return _pair_error(gaps, right, pair_weights(scenes, pairs, repeats, seed), _KNOTS)


def pair_error_of_answers(
    gaps: ArrayLike, right: ArrayLike, *, repeats: int = 200, seed: int = 0
) -> PairError:
    """The same from answers about pairs, in place of rated photos.

    Args:
        gaps: Shape (P,), score gaps of either sign, by a model that did not learn from the answer.
        right: Shape (P,), 1 where the answer agrees with the gap, 0 where not.
        repeats: Drawings of answers.
        seed: Of the drawings.

    Raises:
        TableError: Fewer than 100 answers, or all gaps are equal.
    """
    sizes, agreed = np.abs(np.asarray(gaps, dtype=np.float64)), np.asarray(right, np.float64)
    _check_enough(len(sizes))
    if np.ptp(sizes) == 0:
        raise TableError(f"a pair error needs gaps that differ, all are {sizes[0]:g}")
    even = np.full(len(sizes), 1 / len(sizes))
    draws = np.random.default_rng(seed).multinomial(len(sizes), even, repeats)
    knots = min(_KNOTS, len(sizes) // _ANSWERS_PER_KNOT)
    return _pair_error(sizes, agreed, draws.astype(np.float64), knots)


def measure_scene_pair_error(
    gaps: ArrayLike,
    label_gaps: ArrayLike,
    scenes: Sequence[str],
    *,
    noise: ArrayLike,
    scale: RatingScale = AVA_SCALE,
    repeats: int = 200,
    seed: int = 0,
) -> PairError:
    """The pair error of photos of one scene, the raters' own noise apart from the model's.

    Labels of photos that differ little are in an order by chance, which says nothing against the
    model; counting them as its errors would. So what people prefer is taken to be `slope` times the
    score gap, missed by the model with a normal error whose deviation changes from one value for
    photos that it finds alike to another for those that it finds far apart; the labels' gap adds
    the raters' noise, which is known. The three parameters have maximum likelihood. The lower
    bound is the 5 % quantile over drawings of scenes.

    Args:
        gaps: Shape (P,), score gaps of either sign between two photos of one scene.
        label_gaps: Shape (P,), gaps of their mean opinion scores, on the same scale.
        scenes: Shape (P,), the scene of each pair.
        noise: Standard deviation of a label gap from the raters alone, one for all or shape (P,):
            root of the sum of both squared standard errors, or what photos that are copies of each
            other show.
        scale: The scale of the gaps.
        repeats: Drawings of scenes.
        seed: Of the drawings.

    Raises:
        TableError: Fewer than 100 pairs, or all gaps are equal.
    """
    s, y = np.asarray(gaps, dtype=np.float64), np.asarray(label_gaps, dtype=np.float64)
    _check_enough(len(s))
    if np.ptp(s) == 0:
        raise TableError(f"a pair error needs gaps that differ, all are {s[0]:g}")
    turned = np.where(s < 0, -1.0, 1.0)
    point = (scale.high - scale.low) / 9  # a point of the scale 1..10
    model = _ScenePairs(
        np.abs(s) / point,
        y * turned / point,
        np.broadcast_to(np.asarray(noise, dtype=np.float64) / point, s.shape) ** 2,
    )
    start = np.array([1.0, 0.0, 0.0])
    best = model.fit(np.ones(len(s)), start)
    _, codes = np.unique(np.asarray(scenes), return_inverse=True)
    count = int(codes.max()) + 1
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(repeats):
        times = np.bincount(generator.integers(0, count, count), minlength=count)
        draws.append(model.probability(_SCENE_GAPS, model.fit(times[codes].astype(float), best)))
    accuracy = model.probability(_SCENE_GAPS, best)
    lower = np.minimum(np.quantile(draws, _BOUND, axis=0), accuracy)
    return PairError(
        gaps=tuple((_SCENE_GAPS * point).tolist()),
        accuracy=tuple(np.maximum.accumulate(accuracy.clip(0.5, 1)).tolist()),
        lower=tuple(np.maximum.accumulate(lower.clip(0.5, 1)).tolist()),
        pairs=len(s),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _ScenePairs:
    """Pairs turned so that the score gap is 0 or more, in points of 1..10."""

    gaps: Floats
    label_gaps: Floats
    noise: Floats  # variance

    def fit(self, weights: Floats, start: Floats) -> Floats:
        """Slope, and the logarithms of the two deviations, of maximum likelihood."""

        def misfit(parameters: Floats) -> float:
            variance = _deviation(self.gaps, parameters) ** 2 + self.noise
            missed = self.label_gaps - parameters[0] * self.gaps
            return float(weights @ (np.log(variance) + missed**2 / variance))

        bounds = [(-3.0, 10.0), (-5.0, 3.0), (-5.0, 3.0)]
        return np.asarray(minimize(misfit, start, method="L-BFGS-B", bounds=bounds).x)

    @staticmethod
    def probability(gaps: Floats, parameters: Floats) -> Floats:
        """Of the right order at these gaps, without the raters' noise."""
        return np.asarray(norm.cdf(parameters[0] * gaps / _deviation(gaps, parameters)))


def _deviation(gaps: Floats, parameters: Floats) -> Floats:
    alike, apart = np.exp(parameters[1]), np.exp(parameters[2])
    return np.asarray(alike + (apart - alike) * gaps / (1 + gaps))


def _check_enough(pairs: int) -> None:
    if pairs < LEAST_PAIRS:
        raise TableError(f"a pair error is measured on {LEAST_PAIRS} pairs or more, got {pairs}")


def _pair_error(gaps: Floats, right: Floats, draws: Iterable[Floats], size: int) -> PairError:
    edges = np.quantile(gaps, np.arange(1, size) / size)
    knots = np.minimum(np.searchsorted(edges, gaps, side="right"), size - 1)
    values = _rising_shares(knots, right, np.ones(len(gaps)), size)
    drawn = [_rising_shares(knots, right, weights, size) for weights in draws]
    bounds = np.minimum(np.quantile(drawn, _BOUND, axis=0), values)
    places = np.bincount(knots, gaps, size) / np.maximum(np.bincount(knots, None, size), 1)
    used = np.flatnonzero(np.diff(places, prepend=0.0) > 0)
    return PairError(
        gaps=(0.0, *places[used].tolist()),
        accuracy=(0.5, *values[used].clip(0.5, 1).tolist()),
        lower=(0.5, *bounds[used].clip(0.5, 1).tolist()),
        pairs=len(gaps),
    )


def _rising_shares(groups: Any, right: Floats, weights: Floats, size: int) -> Floats:
    """Share in right order per group, made to rise; groups without weight follow the last one."""
    total = np.bincount(groups, weights, size)
    agreed = np.bincount(groups, weights * right, size)
    known = np.flatnonzero(total > 0)
    fit = isotonic_regression(agreed[known] / total[known], weights=total[known]).x
    return np.interp(np.arange(size), known, fit)
