"""From results to a ranking: best first, and how sure the order is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from siamese_nima.errors import ConfigError
from siamese_nima.pair_error import PairError
from siamese_nima.photos.shots import group_shots
from siamese_nima.printable import printable
from siamese_nima.scoring.results import Results, ScoredPhoto


def rank_photos(results: Iterable[ScoredPhoto]) -> Results:
    """Results by score, best first; photos without a score come last, in their given order."""
    every = list(results)
    failed = [result for result in every if result.score is None]
    rated = [(-result.score, result.path, result) for result in every if result.score is not None]
    ranked = [result for *_, result in sorted(rated, key=lambda row: row[:2])]
    return Results(ranked + failed)


def one_per_shot(results: Sequence[ScoredPhoto]) -> list[ScoredPhoto]:
    """One result for each shot, in order: that of the first of its files that has a score.

    Args:
        results: Of photo files, such as a camera raw file and its JPEG.
    """
    by_path = {result.path: result for result in results}
    kept = []
    for shot in group_shots(by_path):
        own = [by_path[name] for name in shot.files]
        kept.append(next((result for result in own if result.score is not None), own[0]))
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class RankPlace:
    """Where a photo stands in a ranking, and how sure that is.

    Attributes:
        rank: 1 for the best.
        best: The best rank it could have: 1 more than the photos whose scores are surely higher.
            Photos that are too close to call with it are not surely higher. None where nobody has
            measured the model's pair error.
        worst: The worst rank it could have, likewise.
        over_next: Probability that people would put it before the next photo, .5 to 1. None for the
            last one, and where the pair error is unknown.
    """

    rank: int
    best: int | None = None
    worst: int | None = None
    over_next: float | None = None


def rank_places(ranked: Iterable[ScoredPhoto], pair_error: PairError | None) -> list[RankPlace]:
    """The place of every photo with a score, in the order of the ranking.

    Args:
        ranked: As `rank_photos` gives it. Photos without a score come last and have no place.
        pair_error: `card.pair_error` of the model that gave the scores.

    >>> from siamese_nima.ratings import AVA_SCALE
    >>> photos = [ScoredPhoto(path="", model="", scale=AVA_SCALE, score=m) for m in (7, 6.9, 4)]
    >>> sure_from_1 = PairError((0, 1), (0.5, 0.9), (0.5, 0.8), pairs=500)
    >>> [(place.best, place.worst) for place in rank_places(photos, sure_from_1)]
    [(1, 2), (1, 2), (3, 3)]
    """
    scores = np.array([result.score for result in ranked if result.score is not None], np.float64)
    count = len(scores)
    if pair_error is None:
        return [RankPlace(rank=rank) for rank in range(1, count + 1)]
    gap = pair_error.closest_call()
    if gap is None:
        best, worst = np.ones(count, np.int64), np.full(count, count)
    else:
        # A photo is surely better from a gap of scores on; scores ascend for searchsorted.
        best = 1 + np.searchsorted(-scores, -(scores + gap), side="right")
        worst = np.searchsorted(-scores, -(scores - gap), side="left")
        worst = np.maximum(worst, np.arange(1, count + 1))
        best = np.minimum(best, np.arange(1, count + 1))
    over_next = [*map(float, pair_error.accuracy_at(np.diff(scores))), None]
    return [
        RankPlace(rank=rank, best=int(first), worst=int(last), over_next=sure)
        for rank, first, last, sure in zip(
            range(1, count + 1), best, worst, over_next, strict=False
        )
    ]


def describe_order(better: ScoredPhoto, worse: ScoredPhoto, pair_error: PairError | None) -> str:
    """One or two sentences on the order of two photos with scores, the better one first."""
    if better.score is None or worse.score is None:
        raise ConfigError("only photos with scores have an order")
    first, second = (f"{printable(r.path)} ({r.score:.2f})" for r in (better, worse))
    if pair_error is None:
        return (
            f"{first} scores higher than {second}; how sure that is, is unknown: "
            f"nobody has measured the pair error of {better.model}."
        )
    gap = better.score - worse.score
    sure, least = (100 * float(at(gap)) for at in (pair_error.accuracy_at, pair_error.lower_at))
    opinion = (
        f"of 100 pairs with such a gap of scores, people put {sure:.0f} in this order "
        f"(at least {least:.0f}, with 95 % confidence)."
    )
    if pair_error.too_close(gap):
        return f"Too close to call: {first} and {second}; {opinion}"
    return f"{first} is better than {second}; {opinion}"


def describe_ranking(
    ranked: Sequence[ScoredPhoto], pair_error: PairError | None, *, brief: bool = False
) -> str:
    """A sentence on how sure the order of a ranking is; empty for fewer than two scores.

    Args:
        ranked: As `rank_photos` gives it.
        pair_error: `card.pair_error` of the model that gave the scores.
        brief: Only the end of a sentence, for those who know how sure an order must be; two
            photos are always described in full.
    """
    scored = [result for result in ranked if result.score is not None]
    if len(scored) < 2:
        return ""
    if len(scored) == 2:
        return describe_order(scored[0], scored[1], pair_error)
    if brief:
        return _brief(scored, pair_error)
    if pair_error is None:
        return (
            "How sure this order is, is unknown: nobody has measured the pair error of "
            f"{scored[0].model}."
        )
    leaders = sum(place.best == 1 for place in rank_places(scored, pair_error))
    gap = pair_error.closest_call()
    if gap is None:
        return "Too close to call: no gap of scores makes an order sure with this model."
    measure = f"a gap of {gap:.2f} points makes an order sure: 8 of 10 pairs as people put them"
    if leaders == 1:
        return f"The first is the best ({measure})."
    return f"Too close to call: any of the first {leaders} may be the best ({measure})."


def _brief(scored: Sequence[ScoredPhoto], pair_error: PairError | None) -> str:
    if pair_error is None:
        return "how sure this order is, is unknown"
    if pair_error.closest_call() is None:
        return "too close to call: no order is sure"
    leaders = sum(place.best == 1 for place in rank_places(scored, pair_error))
    return "the first is the best" if leaders == 1 else f"any of the first {leaders} may be best"


@dataclass(frozen=True, slots=True)
class Top:
    """How many of the best: a number of photos, or a share of those with a score.

    Attributes:
        value: A whole number from 1 on, or percent, above 0 and at most 100.
        percent: Which of both.
    """

    value: float
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Top:
        """From text such as "20" or "10%".

        Raises:
            ConfigError: Something else.
        """
        number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
        try:
            value = float(number) if percent else int(number)
        except ValueError:
            value = 0
        if not 0 < value < float("inf") or (percent and value > 100):
            raise ConfigError(
                f"{text}: wanted how many photos, such as 20, or a share of them, such as 10%"
            )
        return cls(value, percent)

    def count(self, photos: int) -> int:
        """How many of so many photos; a share is rounded up.

        >>> Top.parse("10%").count(11), Top.parse("20").count(11)
        (2, 20)
        """
        # A share of a whole number of photos must not become one more by rounding.
        return math.ceil(round(photos * self.value / 100, 9)) if self.percent else int(self.value)


def select_photos(
    ranked: Iterable[ScoredPhoto],
    *,
    top: Top | None = None,
    above: float | None = None,
    below: float | None = None,
    worst: bool = False,
) -> list[ScoredPhoto]:
    """The photos of a ranking that are wanted; those without a score are not.

    Args:
        ranked: As `rank_photos` gives it.
        top: The best of all with a score; those of them that the bounds leave out are left out.
        above: At least this score.
        below: Less than this score.
        worst: The worst in place of the best, worst first.
    """
    scored = [result for result in ranked if result.score is not None]
    scored = scored[::-1] if worst else scored
    best = scored if top is None else scored[: top.count(len(scored))]
    return [result for result in best if is_between(result, above=above, below=below)]


def is_between(result: ScoredPhoto, *, above: float | None, below: float | None) -> bool:
    """Whether a photo scores at least `above` and less than `below`; None bounds nothing."""
    if result.score is None:
        return False
    return (above is None or result.score >= above) and (below is None or result.score < below)
