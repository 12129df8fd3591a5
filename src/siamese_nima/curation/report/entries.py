"""What the page says of each photo: its result, its rank, and its place in a burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from siamese_nima.curation.bursts import Burst
from siamese_nima.pair_error import PairError
from siamese_nima.photos.find import natural_key
from siamese_nima.scoring.ranking import RankPlace, rank_photos, rank_places
from siamese_nima.scoring.scored_photo import ScoredPhoto


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstPlace:
    """Where a photo stands in its burst.

    Attributes:
        burst: Number of the burst, from 1.
        size: How many photos it has.
        place: 1 for its best photo.
        too_close: Whether this photo and the best (for the best: the second) are too close to
            call; None where that is not known.
    """

    burst: int
    size: int
    place: int
    too_close: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One photo of the page.

    Attributes:
        result: Its score or error.
        given: Its place in the order given, from 0.
        name_order: Its place in the natural order of paths, from 0.
        place: Where it stands among all photos; None without a score.
        burst: Its place in a burst, or None.
    """

    result: ScoredPhoto
    given: int
    name_order: int
    place: RankPlace | None
    burst: BurstPlace | None


def make_entries(
    results: Sequence[ScoredPhoto],
    *,
    bursts: Sequence[Burst] = (),
    pair_error: PairError | None = None,
) -> list[Entry]:
    """Entries of all results, best first; photos without a score last.

    Args:
        results: In the order given.
        bursts: As `group_bursts` finds them.
        pair_error: Tells which scores are too close to call; without it no entry says so.
    """
    given = {id(result): place for place, result in enumerate(results)}
    by_name = sorted(results, key=lambda result: natural_key(result.path))
    names = {id(result): place for place, result in enumerate(by_name)}
    ranked = rank_photos(results)
    places = rank_places(ranked, pair_error)
    burst_places = _burst_places(bursts, pair_error)
    return [
        Entry(
            result=result,
            given=given[id(result)],
            name_order=names[id(result)],
            place=place,
            burst=burst_places.get(result.path),
        )
        for result, place in zip_longest(ranked, places)
    ]


def _burst_places(bursts: Sequence[Burst], pair_error: PairError | None) -> dict[str, BurstPlace]:
    return {
        photo.path: BurstPlace(
            burst=number,
            size=len(burst.photos),
            place=place,
            too_close=burst.too_close if place == 1 else _too_close(burst.best, photo, pair_error),
        )
        for number, burst in enumerate(bursts, 1)
        for place, photo in enumerate(burst.photos, 1)
    }


def _too_close(best: ScoredPhoto, other: ScoredPhoto, pair_error: PairError | None) -> bool | None:
    if pair_error is None or best.mean is None or other.mean is None:
        return None
    return pair_error.too_close(best.mean - other.mean)
