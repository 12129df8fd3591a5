"""One queue for the photos of all requests, and threads that take what waits together.

Nothing waits for a batch to fill: a worker that is free takes its share of what is there, so that
an idle server answers at once and a busy one fills its batches. Every worker decodes and rates, as
in a run over a folder: while one waits for the network, another decodes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.problems import RequestError

_log = logging.getLogger(__name__)

# What a batch says about the pace, against all batches before it.
_NEWS = 0.1


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """How long a batch took.

    Attributes:
        waited_s: Seconds that each photo waited for a worker.
        took_s: Seconds of work on all of them.
    """

    waited_s: Sequence[float]
    took_s: float


@dataclass(slots=True)
class _Waiting:
    name: str
    content: bytes
    future: Future[ScoredPhoto] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Scores photos that many threads or tasks hand in.

    Args:
        scorer: With its number of workers and its batch size.
        capacity: Photos that may wait; photos that a worker has taken no longer do.
        on_batch: Called by the workers after every batch.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        capacity: int,
        on_batch: Callable[[BatchTimes], None] | None = None,
    ) -> None:
        self._scorer = scorer
        self._capacity = capacity
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._pace_s = 0.05  # per photo of all workers; a guess until the first batch
        self._threads = [
            threading.Thread(target=self._work, name=f"nima-serve-{number}", daemon=True)
            for number in range(scorer.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Photos that no worker has taken yet."""
        return len(self._waiting)

    @property
    def retry_after_s(self) -> int:
        """Seconds after which what waits now will be done, 1 or more."""
        return max(1, math.ceil(len(self._waiting) * self._pace_s))

    def submit(self, photos: Sequence[tuple[str, bytes]]) -> list[Future[ScoredPhoto]]:
        """Take all of these photos or none.

        Args:
            photos: What results are to call each photo, and the contents of its file.

        Returns:
            One result per photo, in order; one that is cancelled before a worker has taken it is
            not scored.

        Raises:
            RequestError: They do not fit into the queue ("busy"), or the batcher closes
                ("stopping").
        """
        new = [_Waiting(name, content) for name, content in photos]
        with self._changed:
            if self._closing:
                raise RequestError("stopping", "The server is stopping; ask another one.")
            self.check_room(len(new))
            self._waiting.extend(new)
            self._changed.notify(len(new))
        return [photo.future for photo in new]

    def check_room(self, count: int) -> None:
        """Raise `RequestError` ("busy") unless that many photos fit into the queue."""
        if self.waiting + count > self._capacity:
            raise RequestError(
                "busy",
                f"{self.waiting} photos wait already, and at most {self._capacity} may. "
                f"Try again in {self.retry_after_s} s.",
                retry_after_s=self.retry_after_s,
            )

    def close(self) -> None:
        """Finish what was taken, then end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            started = time.perf_counter()
            for photo, outcome in zip(batch, self._outcomes(batch), strict=True):
                if isinstance(outcome, Exception):
                    photo.future.set_exception(outcome)
                else:
                    photo.future.set_result(outcome)
            self._note([started - photo.since for photo in batch], time.perf_counter() - started)

    def _next_batch(self) -> list[_Waiting]:
        """A worker's share of what waits, at least one photo; none when there will be no more."""
        batch: list[_Waiting] = []
        while not batch:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return []
                share = math.ceil(len(self._waiting) / len(self._threads))
                taken = [
                    self._waiting.popleft() for _ in range(min(share, self._scorer.batch_size))
                ]
            batch = [photo for photo in taken if photo.future.set_running_or_notify_cancel()]
        return batch

    def _outcomes(self, batch: Sequence[_Waiting]) -> list[ScoredPhoto | Exception]:
        """One outcome per photo; what fails unforeseen does not take the others with it."""
        try:
            return [*self._scorer.score_together([(photo.name, photo.content) for photo in batch])]
        except Exception as error:
            if len(batch) == 1:
                _log.exception("a photo could not be scored")
                return [error]
            return [outcome for photo in batch for outcome in self._outcomes([photo])]

    def _note(self, waited_s: Sequence[float], took_s: float) -> None:
        pace_s = took_s / len(waited_s) / len(self._threads)
        self._pace_s += _NEWS * (pace_s - self._pace_s)
        if self._on_batch:
            self._on_batch(BatchTimes(waited_s, took_s))
