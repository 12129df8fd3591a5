"""Which two photos to ask about next.

Pure functions of what is believed and of what was asked before: the same in a browser and in a
simulation, and the same again for the same seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from siamese_nima.errors import ConfigError
from siamese_nima.pair_error import WANTED
from siamese_nima.taste.posterior import Posterior
from siamese_nima.taste.strengths import Indices, Strengths

_RESTING = 3  # photos of so many pairs before are not shown again at once


@dataclass(frozen=True, slots=True)
class Asked:
    """A pair that was shown.

    Attributes:
        left: Number of the photo on the left.
        right: Number of the photo on the right.
        answered: Whether it has an answer: False for one that was set aside, and for one whose
            answer is still to come.
    """

    left: int
    right: int
    answered: bool = True


def recent_photos(asked: Sequence[Asked]) -> set[int]:
    """Photos shown just now, which are better not shown again at once."""
    return {photo for pair in asked[-_RESTING:] for photo in (pair.left, pair.right)}


def random_pairs(photos: int, count: int, draw: np.random.Generator) -> Indices:
    """Pairs of two different ones of two photos or more, shape (`count`, 2); some may be alike."""
    left = draw.integers(photos, size=count)
    right = (left + draw.integers(1, photos, size=count)) % photos
    return np.stack([left, right], axis=1).astype(np.intp)


Way = Literal["active", "random"]
Why = Literal["informative", "burst", "repeat", "random"]

_FIRSTS = 16  # photos whose partner is sought
_PARTNERS = 96  # partners tried for each of them: 1,536 pairs in all
_BURST_PAIRS = 4096
_BURST_PHOTOS = 40
_BURST_TIMES = 3  # a photo is asked this often inside its burst, at most
_TRIES = 200
_CANDIDATES = 500
_LESS_UNCERTAIN_PAIRS = 250


@dataclass(frozen=True, slots=True)
class Chosen:
    """A pair to show, and why this one."""

    left: int
    right: int
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoosingRule:
    """How pairs are chosen.

    Attributes:
        way: "active" asks what tells most; "random" takes any pair not asked before.
        random_share: Share of pairs that are drawn although the way is active. Those that tell most
            are pairs the model finds equal; alone they never show how much its order is worth.
        repeats: Share of pairs that are shown a second time, sides swapped, to learn how often the
            person says the same again.
        repeat_after: How many pairs at least lie between.
        bursts_first: Whether pairs inside a burst come before all others, until their order is
            known or each photo was asked three times.
        seed: The same seed gives the same pairs for the same answers.
    """

    way: Way = "active"
    random_share: float = 0.5
    repeats: float = 0.1
    repeat_after: int = 12
    bursts_first: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.way not in get_args(Way):
            raise ConfigError(f"the way to choose is {self.way!r}, wanted active or random")
        if not 0 <= self.random_share <= 1:
            raise ConfigError(
                f"the share of random pairs must be from 0 to 1, got {self.random_share}"
            )
        if not 0 <= self.repeats <= 0.5:
            raise ConfigError(f"the share of repeats must be from 0 to .5, got {self.repeats}")
        if self.repeat_after < 1:
            raise ConfigError(f"repeats must come after 1 pair or more, got {self.repeat_after}")


def choose_pair(
    belief: Strengths,
    asked: Sequence[Asked],
    rule: ChoosingRule | None = None,
    *,
    bursts: Sequence[Sequence[int]] = (),
    posterior: Posterior | None = None,
) -> Chosen | None:
    """The next pair to ask one person about.

    Active pairs are those whose answer is expected to tell most (`Strengths.information`), among
    pairs that begin from the photos asked least often; so every part of the folder gets its turn.
    They bring no photo that is asked much more often than the average, nor one of the last three
    pairs, where there are others. In between come random pairs. Takes a few milliseconds for
    5,000 photos.

    Args:
        belief: What is believed of N photos after the answers so far.
        asked: All that was shown to this person, in order. The last ones may still be without an
            answer, so that the next pair is ready before it is needed.
        rule: How to choose.
        bursts: Numbers of photos that show the same thing, for `bursts_first`.
        posterior: What is known of the taste from what the network sees. It then chooses all
            active pairs, and none is random, but in the end, when it knows of no other.

    Returns:
        None where every pair was asked, and none is to be repeated.
    """
    rule = rule or ChoosingRule()
    photos = belief.values.size
    if photos < 2:
        return None
    # Of the number of pairs too: the same person must not get the same draw every time.
    draw = np.random.default_rng([rule.seed, len(asked)])
    known = {_key(pair.left, pair.right) for pair in asked}
    repeat = _repeat(asked, rule, draw) if draw.random() < rule.repeats else None
    if repeat:
        return repeat
    counts = np.bincount(
        np.array([(pair.left, pair.right) for pair in asked], np.intp).ravel(), minlength=photos
    )
    why: Why = "burst"
    chosen = None
    if rule.bursts_first and rule.way == "active":
        chosen = _burst_pair(belief, counts, known, bursts, draw)
    if chosen is None and posterior is not None and rule.way == "active":
        chosen, why = most_informative_pair(posterior, asked, draw), "informative"
    if chosen is None and (rule.way == "random" or draw.random() < rule.random_share):
        chosen, why = _random_pair(photos, known, draw), "random"
    if chosen is None:
        rested = _rested(counts, asked)
        chosen, why = _informative_pair(belief, counts, rested, known, draw), "informative"
    if chosen is None:
        chosen = _pair_left_over(photos, known)
    if chosen is None:
        return _repeat(asked, rule, draw) if rule.repeats else None
    left, right = chosen if draw.random() < 0.5 else chosen[::-1]
    return Chosen(left, right, why)


def most_informative_pair(
    posterior: Posterior, asked: Sequence[Asked], draw: np.random.Generator
) -> tuple[int, int] | None:
    """The pair whose answer tells most of a taste, of 500 drawn ones; None where there is none.

    Args:
        posterior: What is known of the taste.
        asked: All that was shown, whether its answer is in the posterior or still to come.
        draw: Of the pairs that are tried, and of those that are to become less uncertain.
    """
    photos = posterior.photos
    known = {frozenset((pair.left, pair.right)) for pair in asked}
    tried = photos[random_pairs(len(photos), _CANDIDATES, draw)]
    fresh = np.array([frozenset(pair) not in known for pair in tried.tolist()])
    rested = fresh & ~np.isin(tried, list(recent_photos(asked))).any(axis=1)
    tried = tried[rested if rested.any() else fresh]
    if not len(tried):
        return None
    shown = np.array([(pair.left, pair.right) for pair in asked], np.intp).reshape(-1, 2)
    shown = shown[np.isin(shown, photos).all(axis=1)]
    others = random_pairs(len(photos), _LESS_UNCERTAIN_PAIRS, draw)
    gained = posterior.expected_information(
        posterior.places(tried), posterior.places(shown), others
    )
    best = np.argmax(gained)
    return int(tried[best, 0]), int(tried[best, 1])


def _key(left: int, right: int) -> tuple[int, int]:
    return (left, right) if left < right else (right, left)


def _repeat(asked: Sequence[Asked], rule: ChoosingRule, draw: np.random.Generator) -> Chosen | None:
    """Any pair that was answered once, some time ago, with its sides swapped."""
    times: dict[tuple[int, int], int] = {}
    for pair in asked:
        key = _key(pair.left, pair.right)
        times[key] = times.get(key, 0) + 1
    old = [
        pair
        for pair in asked[: -rule.repeat_after]
        if pair.answered and times[_key(pair.left, pair.right)] == 1
    ]
    if not old:
        return None
    pair = old[draw.integers(len(old))]
    return Chosen(pair.right, pair.left, "repeat")


def _random_pair(
    photos: int, known: set[tuple[int, int]], draw: np.random.Generator
) -> tuple[int, int] | None:
    for _ in range(_TRIES):
        left = int(draw.integers(photos))
        right = int((left + draw.integers(1, photos)) % photos)
        if _key(left, right) not in known:
            return left, right
    return None


def _rested(counts: Indices, asked: Sequence[Asked]) -> NDArray[np.bool_]:
    """Photos that may be asked about: not shown just now, and not much more often than others."""
    often = counts >= 3 + 2 * counts.mean()
    recent = np.zeros(counts.size, np.bool_)
    recent[list(recent_photos(asked))] = True
    for tired in (often | recent, recent):
        if counts.size - np.count_nonzero(tired) >= 4:
            return ~tired
    return np.ones(counts.size, np.bool_)


def _informative_pair(
    belief: Strengths,
    counts: Indices,
    rested: NDArray[np.bool_],
    known: set[tuple[int, int]],
    draw: np.random.Generator,
) -> tuple[int, int] | None:
    pool = draw.permutation(np.flatnonzero(rested))
    firsts = pool[np.argsort(counts[pool], kind="stable")[:_FIRSTS]]
    partners = draw.permutation(pool)[:_PARTNERS]
    left, right = (side.ravel() for side in np.meshgrid(firsts, partners, indexing="ij"))
    return _best(belief, left, right, known)


def _burst_pair(
    belief: Strengths,
    counts: Indices,
    known: set[tuple[int, int]],
    bursts: Sequence[Sequence[int]],
    draw: np.random.Generator,
) -> tuple[int, int] | None:
    fresh = [
        pair
        for burst in bursts
        for pair in combinations(_some([p for p in burst if counts[p] < _BURST_TIMES], draw), 2)
        if _key(*pair) not in known
    ]
    if not fresh:
        return None
    pairs = draw.permutation(np.array(fresh, np.intp))[:_BURST_PAIRS]
    sure = np.abs(belief.preference(*pairs.T) - 0.5) + 0.5
    left, right = pairs[sure < WANTED].T
    return _best(belief, left, right, known)


def _some(photos: list[int], draw: np.random.Generator) -> list[int]:
    """As many photos of a burst as all their pairs can be looked at."""
    if len(photos) <= _BURST_PHOTOS:
        return photos
    return [int(photo) for photo in draw.choice(photos, _BURST_PHOTOS, replace=False)]


def _best(
    belief: Strengths, left: Indices, right: Indices, known: set[tuple[int, int]]
) -> tuple[int, int] | None:
    """The pair that tells most, of those that were not asked."""
    other = left != right
    left, right = left[other], right[other]
    for place in np.argsort(-belief.information(left, right), kind="stable"):
        pair = int(left[place]), int(right[place])
        if _key(*pair) not in known:
            return pair
    return None


def _pair_left_over(photos: int, known: set[tuple[int, int]]) -> tuple[int, int] | None:
    """Any pair that was not asked, when almost all were."""
    if len(known) >= photos * (photos - 1) // 2:
        return None
    return next((pair for pair in combinations(range(photos), 2) if pair not in known), None)
