"""Too close to call: how sure the order of two photos is at a given gap of their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from siamese_nima.errors import TableError
from siamese_nima.evaluation.pairs_by_gap import pair_weights, right_order, sample_pairs
from siamese_nima.ratings import Floats

WANTED = 0.8
_KNOTS = 24
_BOUND = 0.05  # the lower bound holds with 95 %


@dataclass(frozen=True, slots=True)
class PairError:
    """Measured probability that two photos are in the order people give them, by score gap.

    Attributes:
        gaps: Ascending score gaps in points of the model's scale, from 0.
        accuracy: Probability of the right order at each gap, .5 at gap 0 and rising.
        lower: Its lower bound at each gap, which holds with 95 %.
        pairs: How many pairs it was measured on.
    """

    gaps: tuple[float, ...]
    accuracy: tuple[float, ...]
    lower: tuple[float, ...]
    pairs: int

    def __post_init__(self) -> None:
        if not len(self.gaps) == len(self.accuracy) == len(self.lower) or len(self.gaps) < 2:
            raise TableError("a pair error needs a probability and a bound per gap, at least two")
        if any(b <= a for a, b in zip(self.gaps, self.gaps[1:], strict=False)):
            raise TableError(f"the gaps of a pair error must ascend, got {self.gaps}")

    def accuracy_at(self, gap: ArrayLike) -> Floats:
        """Probability of the right order at score gaps of either sign, .5 to 1.

        Straight between the measured gaps, constant beyond the last.
        """
        return np.interp(np.abs(np.asarray(gap, dtype=np.float64)), self.gaps, self.accuracy)

    def lower_at(self, gap: ArrayLike) -> Floats:
        """The lower bound of `accuracy_at`."""
        return np.interp(np.abs(np.asarray(gap, dtype=np.float64)), self.gaps, self.lower)

    def too_close(self, gap: float, *, wanted: float = WANTED) -> bool:
        """Whether the order of two photos with this score gap is too close to call.

        It is, unless the order is right with a probability of at least `wanted` by its lower
        bound. People's own doubt is part of it: where they too would disagree, no gap of scores
        makes the order sure.
        """
        return bool(self.lower_at(gap) < wanted)

    def closest_call(self, *, wanted: float = WANTED) -> float | None:
        """The smallest gap that is not too close; None where every measured gap is."""
        reached = [i for i, bound in enumerate(self.lower) if bound >= wanted]
        if not reached or reached[0] == 0:
            return None if not reached else self.gaps[0]
        last = reached[0] - 1
        ends = slice(last, last + 2)
        return float(np.interp(wanted, self.lower[ends], self.gaps[ends]))

    def to_json(self) -> dict[str, Any]:
        """A small value for a model card; `from_json` reads it back."""
        return {
            "gaps": [round(gap, 4) for gap in self.gaps],
            "accuracy": [round(share, 4) for share in self.accuracy],
            "lower": [round(share, 4) for share in self.lower],
            "pairs": self.pairs,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PairError:
        """Read what `to_json` wrote.

        Raises:
            TableError: The value is malformed.
        """
        try:
            columns = [tuple(float(x) for x in value[n]) for n in ("gaps", "accuracy", "lower")]
            return cls(columns[0], columns[1], columns[2], int(value["pairs"]))
        except (KeyError, TypeError, ValueError) as error:
            raise TableError(f"malformed pair error ({type(error).__name__}: {error})") from error


def measure_pair_error(
    scores: ArrayLike,
    labels: ArrayLike,
    scenes: Sequence[str],
    *,
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
        repeats: Drawings of scenes.
        seed: Of the drawing of pairs and scenes.

    Raises:
        TableError: Fewer than 100 pairs, or all scores are equal.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    pairs = sample_pairs(len(s), seed=seed)
    pairs = pairs[y[pairs[:, 0]] != y[pairs[:, 1]]]
    if len(pairs) < 100:
        raise TableError(f"a pair error is measured on 100 pairs or more, got {len(pairs)}")
    if np.ptp(s) == 0:
        raise TableError(f"a pair error needs scores that differ, all {len(s)} are {s[0]:g}")
    gaps, right = np.abs(s[pairs[:, 0]] - s[pairs[:, 1]]), right_order(s, y, pairs)
    groups = np.minimum(
        np.searchsorted(np.quantile(gaps, np.arange(1, _KNOTS) / _KNOTS), gaps, side="right"),
        _KNOTS - 1,
    )
    values = _rising(groups, right, np.ones(len(pairs)))
    draws = [_rising(groups, right, w) for w in pair_weights(scenes, pairs, repeats, seed)]
    bounds = np.minimum(np.quantile(draws, _BOUND, axis=0), values)
    places = np.bincount(groups, gaps, _KNOTS) / np.maximum(np.bincount(groups, None, _KNOTS), 1)
    used = np.flatnonzero(np.diff(places, prepend=0.0) > 0)
    return PairError(
        gaps=(0.0, *places[used].tolist()),
        accuracy=(0.5, *values[used].clip(0.5, 1).tolist()),
        lower=(0.5, *bounds[used].clip(0.5, 1).tolist()),
        pairs=len(pairs),
    )


def _rising(groups: Any, right: Floats, weights: Floats) -> Floats:
    """Share in right order per group, made to rise; groups without weight follow the last one."""
    total = np.bincount(groups, weights, _KNOTS)
    agreed = np.bincount(groups, weights * right, _KNOTS)
    known = np.flatnonzero(total > 0)
    fit = isotonic_regression(agreed[known] / total[known], weights=total[known]).x
    return np.interp(np.arange(_KNOTS), known, fit)
