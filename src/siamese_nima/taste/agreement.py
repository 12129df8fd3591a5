"""How often a model chooses as a person did, on answers it has not learnt from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from siamese_nima.errors import RatingError
from siamese_nima.ratings import Floats
from siamese_nima.taste.preference import (
    PhotoFeatures,
    fit_ratings,
    learn_preference,
    photos_of,
)
from siamese_nima.taste.strengths import Comparisons, Coupling, Indices

Verdict = Literal["better", "worse", "no difference to be seen"]

_REPEATS = 2000
_ABOUT = 1.2  # of a fold's size
_INSIDE = (0.025, 0.975)
_PAIRS_OF_A_PHOTO = 8  # it is in about twice as many


@dataclass(frozen=True, slots=True)
class Share:
    """A share, and the interval that holds it with 95 %.

    Attributes:
        value: From 0 to 1; of a difference, from -1 to 1. NaN where it is of nothing.
        low: Lower end of the interval.
        high: Upper end.
        of: How many it is a share of.
    """

    value: float
    low: float
    high: float
    of: int

    def to_json(self) -> dict[str, Any]:
        """The share rounded, `null` for what is not known."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {k: None if np.isnan(v) else round(v, 4) for k, v in numbers.items()} | {
            "of": self.of
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two models make of the same answers.

    Attributes:
        general: Share of decided answers that the general model gives too.
        personal: The same of the personal model.
        difference: Personal less general, on the same answers.
        verdict: "better" or "worse" where the interval of the difference leaves out 0.
    """

    general: Share
    personal: Share
    difference: Share
    verdict: Verdict


def agreements(gaps: ArrayLike, comparisons: Comparisons) -> Floats:
    """Per answer 1 where a model's gap has the person's sign, 0 where not, .5 for a gap of 0.

    Args:
        gaps: Shape (M,), the model's score of the left photo less that of the right one.
        comparisons: Answers; too close to call is NaN in the result, as no gap is right there.

    Returns:
        Shape (M,).
    """
    side = np.sign(comparisons.outcome - 0.5)
    agreed = (np.sign(np.asarray(gaps, dtype=np.float64)) * side + 1) / 2
    return np.where(side == 0, np.nan, agreed)


def compare_agreement(
    general: ArrayLike,
    personal: ArrayLike,
    comparisons: Comparisons,
    *,
    by_photo: bool = False,
    seed: int = 0,
) -> Agreement:
    """Compare two models on answers that neither has learnt from.

    Intervals come from drawing pairs of photos again, all answers about one pair together, the same
    draws for both models.

    Args:
        general: Shape (M,), gaps of the general model; see `agreements`.
        personal: Shape (M,), gaps of the personal one.
        comparisons: The answers.
        by_photo: Draw photos in place of pairs, where answers follow from ratings of photos.
        seed: Of the draws.

    Raises:
        RatingError: No decided answer.
    """
    decided = comparisons.outcome != 0.5
    if not decided.any():
        raise RatingError("agreement is measured on answers that name the better photo, got none")
    before, after = (agreements(gaps, comparisons)[decided] for gaps in (general, personal))
    clusters = pair_numbers(comparisons)[decided]
    draws = _photo_draws(comparisons.select(decided), seed) if by_photo else _draws(clusters, seed)
    first, second = (_share(values, draws) for values in (before, after))
    difference = _drawn(after - before, draws)
    verdict: Verdict = "no difference to be seen"
    if difference.low > 0:
        verdict = "better"
    elif difference.high < 0:
        verdict = "worse"
    return Agreement(first, second, difference, verdict)


def self_agreement(comparisons: Comparisons, people: Indices, *, seed: int = 0) -> Share:
    """How often a person who is asked about a pair again answers as the first time.

    The most that any model can reach is about the share that a person reaches with themself.
    A tie and a choice agree by half.

    Args:
        comparisons: Answers in the order they were given.
        people: Shape (M,), the number of the person who answered.
        seed: Of the draws.
    """
    turned = comparisons.left > comparisons.right
    outcomes = np.where(turned, 1 - comparisons.outcome, comparisons.outcome)
    first: dict[tuple[int, int], float] = {}
    same: list[float] = []
    clusters: list[int] = []
    pairs = pair_numbers(comparisons).tolist()
    for pair, person, outcome in zip(pairs, people.tolist(), outcomes.tolist(), strict=True):
        if (pair, person) in first:
            same.append(1 - abs(outcome - first[pair, person]))
            clusters.append(pair)
        else:
            first[pair, person] = outcome
    return _share(np.array(same), _draws(np.array(clusters, dtype=np.intp), seed))


def pair_numbers(comparisons: Comparisons) -> Indices:
    """A number per pair of photos, shape (M,), whichever side they were on."""
    low = np.minimum(comparisons.left, comparisons.right)
    high = np.maximum(comparisons.left, comparisons.right)
    _, numbers = np.unique(np.stack([low, high], axis=1), axis=0, return_inverse=True)
    return numbers.ravel()


def held_out_folds(comparisons: Comparisons, folds: int, *, seed: int = 0) -> Indices:
    """Divide answers so that each is held out once; shape (M,), the number of its fold.

    Photos that answers connect stay together as long as no such group has clearly more answers than
    a fold should; else all answers about one pair do. In the first case a model is judged on photos
    that it has not learnt from.

    Args:
        comparisons: Answers.
        folds: How many, 2 or more.
        seed: Of who goes where.
    """
    left, right = comparisons.left, comparisons.right
    photos = int(max(left.max(initial=0), right.max(initial=0))) + 1
    groups = Coupling.of(left, right, photos).group[left]
    if np.bincount(groups).max() > _ABOUT * len(comparisons) / folds:
        groups = pair_numbers(comparisons)
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(sizes.size)
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds, dtype=np.intp)
    fold_of = np.empty(sizes.size, dtype=np.intp)
    for group in order:
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    return fold_of[groups]


def _draws(clusters: Indices, seed: int) -> Floats:
    """How often each answer counts in each of many drawings of clusters, shape (draws, M)."""
    names, codes = np.unique(clusters, return_inverse=True)
    generator = np.random.default_rng(seed)
    if names.size == 0:
        return np.zeros((_REPEATS, 0))
    times = generator.multinomial(names.size, np.full(names.size, 1 / names.size), _REPEATS)
    return np.asarray(times[:, codes].astype(np.float64))


def _photo_draws(comparisons: Comparisons, seed: int) -> Floats:
    """As `_draws`, with photos drawn again: a pair counts as often as both its photos together."""
    photos, codes = np.unique(np.stack([comparisons.left, comparisons.right]), return_inverse=True)
    left, right = codes.reshape(2, -1)
    times = np.random.default_rng(seed).multinomial(
        photos.size, np.full(photos.size, 1 / photos.size), _REPEATS
    )
    return np.asarray((times[:, left] * times[:, right]).astype(np.float64))


def _drawn(values: Floats, draws: Floats) -> Share:
    if not values.size:
        return Share(np.nan, np.nan, np.nan, 0)
    drawn = (draws @ values) / np.maximum(draws.sum(axis=1), 1)
    low, high = np.quantile(drawn, _INSIDE)
    return Share(float(values.mean()), float(low), float(high), values.size)


def _share(values: Floats, draws: Floats) -> Share:
    """As `_drawn`, but no narrower than Wilson's interval: ten of ten is not certainty."""
    drawn = _drawn(values, draws)
    if not drawn.of:
        return drawn
    z2 = 1.96**2 / drawn.of
    middle = (drawn.value + z2 / 2) / (1 + z2)
    half = sqrt(z2 * (drawn.value * (1 - drawn.value) + z2 / 4)) / (1 + z2)
    return replace(drawn, low=min(drawn.low, middle - half), high=max(drawn.high, middle + half))


FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What models say of answers that they have not learnt from.

    Attributes:
        agreement: Of the general model and of the person's, and which is better.
        comparisons: The answers; of ratings, pairs that follow from them.
        gaps: Shape (M,), score of the left photo less that of the right one by the personal model
            that did not learn from this answer.
        new_photos: Whether the photos of the answers were new to it as well.
    """

    agreement: Agreement
    comparisons: Comparisons
    gaps: Floats
    new_photos: bool


def judge_held_out(
    rated: PhotoFeatures, comparisons: Comparisons, *, folds: int = FOLDS, seed: int = 0
) -> HeldOut:
    """Judge what is learnt from answers by cross-validation: each is held out once.

    Args:
        rated: The photos, numbered as the answers have them.
        comparisons: Answers, at least as many as folds, one of them decided.
        folds: Times that a taste is learnt, from all answers but those of one fold.
        seed: Of the folds and the intervals.

    Raises:
        RatingError: No answer names the better photo.
    """
    fold = held_out_folds(comparisons, folds, seed=seed)
    general = rated.scores()
    personal = np.zeros(len(comparisons))
    new_photos = True
    for number in np.unique(fold):
        out = fold == number
        preference = learn_preference(rated, comparisons.select(~out))
        scores = rated.scores(preference.tilts(rated.features))
        left, right = comparisons.left[out], comparisons.right[out]
        personal[out] = scores[left] - scores[right]
        shown = photos_of(comparisons.select(~out))
        new_photos &= not np.isin(photos_of(comparisons.select(out)), shown).any()
    before = general[comparisons.left] - general[comparisons.right]
    agreement = compare_agreement(before, personal, comparisons, seed=seed)
    return HeldOut(agreement, comparisons, personal, bool(new_photos))


def judge_ratings(
    rated: PhotoFeatures, ratings: Floats, *, folds: int = FOLDS, seed: int = 0
) -> HeldOut:
    """Judge what is learnt from ratings: each photo is held out once.

    Photos that are held out together are compared with each other: of two with different ratings,
    the higher one is better. How generous a person is plays no part.

    Args:
        rated: N photos.
        ratings: Shape (N,), any scale; more is better.
        folds: Times that a taste is learnt.
        seed: Of the folds, the pairs and the intervals.

    Raises:
        RatingError: No two photos of a fold, or of the rest, have different ratings.
    """
    draw = np.random.default_rng(seed)
    order = draw.permutation(ratings.size)
    order = order[np.argsort(ratings[order], kind="stable")]  # each fold has low and high ones
    chosen: list[tuple[int, int]] = []
    gaps: list[Floats] = []
    for number in range(folds):
        part = np.sort(order[number::folds])
        pairs = _rated_pairs(part, ratings, draw)
        if not len(pairs):
            continue
        others = np.setdiff1d(np.arange(ratings.size), part)
        preference = fit_ratings(rated.select(others), ratings[others])
        scores = rated.scores(preference.tilts(rated.features))
        gaps.append(scores[pairs[:, 0]] - scores[pairs[:, 1]])
        chosen.extend(map(tuple, pairs.tolist()))
    left, right = np.array(chosen, np.intp).reshape(-1, 2).T
    comparisons = Comparisons(left, right, (ratings[left] > ratings[right]).astype(np.float64))
    personal, general = np.concatenate([*gaps, []]), rated.scores()
    before = general[left] - general[right]
    agreement = compare_agreement(before, personal, comparisons, by_photo=True, seed=seed)
    return HeldOut(agreement, comparisons, personal, new_photos=True)


def _rated_pairs(part: Indices, ratings: Floats, draw: np.random.Generator) -> Indices:
    """Pairs of photos of a part with different ratings, each photo in up to 16, shape (M, 2)."""
    found: set[tuple[int, int]] = set()
    for photo in part.tolist():
        others = draw.permutation(part[ratings[part] != ratings[photo]]).tolist()
        fresh = [other for other in others if (other, photo) not in found]
        found.update((photo, other) for other in fresh[:_PAIRS_OF_A_PHOTO])
    return np.array(sorted(found), np.intp).reshape(-1, 2)
