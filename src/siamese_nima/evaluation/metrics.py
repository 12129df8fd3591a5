"""Agreement of scores with labels: correlations, error, pairs of one scene, calibration.

All functions take `scores` (the model's mean scores) and `labels` (mean opinion scores), both
shape (N,), higher is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from siamese_nima.errors import TableError
from siamese_nima.ratings import Floats

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
    seed: int = 0,
) -> Interval:
    """The 95 % percentile interval of a figure when whole scenes are drawn again.

    Photos of one scene are no independent witnesses, so scenes are drawn, not photos.

    Args:
        measure: From indices of photos (with repetitions) to the figure.
        scenes: Shape (N,), the scene of each photo.
        repeats: Resamples; those whose figure is nan are left out.
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
    return interval_of(measure(np.arange(len(scenes))), np.array(values))


def interval_of(value: float, draws: Floats) -> Interval:
    """The 95 % percentile interval of resampled values, those that are nan left out."""
    known = draws[~np.isnan(draws)]
    if known.size == 0:
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


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


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """Photos of similar score: how many, their mean score and mean label, and the standard error
    of the latter (0 for a single photo).
    """

    photos: int
    score: float
    label: float
    label_error: float


def calibration_table(
    scores: ArrayLike, labels: ArrayLike, *, rows: int = 10
) -> tuple[CalibrationRow, ...]:
    """Photos sorted by score and cut into groups of equal size; calibrated scores equal the labels.

    Args:
        scores: Shape (N,), on the labels' scale.
        labels: Shape (N,).
        rows: Groups; fewer where there are fewer photos.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    order = np.argsort(s, kind="stable")
    table = []
    for part in np.array_split(order, min(rows, len(order))):
        error = y[part].std(ddof=1) / np.sqrt(len(part)) if len(part) > 1 else 0.0
        row = CalibrationRow(len(part), float(s[part].mean()), float(y[part].mean()), float(error))
        table.append(row)
    return tuple(table)


def calibration_error(table: tuple[CalibrationRow, ...]) -> float:
    """Mean distance of score and label over the groups, in points, 0 or more; lower is better."""
    photos = np.array([row.photos for row in table])
    distances = np.array([abs(row.score - row.label) for row in table])
    return float(photos @ distances / photos.sum())


def calibration_slope(scores: ArrayLike, labels: ArrayLike) -> float:
    """Points that labels rise per point of score; 1 is calibrated, above 1 scores are squeezed.

    nan where all scores are equal.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    centred = s - s.mean()
    power = float(centred @ centred)
    return float(centred @ (y - y.mean())) / power if power > 0 else float("nan")


def spread_ratio(scores: ArrayLike, labels: ArrayLike) -> float:
    """Standard deviation of the scores over that of the labels; 1 uses the scale as people do.

    nan where all labels are equal.
    """
    of_labels = float(np.std(np.asarray(labels, dtype=np.float64)))
    of_scores = float(np.std(np.asarray(scores, dtype=np.float64)))
    return of_scores / of_labels if of_labels > 0 else float("nan")


def middle_accuracy(scores: ArrayLike, labels: ArrayLike, middle: float) -> float:
    """Share of photos that score and label put on the same side of the scale's middle, 0 to 1.

    A value at the middle counts as below it. Compare with `majority_share`, which needs no model.

    >>> middle_accuracy([4.0, 6.0, 7.0], [3.0, 5.2, 8.0], middle=5.5)
    0.6666666666666666
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    return float(np.mean((s > middle) == (y > middle)))


def majority_share(labels: ArrayLike, middle: float) -> float:
    """The accuracy at the middle of always giving the more frequent answer, .5 to 1."""
    above = float(np.mean(np.asarray(labels, dtype=np.float64) > middle))
    return max(above, 1 - above)


_LEAST_RISE = 1e-3  # of a logistic, in standard deviations of the labels


def fitted_plcc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Pearson's correlation after a rising logistic of four parameters is fitted to the labels.

    Publications on image quality often give this one; it forgives a bent scale. -1 to 1, higher is
    better; nan where either is constant or there are fewer than five photos.

    Reference:
        VQEG, "Final report from the video quality experts group on the validation of objective
        models of video quality assessment", 2000.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if s.shape != y.shape or s.ndim != 1:
        raise TableError(f"scores and labels need one shape (N,), got {s.shape} and {y.shape}")
    if len(s) < 5 or np.ptp(s) == 0 or np.ptp(y) == 0:
        return float("nan")
    # In standard units one start and one tolerance suit every scale.
    x, target = (s - s.mean()) / s.std(), (y - y.mean()) / y.std()
    start = np.array([np.ptp(target), target.min(), 0.0, 1.0])

    def rising(parameters: Floats) -> Floats:
        rise, bottom, centre, width = parameters
        return logistic(x, np.array([bottom + rise, bottom, centre, width]))

    def misfit(parameters: Floats) -> Floats:
        return np.asarray(rising(parameters) - target)

    # However badly scores that fall with the labels are fitted by it, the curve rises.
    least = [_LEAST_RISE, -np.inf, -np.inf, -np.inf]
    fit = optimize.least_squares(
        misfit, start, bounds=(least, np.inf), x_scale="jac", max_nfev=2000
    )
    return plcc(rising(fit.x), y)


def logistic(x: Floats, parameters: Floats) -> Floats:
    """b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)), the logistic of `fitted_plcc`."""
    top, bottom, centre, width = parameters
    steps = np.clip(-(x - centre) / max(abs(float(width)), 1e-6), -500, 500)
    return np.asarray(bottom + (top - bottom) / (1 + np.exp(steps)))
