"""From scores to stars: 1 to 5, and -1 for rejected where that is asked for."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from siamese_nima.errors import ConfigError
from siamese_nima.scoring.scored_photo import ScoredPhoto

By = Literal["given", "population", "score"]

REJECTED = -1
PERCENTILES = (10.0, 30.0, 70.0, 90.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StarRule:
    """How many stars a photo gets.

    Attributes:
        by: What is measured: "given", the percentile among the photos given together;
            "population", the percentile in the model's reference population; or "score".
        bounds: Where 2, 3, 4 and 5 stars begin, ascending: percentiles, or scores.
        reject_below: Photos below are rejected (-1) in place of getting stars; at most the bound
            of 2 stars. None rejects no photo.
    """

    by: By = "given"
    bounds: tuple[float, ...] = PERCENTILES
    reject_below: float | None = None

    def __post_init__(self) -> None:
        if self.by not in ("given", "population", "score"):
            raise ConfigError(f"stars go by given, population or score, not by {self.by!r}")
        bounds = self.bounds
        rising = all(a < b for a, b in pairwise(bounds))
        if len(bounds) != 4 or not rising or not all(map(math.isfinite, bounds)):
            shown = ",".join(f"{bound:g}" for bound in bounds)
            raise ConfigError(f"bounds are 4 rising numbers, where 2 to 5 stars begin; got {shown}")
        if self.by != "score" and not 0 <= bounds[0] <= bounds[-1] <= 100:
            raise ConfigError(f"percentiles are from 0 to 100, got {bounds}")
        if self.reject_below is not None and not self.reject_below <= bounds[0]:
            raise ConfigError(
                f"the bound of rejection, {self.reject_below:g}, is above that of 2 stars, "
                f"{bounds[0]:g}"
            )

    def stars(self, measure: float) -> int:
        """Stars for a percentile or score, which ever `by` says; more of it is never fewer stars.

        >>> [StarRule().stars(percentile) for percentile in (5, 10, 50, 89.9, 90)]
        [1, 2, 3, 4, 5]
        """
        if self.reject_below is not None and measure < self.reject_below:
            return REJECTED
        return 1 + bisect_right(self.bounds, measure)


def give_stars(results: Sequence[ScoredPhoto], rule: StarRule) -> list[int | None]:
    """Stars for each photo, in order; None for one without a score.

    Equal scores get equal stars, and a higher score never fewer.

    Raises:
        ConfigError: Stars by population, and the model has none; or bounds beyond the scale.
    """
    means = sorted(result.mean for result in results if result.mean is not None)
    if rule.by == "score" and results:
        scale = results[0].scale
        if not scale.low <= rule.bounds[0] <= rule.bounds[-1] <= scale.high:
            raise ConfigError(f"bounds {rule.bounds}: scores of {results[0].model} are {scale}")
    return [None if r.mean is None else rule.stars(_measure(r, means, rule.by)) for r in results]


def _measure(result: ScoredPhoto, means: Sequence[float], by: By) -> float:
    if result.mean is None:
        raise ConfigError(f"{result.path}: has no score")
    if by == "score":
        return result.mean
    if by == "population":
        if result.percentile is None:
            raise ConfigError(
                f"{result.model} has no reference population; give stars by given or score"
            )
        return result.percentile
    # Half of the photos with the same score count as lower, so that a photo alone is average.
    below, upto = bisect_left(means, result.mean), bisect_right(means, result.mean)
    return 100 * (below + upto) / (2 * len(means))
