"""A model beside people: their scores and ratings of the same photos, and all figures of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from siamese_nima.datasets.rating_table import taken
from siamese_nima.errors import TableError
from siamese_nima.evaluation.metrics import (
    PAIR_GAP,
    Agreement,
    CalibrationRow,
    Interval,
    calibration_error,
    calibration_slope,
    calibration_table,
    fitted_plcc,
    majority_share,
    measure_agreement,
    middle_accuracy,
    spread_ratio,
)
from siamese_nima.evaluation.pairs import (
    GAP_SHARES,
    PairAccuracies,
    accuracy_by_gap,
    top_precision,
)
from siamese_nima.ratings import Floats, RatingScale, emd


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RatedPhotos:
    """Scores and labels of N photos, all on one scale.

    Attributes:
        paths: Names of the photos.
        scores: Shape (N,), the model's mean scores.
        labels: Shape (N,), mean opinion scores, at their relative position of the model's scale.
        scale: The model's scale.
        scenes: Per photo, its group of near-copies.
        subsets: Per photo, the part of the data set it is from.
        distributions: Shape (N, K), the model's rating distributions, or None.
        votes: Shape (N, K), people's votes as distributions on the model's scale, or None where
            only means are known.
    """

    paths: tuple[str, ...]
    scores: Floats
    labels: Floats
    scale: RatingScale
    scenes: tuple[str, ...]
    subsets: tuple[str, ...]
    distributions: Floats | None = None
    votes: Floats | None = None

    def __post_init__(self) -> None:
        count = len(self.paths)
        lengths = {
            "scores": len(self.scores),
            "labels": len(self.labels),
            "scenes": len(self.scenes),
            "subsets": len(self.subsets),
        }
        if count == 0:
            raise TableError("no photo was scored, so there is nothing to judge")
        if wrong := [f"{size} {name}" for name, size in lengths.items() if size != count]:
            raise TableError(f"{count} photos have {', '.join(wrong)}")
        if not (np.all(np.isfinite(self.scores)) and np.all(np.isfinite(self.labels))):
            raise TableError("a score or label is not finite; leave unscored photos out")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def range(self) -> float:
        """Width of the scale in points."""
        return float(self.scale.high - self.scale.low)

    def select(self, rows: ArrayLike) -> RatedPhotos:
        """The photos with these indices, or those that a boolean mask keeps."""
        index = np.arange(len(self))[np.asarray(rows)]
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: taken(column, index) for name, column in columns.items()})

    def by_subset(self) -> dict[str, RatedPhotos]:
        """All photos as "all", and where there are several subsets each of them."""
        names = sorted(set(self.subsets))
        if len(names) < 2:
            return {"all": self}
        own = np.asarray(self.subsets)
        return {"all": self} | {name or "(none)": self.select(own == name) for name in names}


TOP_SHARE = 0.1
_COLLAPSED = 0.01  # spread of the scores by that of the labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How well a model agrees with people on one set of photos.

    Attributes:
        agreement: Correlations, error in points of the model's scale, and pairs of one scene whose
            labels differ by more than a tenth of the scale.
        fitted_plcc: PLCC after the four-parameter logistic.
        pairs: Accuracy over all pairs, and by gap of the labels in points.
        top_precision: Of the best-scored tenth, the share that people rate among the best tenth.
        middle_accuracy: Share of photos on the right side of the scale's middle.
        majority_share: The same for always giving the more frequent answer.
        emd_r1: Mean earth mover's distance to the votes with r = 1; None without votes.
        emd_r2: The same with r = 2.
        constant_emd_r1: What predicting the set's mean distribution for every photo would give.
        constant_emd_r2: The same with r = 2.
        spread_ratio: Standard deviation of scores over that of labels.
        calibration_slope: Points of label per point of score.
        calibration_error: Mean distance of score and label over tenths of the photos, in points.
        calibration: Those tenths.
    """

    agreement: Agreement
    fitted_plcc: float
    pairs: PairAccuracies
    top_precision: float
    middle_accuracy: float
    majority_share: float
    emd_r1: float | None
    emd_r2: float | None
    constant_emd_r1: float | None
    constant_emd_r2: float | None
    spread_ratio: float
    calibration_slope: float
    calibration_error: float
    calibration: tuple[CalibrationRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures in values that JSON has, rounded to five decimals; nan as None."""
        plain: dict[str, Any] = plain_figures(asdict(self))
        return plain

    @property
    def verdict(self) -> str | None:
        """Why the model is not to be used for such photos, in a sentence; None where it may be."""
        found = self.agreement.srcc
        if self.spread_ratio != self.spread_ratio:
            return "All photos have the same rating, so nothing can be judged by them."
        if self.spread_ratio < _COLLAPSED:
            return "All photos get the same score: the model tells none apart. Do not use it."
        if found.high < 0:
            return (
                f"Worse than chance: the model ranks these photos against people (SRCC {found}). "
                "Do not use it."
            )
        if not found.low > 0:
            return (
                f"No better than chance on these photos (SRCC {found}): nothing shows that the "
                "model knows what people like in them."
            )
        return None


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score to cut at so that enough of the photos above it are good.

    Attributes:
        good: Label from which on a photo is good, on the model's scale.
        wanted: The precision asked for, 0 to 1.
        score: Photos from this score on are kept; None where no cut is sure to have the precision.
        kept: How many photos that keeps, of all.
        precision: Share of them that are good; its lower bound, which holds with 95 %.
        recall: Share of the good photos that are kept.
    """

    good: float
    wanted: float
    score: float | None
    kept: int
    photos: int
    precision: float
    lower: float
    recall: float

    def __str__(self) -> str:
        if self.score is None:
            return (
                f"No cut-off is sure to leave {self.wanted:.0%} good photos: the best, the highest "
                f"{self.kept} of {self.photos}, has {self.precision:.0%} (at least "
                f"{self.lower:.0%}). Rate more photos, or ask for less."
            )
        return (
            f"Cut at a score of {self.score:.2f}: it keeps {self.kept} of {self.photos} photos, "
            f"{self.precision:.0%} of them good (at least {self.lower:.0%}), and {self.recall:.0%} "
            "of the good ones."
        )


def find_threshold(scores: ArrayLike, labels: ArrayLike, good: float, wanted: float) -> Threshold:
    """The lowest score to cut at that is sure to leave a share of good photos.

    Sure means the lower bound of Clopper and Pearson at 95 %; it counts photos as independent, and
    is of this cut alone. Photos of equal score are kept or left together.

    Args:
        scores: Shape (N,), higher is better.
        labels: Shape (N,), what people said of the photos.
        good: Label from which on a photo is good.
        wanted: Share of good photos above the cut, above 0 and below 1.

    Raises:
        TableError: No photo is good, all are, or `wanted` is no share.

    Reference:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of
        the binomial", Biometrika 26, 1934.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if not 0 < wanted < 1:
        raise TableError(f"a precision is above 0 and below 1, got {wanted:g}")
    order = np.argsort(-s, kind="stable")
    right = (y >= good)[order]
    if right.all() or not right.any():
        which = "all" if right.all() else "none"
        raise TableError(f"{which} of the {len(s)} photos are good, so there is nothing to cut")
    kept, hits = np.arange(1, len(s) + 1), np.cumsum(right)
    lower = np.where(hits > 0, stats.beta.ppf(0.05, np.maximum(hits, 1), kept - hits + 1), 0.0)
    ends = np.append(np.diff(s[order]) != 0, True)
    sure = np.flatnonzero(ends & (lower >= wanted))
    place = int(sure[-1]) if sure.size else int(np.argmax(np.where(ends, lower, -1)))
    return Threshold(
        good=good,
        wanted=wanted,
        score=float(s[order][place]) if sure.size else None,
        kept=int(kept[place]),
        photos=len(s),
        precision=float(hits[place] / kept[place]),
        lower=float(lower[place]),
        recall=float(hits[place] / right.sum()),
    )


def measure_figures(rated: RatedPhotos, *, repeats: int = 1000, seed: int = 0) -> Figures:
    """All figures of one set of photos, with 95 % intervals by scene.

    Args:
        rated: Scores and labels.
        repeats: Resamples of the intervals.
        seed: Of the resampling.
    """
    scores, labels = rated.scores, rated.labels
    table = calibration_table(scores, labels)
    middle = (rated.scale.low + rated.scale.high) / 2
    distances = {r: _emd_to_votes(rated, r) for r in (1, 2)}
    return Figures(
        agreement=measure_agreement(
            scores, labels, rated.scenes, gap=PAIR_GAP * rated.range, repeats=repeats, seed=seed
        ),
        fitted_plcc=fitted_plcc(scores, labels),
        pairs=accuracy_by_gap(
            scores,
            labels,
            rated.scenes,
            np.array(GAP_SHARES) * rated.range,
            repeats=min(repeats, 400),
            seed=seed,
        ),
        top_precision=top_precision(scores, labels, share=TOP_SHARE),
        middle_accuracy=middle_accuracy(scores, labels, middle),
        majority_share=majority_share(labels, middle),
        emd_r1=distances[1][0],
        emd_r2=distances[2][0],
        constant_emd_r1=distances[1][1],
        constant_emd_r2=distances[2][1],
        spread_ratio=spread_ratio(scores, labels),
        calibration_slope=calibration_slope(scores, labels),
        calibration_error=calibration_error(table),
        calibration=table,
    )


def measure_by_subset(
    rated: RatedPhotos, *, repeats: int = 1000, seed: int = 0
) -> dict[str, Figures]:
    """Figures of all photos ("all") and, where there are several, of each subset.

    Where subsets differ in mean label, telling the subsets apart correlates by itself; each subset
    alone shows what is left.
    """
    return {
        name: measure_figures(part, repeats=repeats, seed=seed)
        for name, part in rated.by_subset().items()
    }


def plain_figures(value: Any) -> Any:
    """Nested figures as JSON values: floats rounded to five decimals, nan as None."""
    if isinstance(value, Interval):
        return plain_figures(asdict(value))
    if isinstance(value, dict):
        return {name: plain_figures(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_figures(part) for part in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def _emd_to_votes(rated: RatedPhotos, r: Any) -> tuple[float | None, float | None]:
    if rated.votes is None or rated.distributions is None:
        return None, None
    constant = rated.votes.mean(axis=0)
    return (
        float(emd(rated.distributions, rated.votes, r=r).mean()),
        float(emd(constant, rated.votes, r=r).mean()),
    )
