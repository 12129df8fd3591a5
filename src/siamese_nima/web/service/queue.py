"""One queue for the photos of all requests, threads that score them, and the way of a request.

Nothing waits for a batch to fill: a worker that is free takes its share of what is there, so that
an idle server answers at once and a busy one fills its batches. Every worker decodes and rates, as
in a run over a folder: while one waits for the network, another decodes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request

from siamese_nima.photos.remote import UrlRules, fetch_photo
from siamese_nima.scoring.detail import try_detail
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.http import RequestError
from siamese_nima.web.service.observability import Metrics
from siamese_nima.web.service.uploads import (
    Budget,
    Held,
    Limits,
    Upload,
    media_type,
    read_json,
    read_uploads,
    shown_name,
)

_log = logging.getLogger(__name__)

# What a batch says about the pace, against all batches before it.
_NEWS = 0.1
_FETCHES = 4  # URLs that are fetched at a time


@dataclass(slots=True)
class _Waiting:
    name: str
    content: bytes
    detail: bool = False
    future: Future[ScoredPhoto] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


class PhotoQueue:
    """Scores photos that many threads or tasks hand in.

    Args:
        scorer: With its number of workers and its batch size.
        capacity: Photos that may wait; photos that a worker has taken no longer do.
        on_batch: Called by the workers after every batch, with the seconds that each photo waited
            for a worker, and those of work on all of them.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        capacity: int,
        on_batch: Callable[[Sequence[float], float], None] | None = None,
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

    def submit(
        self, photos: Sequence[tuple[str, bytes]], *, detail: bool = False
    ) -> list[Future[ScoredPhoto]]:
        """Take all of these photos or none.

        Args:
            photos: What results are to call each photo, and the contents of its file.
            detail: Look at them at 100 % too: `about` of a result then has a `Detail`, or None,
                under "detail".

        Returns:
            One result per photo, in order; one that is cancelled before a worker has taken it is
            not scored.

        Raises:
            RequestError: They do not fit into the queue ("busy"), or the queue closes
                ("stopping").
        """
        new = [_Waiting(name, content, detail) for name, content in photos]
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

    def withdraw(self, futures: Iterable[Future[ScoredPhoto]]) -> None:
        """Cancel results that nobody waits for; photos no worker has taken are let go at once."""
        futures = list(futures)
        for future in futures:
            future.cancel()
        with self._changed:
            self._waiting = deque(one for one in self._waiting if not one.future.cancelled())

    def _work(self) -> None:
        # What a worker has scored it must not keep while it waits: hence a function of its own.
        while self._score(self._next_batch()):
            pass

    def _score(self, batch: Sequence[_Waiting]) -> bool:
        """Whether there may be more to score."""
        started = time.perf_counter()
        for photo, outcome in zip(batch, self._outcomes(batch) if batch else (), strict=True):
            photo.content = b""  # out of memory before anybody is told
            if isinstance(outcome, Exception):
                photo.future.set_exception(outcome)
            else:
                photo.future.set_result(outcome)
        if batch:
            self._note([started - photo.since for photo in batch], time.perf_counter() - started)
        return bool(batch)

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
            named = [(photo.name, photo.content) for photo in batch]
            results = self._scorer.score_together(named)
            return [self._seen(*pair) for pair in zip(batch, results, strict=True)]
        except Exception as error:
            if len(batch) == 1:
                _log.exception("a photo could not be scored")
                return [error]
            return [outcome for photo in batch for outcome in self._outcomes([photo])]

    def _seen(self, photo: _Waiting, result: ScoredPhoto) -> ScoredPhoto:
        """The result, with what is seen at 100 % where that is wanted."""
        if not photo.detail or result.score is None:
            return result
        return replace(result, about={"detail": try_detail(photo.content, faces=True)})

    def _note(self, waited_s: Sequence[float], took_s: float) -> None:
        pace_s = took_s / len(waited_s) / len(self._threads)
        self._pace_s += _NEWS * (pace_s - self._pace_s)
        if self._on_batch:
            self._on_batch(waited_s, took_s)


