"""What all requests share: the queue, the limits, and the way from a request to results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request

from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.problems import RequestError
from siamese_nima.web.service.batching import Batcher
from siamese_nima.web.service.limits import Limits
from siamese_nima.web.service.metrics import Metrics
from siamese_nima.web.service.remote import UrlRules, fetch_photo
from siamese_nima.web.service.uploads import (
    Budget,
    Held,
    Upload,
    media_type,
    read_json,
    read_uploads,
)

_FETCHES = 4  # URLs that are fetched at a time


class Service:
    """Scores what requests bring.

    Attributes:
        scorer: The models. Its limit on pixels is the one that holds.
        limits: What is refused.
        metrics: What is counted.

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
        self._batcher = Batcher(
            scorer, capacity=self.limits.waiting_photos, on_batch=self.metrics.note_batch
        )
        self.metrics.watch(scorer.models, lambda: self._batcher.waiting)
        self.stopping = False

    async def close(self) -> None:
        """Finish what was accepted, then end."""
        self.stopping = True
        await asyncio.to_thread(self._batcher.close)

    async def results(self, request: Request, *, least: int, most: int) -> list[ScoredPhoto]:
        """Read the photos of a request and score them.

        Args:
            request: Its body is not read yet.
            least: Photos that it must have.
            most: Photos that it may have; the limits may be lower.

        Returns:
            One result per photo, in order.

        Raises:
            RequestError: It is refused; nothing of it is scored then.
        """
        deadline = asyncio.get_running_loop().time() + self.limits.request_s
        with self._budget.held() as held:
            self._batcher.check_room(least)
            try:
                async with asyncio.timeout_at(deadline):
                    uploads = await self._uploads(request, held, most)
            except TimeoutError:
                raise RequestError(
                    "request-timeout", f"The body did not come within {self.limits.request_s:g} s."
                ) from None
            if not least <= len(uploads) <= most:
                wanted = str(least) if least == most else f"{least} or more"
                raise RequestError(
                    "malformed-request", f"{len(uploads)} photos came; wanted {wanted}."
                )
            results = await self._scored(uploads, deadline)
        for result in results:
            self.metrics.note_photo(result)
        request.state.photos = len(results)
        return results

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
            upload = await asyncio.to_thread(fetch_photo, url, rules)
        received = held.bytes + len(upload.content)
        if received > self.limits.request_bytes:
            raise RequestError(
                "too-large",
                f"the photos together have more than {self.limits.request_bytes} bytes, the most "
                "that this server takes in a request",
            )
        held.reach(received)
        return upload

    async def _scored(self, uploads: Sequence[Upload], deadline: float) -> list[ScoredPhoto]:
        photos = [(upload.name, upload.content) for upload in uploads]
        futures = [asyncio.wrap_future(future) for future in self._batcher.submit(photos)]
        try:
            async with asyncio.timeout_at(deadline):
                return list(await asyncio.gather(*futures))
        except TimeoutError:
            raise RequestError(
                "out-of-time",
                f"No answer within {self.limits.request_s:g} s; "
                f"try again in {self._batcher.retry_after_s} s.",
                retry_after_s=self._batcher.retry_after_s,
            ) from None


def _urls_in(body: object) -> list[str]:
    urls = body.get("urls") if isinstance(body, dict) and set(body) == {"urls"} else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise RequestError("malformed-request", 'wanted {"urls": ["https://..."]}')
    return urls
