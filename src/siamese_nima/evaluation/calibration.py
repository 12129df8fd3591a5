"""Whether a score means what it says: calibration, spread of scores, the fitted correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from siamese_nima.errors import TableError
from siamese_nima.evaluation.metrics import plcc
from siamese_nima.ratings import Floats


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
    start = np.array([target.max(), target.min(), 0.0, 1.0])

    def misfit(parameters: Floats) -> Floats:
        return np.asarray(logistic(x, parameters) - target)

    fit = optimize.least_squares(misfit, start, x_scale="jac", max_nfev=2000)
    return plcc(logistic(x, fit.x), y)


def logistic(x: Floats, parameters: Floats) -> Floats:
    """b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)), the logistic of `fitted_plcc`."""
    top, bottom, centre, width = parameters
    steps = np.clip(-(x - centre) / max(abs(float(width)), 1e-6), -500, 500)
    return np.asarray(bottom + (top - bottom) / (1 + np.exp(steps)))