class Service:
    """Scores what requests bring.

    Attributes:
        scorer: The models. Its limit on pixels is the one that holds.
        limits: What is refused.
        metrics: What is counted.
        stopping: Whether no more photos are taken.

    Args:
        scorer: See above.
        limits: See above.
        urls: Which URLs are fetched; None for none.
    """

    def __init__(
        self, scorer: Scorer, limits: Limits | None = None, *, urls: UrlRules | None = None
    ) -> None:
        self.scorer = scorer
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self._urls = urls
        self._budget = Budget(self.limits.waiting_bytes)
        self._fetching = asyncio.Semaphore(_FETCHES)
        self._queue = PhotoQueue(
            scorer, capacity=self.limits.waiting_photos, on_batch=self.metrics.note_batch
        )
        self.metrics.watch(scorer.models, lambda: self._queue.waiting)
        self.stopping = False
        self._under_way = 0

    @property
    def busy(self) -> bool:
        """Whether requests are being read or answered."""
        return self._under_way > 0

    async def close(self) -> None:
        """Finish what was accepted, then end."""
        self.stopping = True
        await asyncio.to_thread(self._queue.close)

    async def results(
        self, request: Request, *, least: int, most: int, detail: bool = False
    ) -> list[ScoredPhoto]:
        """Read the photos of a request and score them.

        Args:
            request: Its body is not read yet.
            least: Photos that it must have.
            most: Photos that it may have; the limits may be lower.
            detail: As `PhotoQueue.submit` has it.

        Returns:
            One result per photo, in order.

        Raises:
            RequestError: It is refused; nothing of it is scored then.
        """
        if self.stopping:
            raise RequestError("stopping", "The server is stopping; ask another one.")
        deadline = asyncio.get_running_loop().time() + self.limits.request_s
        self._under_way += 1
        try:
            with self._budget.held() as held:
                uploads = await self._received(request, held, deadline, least=least, most=most)
                results = await self._scored(request, uploads, held, deadline, detail=detail)
        finally:
            self._under_way -= 1
        for result in results:
            self.metrics.note_photo(result)
        request.state.photos = len(results)
        return results

    async def _received(
        self, request: Request, held: Held, deadline: float, *, least: int, most: int
    ) -> list[Upload]:
        self._queue.check_room(least)
        try:
            async with asyncio.timeout_at(deadline):
                uploads = await self._uploads(request, held, most)
        except TimeoutError:
            raise RequestError(
                "request-timeout", f"The body did not come within {self.limits.request_s:g} s."
            ) from None
        if not least <= len(uploads) <= most:
            wanted = str(least) if least == most else f"{least} or more"
            raise RequestError("malformed-request", f"{len(uploads)} photos came; wanted {wanted}.")
        return uploads

    async def _uploads(self, request: Request, held: Held, most: int) -> list[Upload]:
        if media_type(request) != "application/json":
            return await read_uploads(request, self.limits, held, most=most)
        urls = _urls_in(await read_json(request, self.limits, held))
        if self._urls is None:
            raise RequestError("url-refused", "This server fetches no URLs; send the photo itself.")
        if len(urls) > min(most, self.limits.request_photos):
            raise RequestError("too-large", f"{len(urls)} URLs are more than this address takes")
        return [await self._fetched(url, self._urls, held) for url in urls]

    async def _fetched(self, url: str, rules: UrlRules, held: Held) -> Upload:
        async with self._fetching:
            content = await asyncio.to_thread(fetch_photo, url, rules)
        upload = Upload(shown_name(urlsplit(url).path), content)
        received = held.bytes + len(upload.content)
        if received > self.limits.request_bytes:
            raise RequestError(
                "too-large",
                f"the photos together have more than {self.limits.request_bytes} bytes, the most "
                "that this server takes in a request",
            )
        held.reach(received)
        return upload

    async def _scored(
        self,
        request: Request,
        uploads: Sequence[Upload],
        held: Held,
        deadline: float,
        *,
        detail: bool,
    ) -> list[ScoredPhoto]:
        photos = [(upload.name, upload.content) for upload in uploads]
        queued = self._queue.submit(photos, detail=detail)
        answer = asyncio.gather(*map(asyncio.wrap_future, queued))
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ClientDisconnect
            return list(await answer)
        except TimeoutError:
            raise RequestError(
                "out-of-time",
                f"No answer within {self.limits.request_s:g} s; "
                f"try again in {self._queue.retry_after_s} s.",
                retry_after_s=self._queue.retry_after_s,
            ) from None
        finally:
            gone.cancel()
            answer.cancel()
            self._queue.withdraw(queued)
            for upload, future in zip(uploads, queued, strict=True):
                if not future.done():  # a worker has begun with it
                    held.leave(len(upload.content), future)


async def _hung_up(request: Request) -> None:
    """Return when the client of a request whose body has ended is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _urls_in(body: object) -> list[str]:
    urls = body.get("urls") if isinstance(body, dict) and set(body) == {"urls"} else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise RequestError("malformed-request", 'wanted {"urls": ["https://..."]}')
    return urls
