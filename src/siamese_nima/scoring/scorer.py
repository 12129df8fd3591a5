"""The scoring pipeline: photos in, one result per photo out, in order and in bounded memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.card import ModelCard
from siamese_nima.cores import fast_in_bytes, usable_cores, usable_memory
from siamese_nima.errors import ConfigError, PhotoError, WeightsError
from siamese_nima.ordered_pool import in_order
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.loading import FetchedPhoto
from siamese_nima.photos.read import MAX_PIXELS, PhotoSource
from siamese_nima.photos.shots import Shot
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.cache import Content, ResultCache, open_cache
from siamese_nima.scoring.features import FeatureModel, PhotoVector
from siamese_nima.scoring.model import Model, ModelFile
from siamese_nima.scoring.model_set import (
    Member,
    ModelSet,
    ModelSource,
    OnPhoto,
    WorkItem,
    load_members,
)
from siamese_nima.scoring.results import ScoredPhoto

DEFAULT_MODEL = "quality"

# What the process and each of its workers take at most, with a photo of a phone that is decoded at
# a reduced scale; benchmarks/speed/memory.py measures it.
_PROCESS_BYTES = 200 << 20
_WORKER_BYTES = 100 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerOptions:
    """How photos are scored: the same from the command line to a worker of Ray.

    Attributes:
        view: View policy in place of the models' own, as a value or as text such as
            "centre:224@256".
        batch_size: Photos that one worker takes at a time; those of equal view size go through the
            network together. By default 1 where a processor computes, which more do not speed up
            while each takes memory (docs/speed.md), and 4 elsewhere.
        workers: Threads; by default one per core that this process may keep busy, fewer where
            memory is short.
        device: "cpu", "cuda", "openvino" or "coreml".
        exact: Read photos in full. By default large ones are decoded at, or shrunk to, a reduced
            scale that is still at least twice as large as the views need, which is faster and moves
            scores by about a hundredth.
        eight_bits: Whether embedded models compute with integers, where they have such a form:
            about twice as fast on some processors, and scores move by some hundredths
            (docs/speed.md). By default on processors where that was measured to be faster, on
            device "cpu", unless `exact` is asked for.
        cache: File that keeps results from one run to the next, made if missing; photos that are
            given as paths are then not scored again as long as they and the model are the same.
            `cache_path()` is the one of the command line. None keeps nothing.
        max_pixels: Larger photos are refused before they are decoded, as `read_photo` has it.

    Raises:
        ViewError: The view policy is malformed.
        ConfigError: A number is below 1.
    """

    view: ViewPolicy | str | None = None
    batch_size: int | None = None
    workers: int | None = None
    device: str = "cpu"
    exact: bool = False
    eight_bits: bool | None = None
    cache: str | os.PathLike[str] | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
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
    batch_size: int | None
    workers: int | None
    device: str
    exact: bool
    eight_bits: bool | None
    cache: str | os.PathLike[str] | None
    max_pixels: int


class Scorer:
    """Scores photos with one model, or with several that share one decoding of each photo.

    Attributes:
        options: The options in use, whether in 8 bits among them.
        batch_size: Photos that one worker takes at a time.
        workers: Threads.
        cache: The cache file in use, or None.

    Every worker thread takes a few photos from file to score: reading, views and network all run
    outside Python's lock, so the cores stay busy, memory is bounded by the number of workers, and a
    photo's score does not depend on its neighbours.

    >>> scorer = Scorer()
    >>> result = scorer.score_one(np.zeros((300, 400, 3), np.uint8))
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
        chosen = replace(options or ScorerOptions(), **changes)
        # Decided once: a copy of the scorer, on whatever machine, computes as this one does.
        eight_bits = _in_eight_bits(chosen)
        self.options = replace(chosen, eight_bits=eight_bits)
        self._sources = model
        on_processor = self.options.device in ("cpu", "openvino")
        self.batch_size = self.options.batch_size or (1 if on_processor else 4)
        self.workers = self.options.workers or _default_workers()
        view = cast(ViewPolicy | None, self.options.view)
        self._models = ModelSet(
            load_members(
                _as_models(model),
                view=view,
                device=self.options.device,
                eight_bits=eight_bits,
            ),
            exact=self.options.exact,
            max_pixels=self.options.max_pixels,
        )
        self.cache = None if self.options.cache is None else Path(self.options.cache)
        self._settings = self.settings() if self.cache else ()

    def __repr__(self) -> str:
        models = ", ".join(model.model_id for model in self.models.values())
        return f"<Scorer of {models}: views {self.view}, {self.workers} workers>"

    def __getstate__(self) -> tuple[object, ScorerOptions]:
        """The models' names or files, and the options: another process loads them anew."""
        return self._sources, self.options

    def __setstate__(self, state: tuple[Any, ScorerOptions]) -> None:
        self.__init__(*state)  # type: ignore[misc]

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
                one encoded picture, one PIL image, one array as `read_photo` takes it, one uint8
                tensor of shape (C, H, W), or one picture of a Hugging Face data set ("bytes" or
                "path"); or an iterable of photos of all these kinds, folders in it searched too.
            on_photo: Called by worker threads with the name and the upright picture of every
                photo that is decoded, which those in the cache are not; it must not change it.

        Yields:
            One result per photo: a score, or the error that prevented it. A broken photo never
            stops the run.
        """
        every = enumerate(_as_series(photos), start=1)
        named = (WorkItem(_name(photo, index), _as_photo(photo)) for index, photo in every)
        with ExitStack() as stack:
            cache = open_cache(self.cache) if self.cache else None
            if cache is not None:
                stack.enter_context(cache)
            work = partial(self._score_batch, cache, on_photo)
            results = in_order(
                work,
                named,
                batch_size=self.batch_size,
                workers=self.workers,
                at_once=partial(self._all_known, cache),
            )
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

    def score_one(self, photo: PhotoSource) -> ScoredPhoto:
        """Score one photo, of any kind that `score` takes; a folder is none.

        Returns:
            Its result: a score, or the error that prevented it.
        """
        cache = open_cache(self.cache) if self.cache else None
        with cache or nullcontext():
            return self._score_batch(cache, None, [WorkItem(_name(photo, 1), _as_photo(photo))])[0]

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

    def features(
        self, photos: PhotoSource | Iterable[PhotoSource]
    ) -> Generator[PhotoVector, None, None]:
        """What the first model's network sees in photos, in input order, without the cache.

        Args:
            photos: As `score` takes them.

        Yields:
            One vector per photo, or the error that prevented it.

        Raises:
            WeightsError: The model is not from a file, or has no features.
        """
        member = self._models.members[0]
        if self.options.eight_bits:
            # What is learnt from features must hold on any processor.
            [member] = load_members(
                _as_models(self._sources)[:1],
                view=cast(ViewPolicy | None, self.options.view),
                device=self.options.device,
                eight_bits=False,
            )
        if not isinstance(member.model, ModelFile):
            raise WeightsError(f"model {member.name!r} is not from a file, so it has no features")
        model = FeatureModel(member.model, device=self.options.device)
        models = ModelSet(
            [Member(member.name, model, member.view)],
            exact=self.options.exact,
            max_pixels=self.options.max_pixels,
        )

        def work(items: Sequence[WorkItem]) -> Sequence[WorkItem]:
            models.rate(items)
            return items

        every = enumerate(_as_series(photos), start=1)
        named = (WorkItem(_name(photo, index), _as_photo(photo)) for index, photo in every)
        done = in_order(work, named, batch_size=self.batch_size, workers=self.workers)
        with closing(done):
            for item in done:
                found = item.outcomes[0]
                if isinstance(found, PhotoError):
                    yield PhotoVector(item.name, None, model.model_id, str(found))
                else:
                    yield PhotoVector(item.name, found.astype(np.float16), model.model_id)

    async def score_async(
        self, photos: PhotoSource | Iterable[PhotoSource]
    ) -> AsyncIterator[ScoredPhoto]:
        """`score` for asyncio: the event loop is free while photos are read and scored.

        An iterable of photos is iterated in other threads. Cancelling waits for the batches that
        have begun.
        """
        import asyncio

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
            for photo in photos:
                if photo.content is None:
                    self._recall(cache, photo)
            self._models.rate(photos, on_photo)
            for photo in photos:
                if photo.content is not None:
                    self._keep(cache, photo, photo.content)
        return [self._models.result(photo) for photo in photos]

    def _all_known(self, cache: ResultCache | None, photos: Sequence[WorkItem]) -> bool:
        """Whether the cache has all there is to know of these photos, which then is taken."""
        if cache is None:
            return False
        for photo in photos:
            if isinstance(photo.source, str | os.PathLike):
                photo.content, found = cache.known(photo.source, self._settings)
                self._take(photo, found)
        every = len(self._settings)
        return all(len(photo.cached) == every for photo in photos)

    def _recall(self, cache: ResultCache, photo: WorkItem) -> None:
        """Take what the cache knows of a photo, which must be read to be known."""
        source: object = photo.source
        if isinstance(source, FetchedPhoto):
            try:
                contents = source.read()
            except (PhotoError, OSError):
                return  # reading it again says why
            photo.source = contents
            photo.content = cache.content_of(contents)
        elif isinstance(source, str | os.PathLike):
            photo.content = cache.content(source)
        if photo.content is not None:
            self._take(photo, cache.find(photo.content, self._settings))

    def _take(self, photo: WorkItem, found: Mapping[str, NDArray[np.float32]]) -> None:
        known = {i: found[text] for i, text in enumerate(self._settings) if text in found}
        photo.outcomes |= known
        photo.cached = frozenset(known)

    def _keep(self, cache: ResultCache, photo: WorkItem, content: Content) -> None:
        if content.known and len(photo.cached) == len(self._settings):
            return
        new = {
            self._settings[place]: outcome
            for place, outcome in photo.outcomes.items()
            if place not in photo.cached and not isinstance(outcome, PhotoError)
        }
        cache.keep(content, new)


def _in_eight_bits(options: ScorerOptions) -> bool:
    if options.eight_bits is not None:
        return options.eight_bits
    return options.device == "cpu" and not options.exact and fast_in_bytes()


def _default_workers() -> int:
    memory = usable_memory()
    cores = usable_cores()
    if memory is None:
        return cores
    return max(1, min(cores, (memory - _PROCESS_BYTES) // _WORKER_BYTES))


def _as_series(photos: Any) -> Iterable[Any]:
    if isinstance(photos, str | os.PathLike):
        yield from find_photos([os.fspath(photos)]).names
    elif _is_one(photos):
        yield photos
    else:
        for photo in photos:
            if isinstance(photo, str | os.PathLike) and os.path.isdir(photo):  # noqa: PTH112
                # An empty folder is named as such, never left out in silence.
                yield from find_photos([os.fspath(photo)]).names or [photo]
            else:
                yield photo


def _is_one(photos: Any) -> bool:
    """Whether it is one photo, or nothing at all, rather than a series of photos."""
    # An array of shape (H, W) or (H, W, C) is a picture, not a series of its lines; so is a tensor.
    if hasattr(photos, "__array__") and hasattr(photos, "ndim"):
        return int(photos.ndim) < 4
    one = isinstance(photos, bytes | bytearray | memoryview | Image.Image | Mapping)
    return one or hasattr(photos, "read") or not isinstance(photos, Iterable)


def _as_photo(photo: Any) -> PhotoSource:
    """As `read_photo` takes it: also tensors, and the rows of Hugging Face's image data sets."""
    if isinstance(photo, bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, Mapping) and (photo.get("bytes") or photo.get("path")):
        return cast(PhotoSource, photo.get("bytes") or photo["path"])
    if hasattr(photo, "__array__") and not isinstance(photo, np.ndarray | Image.Image):
        try:
            # Of a network's output, or on another device, a tensor is no array yet.
            photo = photo.detach().cpu() if hasattr(photo, "detach") else photo
            array = np.asarray(photo)
        except (TypeError, ValueError, RuntimeError):
            return cast(PhotoSource, photo)  # of a kind that arrays have not; reading it says so
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            array = np.moveaxis(array, 0, -1)
        grey = array.ndim == 3 and array.shape[-1] == 1
        return cast(PhotoSource, array[..., 0] if grey else array)
    return cast(PhotoSource, photo)


def _name(photo: Any, index: int) -> str:
    if isinstance(photo, str | os.PathLike):
        return os.fspath(photo)
    if isinstance(photo, Mapping):
        return str(photo.get("path") or f"<photo {index}>")
    name = getattr(photo, "filename", None) or getattr(photo, "name", None)
    return str(name) if isinstance(name, str | Path) and str(name) else f"<photo {index}>"


def _as_models(model: Any) -> Sequence[ModelSource]:
    """The models given; what is neither a model nor a list of them is an error of ours."""
    sources = model if isinstance(model, list | tuple) else [model]
    for source in sources:
        if not (isinstance(source, str | os.PathLike) or hasattr(source, "rate")):
            raise ConfigError(
                f"a {type(source).__name__} is not a model; wanted the name of a model, the path "
                "of a model file, an object that rates views, or a list of these"
            )
    return sources
