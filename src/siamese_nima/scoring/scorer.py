"""The scoring pipeline: photos in, one result per photo out, in order and in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.card import ModelCard
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.model_file import Model, ModelFile, fitting_view
from siamese_nima.scoring.scored_photo import ScoredPhoto, scored

Photo = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
Named = tuple[str, Photo]

DEFAULT_MODEL = "quality"

# Large JPEG files are decoded at a reduced scale with at least this many times the pixels per side
# that the views need. benchmarks/quality/reduced_decode.py measures what 1 and 2 do to scores.
DECODE_MARGIN = 2


class Scorer:
    """Scores photos with one model.

    Attributes:
        model: The loaded model.
        view: The view policy in use: the model's own, or the one given instead.

    Every worker thread takes a few photos from file to score: reading, views and network all run
    outside Python's lock, so the cores stay busy, memory is bounded by the number of workers, and a
    photo's score does not depend on its neighbours.

    >>> scorer = Scorer()
    >>> [result] = scorer.score([np.zeros((300, 400, 3), np.uint8)])
    >>> 1 <= result.mean <= 10
    True
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = DEFAULT_MODEL,
        *,
        view: ViewPolicy | str | None = None,
        batch_size: int = 4,
        workers: int | None = None,
        device: str = "cpu",
        exact: bool = False,
    ) -> None:
        """Load a model.

        Args:
            model: Name of an embedded or downloaded model, the path of a model file, or anything
                that rates views (see `Model`); `device` is for the first two.
            view: View policy in place of the model's own, as a value or as text such as
                "centre:224@256".
            batch_size: Photos that one worker takes at a time; those of equal view size go
                through the network together.
            workers: Threads; by default one per usable core.
            device: "cpu", "cuda", "openvino" or "coreml".
            exact: Decode JPEG files in full. By default large ones are decoded at a reduced
                scale that is still at least twice as large as the views need, which is faster
                and moves scores by about a hundredth.

        Raises:
            WeightsError: The model is missing or damaged.
            ViewError: The view policy is malformed or does not fit the model.
            ConfigError: An option has an impossible value.
        """
        if batch_size < 1:
            raise ConfigError(f"the batch size must be at least 1, got {batch_size}")
        if workers is not None and workers < 1:
            raise ConfigError(f"the number of workers must be at least 1, got {workers}")
        self.batch_size = batch_size
        self.workers = workers or usable_cores()
        self.exact = exact
        policy = ViewPolicy.parse(view) if isinstance(view, str) else view
        if isinstance(model, str | os.PathLike):
            model = ModelFile(find_model(model), device=device)
        self.model = model
        self.view = model.card.view if policy is None else fitting_view(model.card, policy)

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self.model.card

    def score(self, photos: str | os.PathLike[str] | Iterable[Photo]) -> Iterator[ScoredPhoto]:
        """Score photos, yielding results in input order while later photos are still read.

        Args:
            photos: A file, a folder (searched recursively) or a glob; or an iterable of photos:
                paths (taken as they are, without a search), bytes or binary files of an encoded
                picture, PIL images, or arrays as `read_photo` takes them.

        Yields:
            One result per photo: a score, or the error that prevented it. A broken photo never
            stops the run.
        """
        if isinstance(photos, str | os.PathLike):
            photos = find_photos([os.fspath(photos)]).paths
        named = ((_name(photo, index), photo) for index, photo in enumerate(photos, start=1))
        chunks = iter(lambda: list(islice(named, self.batch_size)), [])
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="nima-score")
        waiting: deque[Future[list[ScoredPhoto]]] = deque()
        try:
            for chunk in islice(chunks, 2 * self.workers):
                waiting.append(pool.submit(self._score_chunk, chunk))
            while waiting:
                yield from waiting.popleft().result()
                for chunk in islice(chunks, 1):
                    waiting.append(pool.submit(self._score_chunk, chunk))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _score_chunk(self, chunk: list[Named]) -> list[ScoredPhoto]:
        viewed = [(name, self._view(photo)) for name, photo in chunk]
        results: list[ScoredPhoto] = []
        for shape, group in groupby(viewed, key=lambda item: _shape(item[1])):
            names, views = zip(*group, strict=True)
            if shape is None:
                results += [
                    self._failed(name, error) for name, error in zip(names, views, strict=True)
                ]
            else:
                results += self._rate(names, np.stack(views))
        return results

    def _view(self, photo: Photo) -> NDArray[np.uint8] | PhotoError:
        needed = None if self.exact else self.view.short_side_px
        try:
            picture = read_photo(photo, min_short_side_px=needed and DECODE_MARGIN * needed)
            return self.view.views(picture)
        except PhotoError as error:
            return error

    def _rate(self, names: Sequence[str], views: NDArray[np.uint8]) -> list[ScoredPhoto]:
        model = self.model
        try:
            distributions = model.rate(views)
        except PhotoError as error:
            if len(names) == 1:
                return [self._failed(names[0], PhotoError(f"{names[0]}: {error}"))]
            halves = slice(0, len(names) // 2), slice(len(names) // 2, None)
            return [result for half in halves for result in self._rate(names[half], views[half])]
        return [
            scored(name, row.astype(np.float64), self.card, model.model_id)
            for name, row in zip(names, distributions, strict=True)
        ]

    def _failed(self, name: str, error: object) -> ScoredPhoto:
        return ScoredPhoto(
            path=name, model=self.model.model_id, scale=self.card.scale, error=str(error)
        )


def usable_cores() -> int:
    """Cores this process may run on; in a container that can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _name(photo: Photo, index: int) -> str:
    if isinstance(photo, str | os.PathLike):
        return os.fspath(photo)
    name = getattr(photo, "filename", None) or getattr(photo, "name", None)
    return str(name) if isinstance(name, str | Path) and str(name) else f"<photo {index}>"


def _shape(views: NDArray[np.uint8] | PhotoError) -> tuple[int, ...] | None:
    return None if isinstance(views, PhotoError) else views.shape
