"""Agreement of scores with labels: correlations, error, pairs of one scene, intervals by scene.

All functions take `scores` (the model's mean scores) and `labels` (mean opinion scores), both
shape (N,), higher is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from siamese_nima.errors import TableError

Floats = NDArray[np.float64]

PAIR_GAP = 0.1  # of the label range 0..1; closer photos are within the raters' own doubt


def srcc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Spearman's rank correlation, -1 to 1, higher is better; nan when either is constant.

    >>> srcc([1.0, 2.0, 9.0], [0.1, 0.2, 0.3])
    1.0
    """
    s, y = _checked(scores, labels)
    return _pearson(stats.rankdata(s), stats.rankdata(y))


def plcc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Pearson's linear correlation of the raw values, -1 to 1, higher is better."""
    return _pearson(*_checked(scores, labels))


def krcc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Kendall's rank correlation (tau-b), -1 to 1, higher is better; nan when one is constant."""
    s, y = _checked(scores, labels)
    return float(stats.kendalltau(s, y).statistic)


def rmse(scores: ArrayLike, labels: ArrayLike) -> float:
    """Root mean squared difference, in label points, 0 or more, lower is better.

    Only means something when both are on one scale (`ratings.map_mean` brings them there).
    """
    s, y = _checked(scores, labels)
    return float(np.sqrt(np.mean((s - y) ** 2)))


def same_scene_pairs(
    labels: ArrayLike, scenes: Sequence[str], *, gap: float = PAIR_GAP
) -> NDArray[np.intp]:
    """Pairs of photos of one scene whose labels differ by more than `gap`.

    Returns:
        Shape (P, 2), indices of the photo with the higher and of that with the lower label.
    """
    y = np.asarray(labels, dtype=np.float64)
    members: dict[str, list[int]] = {}
    for i, scene in enumerate(scenes):
        members.setdefault(scene, []).append(i)
    pairs = [
        (a, b) if y[a] > y[b] else (b, a)
        for group in members.values()
        for a, b in combinations(group, 2)
        if abs(y[a] - y[b]) > gap
    ]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def pair_accuracy(scores: ArrayLike, pairs: NDArray[np.intp]) -> float:
    """Share of pairs whose preferred photo scores higher, 0 to 1; a tie counts one half.

    Args:
        scores: Shape (N,).
        pairs: Shape (P, 2), preferred and other; see `same_scene_pairs`. nan when there are none.
    """
    s = np.asarray(scores, dtype=np.float64)
    if len(pairs) == 0:
        return float("nan")
    gaps = s[pairs[:, 0]] - s[pairs[:, 1]]
    return float(np.mean((gaps > 0) + 0.5 * (gaps == 0)))


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured figure and the interval that resampling gives it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_by_scene(
    measure: Callable[[NDArray[np.intp]], float],
    scenes: Sequence[str],
    *,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile interval of a figure when whole scenes are drawn again.

    Photos of one scene are no independent witnesses, so scenes are drawn, not photos.

    Args:
        measure: From indices of photos (with repetitions) to the figure.
        scenes: Shape (N,), the scene of each photo.
        repeats: Resamples; those whose figure is nan are left out.
        level: Probability that the interval should cover, 0 to 1.
        seed: The same seed gives the same interval.
    """
    if len(scenes) == 0:
        raise TableError("an interval needs at least one photo, got none")
    _, codes = np.unique(np.asarray(scenes), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        drawn = generator.integers(0, len(members), len(members))
        values.append(measure(np.concatenate([members[scene] for scene in drawn])))
    known = np.array(values)[~np.isnan(values)]
    value = measure(np.arange(len(scenes)))
    if known.size == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well scores agree with labels on one set of photos, with 95 % intervals by scene."""

    photos: int
    scenes: int
    srcc: Interval
    plcc: Interval
    krcc: float
    rmse: float
    pairs: int
    pair_accuracy: Interval | None

    def to_json(self) -> dict[str, object]:
        """The figures in values that JSON has, rounded to four decimals."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def measure_agreement(
    scores: ArrayLike,
    labels: ArrayLike,
    scenes: Sequence[str],
    *,
    gap: float = PAIR_GAP,
    repeats: int = 1000,
    seed: int = 0,
) -> Agreement:
    """All figures for one set of photos.

    Args:
        scores: Shape (N,), on the labels' scale (only the RMSE depends on the scale).
        labels: Shape (N,).
        scenes: Shape (N,).
        gap: Pairs of one scene count when their labels differ by more.
        repeats: Resamples of the intervals.
        seed: Of the resampling.
    """
    s, y = _checked(scores, labels)
    pairs = same_scene_pairs(y, scenes, gap=gap)

    def interval(measure: Callable[[Floats, Floats], float]) -> Interval:
        return bootstrap_by_scene(
            lambda index: measure(s[index], y[index]), scenes, repeats=repeats, seed=seed
        )

    return Agreement(
        photos=len(s),
        scenes=len(set(scenes)),
        srcc=interval(srcc),
        plcc=interval(plcc),
        krcc=krcc(s, y),
        rmse=rmse(s, y),
        pairs=len(pairs),
        pair_accuracy=_pair_interval(s, pairs, scenes, repeats, seed) if len(pairs) else None,
    )


def measure_by_subset(
    scores: ArrayLike,
    labels: ArrayLike,
    scenes: Sequence[str],
    subsets: Sequence[str],
    *,
    gap: float = PAIR_GAP,
    repeats: int = 1000,
    seed: int = 0,
) -> dict[str, Agreement]:
    """`measure_agreement` on all photos ("all") and on each subset.

    Where subsets differ in mean label, knowing the subset alone correlates; each subset for itself
    shows what is left.
    """
    s, y = _checked(scores, labels)
    names = np.asarray(subsets)
    groups = {"all": np.arange(len(s))}
    if len(set(subsets)) > 1:
        groups |= {str(name): np.flatnonzero(names == name) for name in sorted(set(subsets))}
    return {
        name: measure_agreement(
            s[index], y[index], [scenes[int(i)] for i in index], gap=gap, repeats=repeats, seed=seed
        )
        for name, index in groups.items()
    }


def _pair_interval(
    scores: Floats, pairs: NDArray[np.intp], scenes: Sequence[str], repeats: int, seed: int
) -> Interval:
    # One row per pair: both photos of a pair are of one scene, so drawing scenes draws pairs.
    return bootstrap_by_scene(
        lambda index: pair_accuracy(scores, pairs[index]),
        [scenes[int(preferred)] for preferred in pairs[:, 0]],
        repeats=repeats,
        seed=seed,
    )


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if s.ndim != 1 or s.shape != y.shape:
        raise TableError(f"scores and labels need one shape (N,), got {s.shape} and {y.shape}")
    if not (np.all(np.isfinite(s)) and np.all(np.isfinite(y))):
        raise TableError("a score or label is not finite; leave unscored photos out, and say so")
    return s, y


def _pearson(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip((a @ b) / scale, -1, 1)) if scale > 0 else float("nan")


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return value
