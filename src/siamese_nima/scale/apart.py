"""Photos scored in a process of their own, so that one that ends it becomes a row with an error.

A decoder that crashes, or a photo that takes all memory, ends a worker; Ray would give the same
photos to the next one, for ever.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from siamese_nima.photos.read import PhotoSource
from siamese_nima.scale.listed_photos import NamedPhoto, no_photo
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer

_scorer: Scorer


def scored_apart(
    make_scorer: Callable[[], Scorer], here: Scorer, photos: Iterator[NamedPhoto]
) -> Generator[ScoredPhoto, None, None]:
    """Results of photos, one after the other, from a process that may end at any of them.

    Args:
        make_scorer: Makes a scorer in that process.
        here: An equal scorer, for the errors of photos that ended it.
        photos: In the order of the results.
    """
    pool: ProcessPoolExecutor | None = None
    try:
        for name, photo in photos:
            pool = pool or _process(make_scorer)
            try:
                yield pool.submit(_score, name, photo).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = None
                reason = f"{name}: ended the process that read it; damaged, or too large to decode."
                yield here.score_together([(name, no_photo(reason))])[0]
    finally:
        if pool:
            pool.shutdown()


def _process(make_scorer: Callable[[], Scorer]) -> ProcessPoolExecutor:
    # Not a fork, which would hang on locks that other threads hold.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(make_scorer,))
    # No photo is to be blamed for a process that does not even start.
    pool.submit(_ready).result()
    return pool


def _begin(make_scorer: Callable[[], Scorer]) -> None:
    global _scorer
    _scorer = make_scorer()


def _ready() -> None:
    return None


def _score(name: str, photo: PhotoSource) -> ScoredPhoto:
    return _scorer.score_together([(name, photo)])[0]
