"""The scoring pipeline: photos in, one result per photo out, in order and in bounded memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack, cast

import numpy as np
from PIL import Image

from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.ordered_pool import in_order
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.read import MAX_PIXELS, PhotoSource
from siamese_nima.photos.shots import Shot
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.cache import Content, ResultCache
from siamese_nima.scoring.model import Model
from siamese_nima.scoring.model_set import ModelSet, ModelSource, OnPhoto, WorkItem, load_members
from siamese_nima.scoring.results import ScoredPhoto

DEFAULT_MODEL = "quality"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerOptions:
    """How photos are scored: the same from the command line to a worker of Ray.

    Attributes:
        view: View policy in place of the models' own, as a value or as text such as
            "centre:224@256".
        batch_size: Photos that one worker takes at a time; those of equal view size go through the
            network together.
        workers: Threads; by default one per usable core.
        device: "cpu", "cuda", "openvino" or "coreml".
        exact: Read photos in full. By default large ones are decoded at, or shrunk to, a reduced
            scale that is still at least twice as large as the views need, which is faster and moves
            scores by about a hundredth.
        cache: File that keeps results from one run to the next, made if missing; photos that are
            given as paths are then not scored again as long as they and the model are the same.
            `cache_path()` is the one of the command line. None keeps nothing.
        max_pixels: Larger photos are refused before they are decoded, as `read_photo` has it.

    Raises:
        ViewError: The view policy is malformed.
        ConfigError: A number is below 1.
    """

    view: ViewPolicy | str | None = None
    batch_size: int = 4
    workers: int | None = None
    device: str = "cpu"
    exact: bool = False
    cache: str | os.PathLike[str] | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"the batch size must be at least 1, got {self.batch_size}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"the number of workers must be at least 1, got {self.workers}")
        if self.max_pixels < 1:
            raise ConfigError(
                f"the largest photo must have at least 1 pixel, got {self.max_pixels}"
            )
        if isinstance(self.view, str):
            object.__setattr__(self, "view", ViewPolicy.parse(self.view))


class _Changes(TypedDict, total=False):
    view: ViewPolicy | str | None
    batch_size: int
    workers: int | None
    device: str
    exact: bool
    cache: str | os.PathLike[str] | None
    max_pixels: int


class Scorer:
    """Scores photos with one model, or with several that share one decoding of each photo.

    Attributes:
        options: The options in use.
        batch_size: Photos that one worker takes at a time.
        workers: Threads.
        cache: The cache file in use, or None.

    Every worker thread takes a few photos from file to score: reading, views and network all run
    outside Python's lock, so the cores stay busy, memory is bounded by the number of workers, and a
    photo's score does not depend on its neighbours.

    >>> scorer = Scorer()
    >>> [result] = scorer.score(np.zeros((300, 400, 3), np.uint8))
    >>> 1 <= result.score <= 10
    True
    """

    def __init__(
        self,
        model: ModelSource | Sequence[ModelSource] = DEFAULT_MODEL,
        options: ScorerOptions | None = None,
        **changes: Unpack[_Changes],
    ) -> None:
        """Load a model, or several.

        Args:
            model: Name of an embedded or downloaded model, the path of a model file, or anything
                that rates views (see `Model`); the device is for the first two. Or a sequence of
                these: the first one's result then holds those of the others.
            options: How photos are scored.
            **changes: Fields of `ScorerOptions` in place of those: `Scorer(workers=2, exact=True)`.

        Raises:
            WeightsError: A model is missing or damaged.
            ViewError: The view policy is malformed or does not fit a model.
            ConfigError: An option has an impossible value.
        """
        self.options = replace(options or ScorerOptions(), **changes)
        self.batch_size = self.options.batch_size
        self.workers = self.options.workers or usable_cores()
        sources = model if isinstance(model, Sequence) and not isinstance(model, str) else [model]
        view = cast(ViewPolicy | None, self.options.view)
        self._models = ModelSet(
            load_members(sources, view=view, device=self.options.device),
            exact=self.options.exact,
            max_pixels=self.options.max_pixels,
        )
        self.cache = None if self.options.cache is None else Path(self.options.cache)
        self._settings = self.settings() if self.cache else ()

    @property
    def model(self) -> Model:
        """The model, the first where there are several."""
        return self._models.members[0].model

    @property
    def card(self) -> ModelCard:
        """Its card."""
        return self.model.card

    @property
    def view(self) -> ViewPolicy:
        """Its view policy in use: its own, or the one given instead."""
        return self._models.members[0].view

    @property
    def models(self) -> Mapping[str, Model]:
        """All models by name, in order; a model file is called by its file name."""
        return {member.name: member.model for member in self._models.members}

    @property
    def scales(self) -> Mapping[str, RatingScale]:
        """The rating scales of all models by name."""
        return {name: model.card.scale for name, model in self.models.items()}

    @property
    def decode_px(self) -> int | None:
        """Short side that a photo keeps at least when it is decoded; None for all of it."""
        return self._models.decode_px

    def settings(self, device: str | None = None) -> tuple[str, ...]:
        """What its scores depend on besides the photo, as a text for each model.

        Args:
            device: In place of its own, to know what a scorer on another machine must have.

        Raises:
            ConfigError: A model is not from a file.
        """
        return self._models.settings(device or self.options.device)

    def score(
        self,
        photos: PhotoSource | Iterable[PhotoSource],
        *,
        on_photo: OnPhoto | None = None,
    ) -> Generator[ScoredPhoto, None, None]:
        """Score photos, yielding results in input order while later photos are still read.

        Several threads may do so with one scorer.

        Args:
            photos: A file, a folder (searched recursively) or a glob; bytes or a binary file of
                one encoded picture, one PIL image, or one array as `read_photo` takes it; or an
                iterable of photos of all these kinds, paths then taken as they are, without a
                search.
            on_photo: Called by worker threads with the name and the upright picture of every
                photo that is decoded, which those in the cache are not; it must not change it.

        Yields:
            One result per photo: a score, or the error that prevented it. A broken photo never
            stops the run.
        """
        every = enumerate(_as_series(photos), start=1)
        named = (WorkItem(_name(photo, index), photo) for index, photo in every)
        with ExitStack() as stack:
            cache = stack.enter_context(ResultCache(self.cache)) if self.cache else None
            work = partial(self._score_batch, cache, on_photo)
            results = in_order(work, named, batch_size=self.batch_size, workers=self.workers)
            # Closed first: no worker must find the cache closed.
            stack.callback(results.close)
            yield from results

    def score_shots(
        self, shots: Sequence[Shot], *, on_photo: OnPhoto | None = None
    ) -> Generator[ScoredPhoto, None, None]:
        """Score shots: of each the file that stands for it, or else the first that can be scored.

        Yields:
            One result per shot, as `score` gives it; its path is that of the file scored.
        """
        photos = [shot.photo for shot in shots]
        with closing(self.score(photos, on_photo=on_photo)) as results:
            for shot, result in zip(shots, results, strict=True):
                twins = self.score(shot.twins, on_photo=on_photo) if result.errors else ()
                yield next((twin for twin in twins if not twin.errors), result)

    def score_together(self, photos: Sequence[tuple[str, PhotoSource]]) -> list[ScoredPhoto]:
        """Score a few photos at once in this thread, without the cache.

        For callers that have threads and a queue of their own, such as a server.

        Args:
            photos: What results are to call each photo, and the photo.

        Returns:
            One result per photo, in order, equal to that of `score`.
        """
        named = [WorkItem(name, photo) for name, photo in photos]
        return self._score_batch(None, None, named)

    async def score_async(
        self, photos: PhotoSource | Iterable[PhotoSource]
    ) -> AsyncIterator[ScoredPhoto]:
        """`score` for asyncio: the event loop is free while photos are read and scored.

        An iterable of photos is iterated in other threads. Cancelling waits for the batches that
        have begun.
        """
        results = self.score(photos)
        pending: asyncio.Future[ScoredPhoto | None] | None = None
        try:
            while True:
                pending = asyncio.ensure_future(asyncio.to_thread(next, results, None))
                # A thread cannot be cancelled; the iterator is not to be closed under it.
                result = await asyncio.shield(pending)
                if result is None:
                    return
                yield result
        finally:
            if pending is not None and not pending.done():
                await asyncio.wait([pending])
            await asyncio.to_thread(results.close)

    def _score_batch(
        self,
        cache: ResultCache | None,
        on_photo: OnPhoto | None,
        photos: Sequence[WorkItem],
    ) -> list[ScoredPhoto]:
        if cache is None:
            self._models.rate(photos, on_photo)
        else:
            contents = [self._recall(cache, photo) for photo in photos]
            self._models.rate(photos, on_photo)
            for photo, content in zip(photos, contents, strict=True):
                if content is not None:
                    self._keep(cache, photo, content)
        return [self._models.result(photo) for photo in photos]

    def _recall(self, cache: ResultCache, photo: WorkItem) -> Content | None:
        """Take what the cache knows of a photo; None for photos that are not files."""
        if not isinstance(photo.source, str | os.PathLike):
            return None
        content = cache.content(photo.source)
        if content is not None:
            found = cache.find(content, self._settings)
            known = {i: found[text] for i, text in enumerate(self._settings) if text in found}
            photo.outcomes |= known
            photo.cached = frozenset(known)
        return content

    def _keep(self, cache: ResultCache, photo: WorkItem, content: Content) -> None:
        new = {
            self._settings[place]: outcome
            for place, outcome in photo.outcomes.items()
            if place not in photo.cached and not isinstance(outcome, PhotoError)
        }
        cache.keep(content, new)


def _as_series(photos: PhotoSource | Iterable[PhotoSource]) -> Iterable[PhotoSource]:
    if isinstance(photos, str | os.PathLike):
        return find_photos([os.fspath(photos)]).names
    # An array of shape (H, W) or (H, W, C) is a picture, not a series of its lines.
    one_array = isinstance(photos, np.ndarray) and photos.ndim < 4
    if one_array or isinstance(photos, bytes | Image.Image) or hasattr(photos, "read"):
        return [cast(PhotoSource, photos)]
    return photos


def _name(photo: PhotoSource, index: int) -> str:
    if isinstance(photo, str | os.PathLike):
        return os.fspath(photo)
    name = getattr(photo, "filename", None) or getattr(photo, "name", None)
    return str(name) if isinstance(name, str | Path) and str(name) else f"<photo {index}>"
