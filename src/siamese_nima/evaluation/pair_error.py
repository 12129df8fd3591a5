"""Measure how sure the order of two photos is at a given gap of their scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from siamese_nima.errors import TableError
from siamese_nima.evaluation.pairs_by_gap import pair_weights, right_order, sample_pairs
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import Floats

LEAST_PAIRS = 100
_KNOTS = 24
_ANSWERS_PER_KNOT = 25
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


def _check_enough(pairs: int) -> None:
    if pairs < LEAST_PAIRS:
        raise TableError(f"a pair error is measured on {LEAST_PAIRS} pairs or more, got {pairs}")


def _pair_error(gaps: Floats, right: Floats, draws: Iterable[Floats], size: int) -> PairError:
    edges = np.quantile(gaps, np.arange(1, size) / size)
    knots = np.minimum(np.searchsorted(edges, gaps, side="right"), size - 1)
    values = _rising(knots, right, np.ones(len(gaps)), size)
    drawn = [_rising(knots, right, weights, size) for weights in draws]
    bounds = np.minimum(np.quantile(drawn, _BOUND, axis=0), values)
    places = np.bincount(knots, gaps, size) / np.maximum(np.bincount(knots, None, size), 1)
    used = np.flatnonzero(np.diff(places, prepend=0.0) > 0)
    return PairError(
        gaps=(0.0, *places[used].tolist()),
        accuracy=(0.5, *values[used].clip(0.5, 1).tolist()),
        lower=(0.5, *bounds[used].clip(0.5, 1).tolist()),
        pairs=len(gaps),
    )


def _rising(groups: Any, right: Floats, weights: Floats, size: int) -> Floats:
    """Share in right order per group, made to rise; groups without weight follow the last one."""
    total = np.bincount(groups, weights, size)
    agreed = np.bincount(groups, weights * right, size)
    known = np.flatnonzero(total > 0)
    fit = isotonic_regression(agreed[known] / total[known], weights=total[known]).x
    return np.interp(np.arange(size), known, fit)
