"""Two models on the same photos: is the difference more than chance?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from siamese_nima.errors import TableError
from siamese_nima.evaluation.figures import RatedPhotos, plain_figures
from siamese_nima.evaluation.metrics import (
    PAIR_GAP,
    Interval,
    bootstrap_by_scene,
    pair_accuracy,
    plcc,
    rmse,
    same_scene_pairs,
    srcc,
)
from siamese_nima.ratings import Floats

Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two models on the same photos.

    Attributes:
        first: The figure of the first model.
        second: The figure of the second.
        difference: Second less first, with its 95 % interval when scenes are drawn again.
        chance: Permutation p-value, 0 to 1: how often exchanging the two models' scores, scene by
            scene at random, gives a difference as large.
        higher_is_better: Direction of the figure.
    """

    first: float
    second: float
    difference: Interval
    chance: float
    higher_is_better: bool = True

    @property
    def winner(self) -> str:
        """ "first", "second", or "neither" unless interval and permutation agree at 5 %."""
        low, high = self.difference.low, self.difference.high
        if not (self.chance < 0.05 and (low > 0 or high < 0)):
            return "neither"
        return "second" if (low > 0) == self.higher_is_better else "first"

    def to_json(self) -> dict[str, Any]:
        """The figures in values that JSON has."""
        plain: dict[str, Any] = plain_figures(asdict(self) | {"winner": self.winner})
        return plain


def compare_models(
    first: RatedPhotos, second: RatedPhotos, *, repeats: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """SRCC, PLCC, RMSE and same-scene pair accuracy of two models on the same photos.

    Args:
        first: Scores of one model.
        second: Scores of the other, for the same photos in the same order.
        repeats: Resamples and permutations.
        seed: Of both.

    Returns:
        Differences by name. Same-scene pairs are left out where there are none.

    Raises:
        TableError: The photos differ, or the models' scales do (map one to the other first).
    """
    if first.paths != second.paths or first.scale != second.scale:
        raise TableError(
            f"models are compared on the same photos and scale, got {len(first)} photos on "
            f"{first.scale} and {len(second)} on {second.scale}"
        )
    labels, scenes = first.labels, np.asarray(first.scenes)
    pairs = same_scene_pairs(labels, first.scenes, gap=PAIR_GAP * first.range)

    def figure(measure: Callable[[Floats, Floats], float]) -> Callable[[Floats, Index], float]:
        def measured(scores: Floats, index: Index) -> float:
            found = measure(scores[index], labels[index])
            # Scores that are all equal have no correlation; they know as little as chance does.
            return 0.0 if found != found else found

        return measured

    # Exchanged scores must be exchangeable, so those of each model are brought to one form.
    ranks = [rankdata(rated.scores) for rated in (first, second)]
    standard = [_standardised(rated.scores) for rated in (first, second)]
    raw = [rated.scores for rated in (first, second)]
    compared = {
        "srcc": _compare(figure(srcc), ranks, scenes, repeats, seed),
        "plcc": _compare(figure(plcc), standard, scenes, repeats, seed),
        "rmse": _compare(figure(rmse), raw, scenes, repeats, seed, higher_is_better=False),
    }
    if len(pairs):
        rows = np.arange(len(pairs))
        compared["same_scene_pairs"] = _compare(
            lambda scores, index: pair_accuracy(scores, pairs[index]),
            raw,
            scenes,
            repeats,
            seed,
            units=(rows, scenes[pairs[:, 0]]),
        )
    return compared


def _compare(
    measure: Callable[[Floats, Index], float],
    scores: list[Floats],
    scenes: NDArray[np.str_],
    repeats: int,
    seed: int,
    *,
    higher_is_better: bool = True,
    units: tuple[Index, NDArray[np.str_]] | None = None,
) -> Difference:
    """`units` are what the figure counts, photos by default, and the scene of each."""
    rows, unit_scenes = units or (np.arange(len(scenes)), scenes)
    first, second = scores
    interval = bootstrap_by_scene(
        lambda index: measure(second, index) - measure(first, index),
        unit_scenes.tolist(),
        repeats=repeats,
        seed=seed,
    )
    _, codes = np.unique(scenes, return_inverse=True)
    generator = np.random.default_rng(seed)
    as_large = 0
    for _ in range(repeats):
        exchanged = (generator.random(codes.max() + 1) < 0.5)[codes]
        one, other = np.where(exchanged, second, first), np.where(exchanged, first, second)
        as_large += abs(measure(other, rows) - measure(one, rows)) >= abs(interval.value) - 1e-12
    return Difference(
        first=measure(first, rows),
        second=measure(second, rows),
        difference=interval,
        chance=(1 + as_large) / (1 + repeats),
        higher_is_better=higher_is_better,
    )


def _standardised(scores: Floats) -> Floats:
    deviation = float(scores.std())
    return np.asarray((scores - scores.mean()) / (deviation or 1.0))
