"""Too much at a time, too slow, too late: told apart, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.http import CONTENT_TYPE, TYPE_PREFIX, RequestError
from siamese_nima.web.service.app import api
from siamese_nima.web.service.queue import Service
from siamese_nima.web.service.uploads import Budget, Limits

HEADERS = [(b"content-type", b"image/jpeg"), (b"host", b"localhost")]


class Request:
    """One request of an ASGI application, its body in the hands of the test."""

    def __init__(self, app, path: str, headers=HEADERS) -> None:
        self.body: asyncio.Queue = asyncio.Queue()
        self.sent: list = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": headers,
            "state": {},
        }

        async def send(message) -> None:
            self.sent.append(message)

        self.task = asyncio.create_task(app(scope, self.body.get, send))

    def give(self, chunk: bytes, *, more: bool = False) -> None:
        self.body.put_nowait({"type": "http.request", "body": chunk, "more_body": more})

    async def answer(self) -> tuple[int, dict[str, str]]:
        await asyncio.wait_for(self.task, 20)
        start = self.sent[0]
        return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("does not come true")


@pytest.fixture
def held(tiny_model, monkeypatch):
    """A scorer whose worker waits until it is let go."""
    scorer, go, begun = Scorer(tiny_model, workers=1, batch_size=1), threading.Event(), []
    score = scorer.score_together

    def wait_and_score(photos):
        begun.append(photos)
        assert go.wait(30)
        return score(photos)

    monkeypatch.setattr(scorer, "score_together", wait_and_score)
    yield scorer, go, begun
    go.set()


def test_a_full_queue_is_429_with_a_time_to_come_again_and_clears(held, photos):
    scorer, go, begun = held

    async def work() -> None:
        service = Service(scorer, Limits(request_photos=1, waiting_photos=1))
        app = api(service)
        first = Request(app, "/v1/score")
        first.give(photos["dark.png"])
        await until(lambda: len(begun) == 1)
        second = Request(app, "/v1/score")
        second.give(photos["dark.png"])
        await until(lambda: service._queue.waiting == 1)
        refused = Request(app, "/v1/score")
        refused.give(photos["dark.png"])
        status, headers = await refused.answer()
        assert (status, headers["content-type"]) == (429, CONTENT_TYPE)
        assert int(headers["retry-after"]) >= 1
        assert TYPE_PREFIX + "busy" in refused.text
        go.set()
        assert [(await request.answer())[0] for request in (first, second)] == [200, 200]
        again = Request(app, "/v1/score")
        again.give(photos["dark.png"])
        assert (await again.answer())[0] == 200
        await service.close()

    asyncio.run(work())


def test_bytes_in_memory_are_bounded_over_all_requests(held, photos):
    scorer, go, _ = held

    async def work() -> None:
        limits = Limits(photo_bytes=10_000, request_bytes=10_000, waiting_bytes=10_000)
        service = Service(scorer, limits)
        app = api(service)
        announced = [*HEADERS, (b"content-length", b"9000")]
        first = Request(app, "/v1/score", announced)
        await until(lambda: service._budget.used == 9000)
        refused = Request(app, "/v1/score", announced)
        assert (await refused.answer())[0] == 429
        # Unannounced bytes are counted as they come.
        growing = Request(app, "/v1/score")
        growing.give(bytes(500), more=True)
        await until(lambda: service._budget.used == 9500)
        growing.give(bytes(600), more=True)
        assert (await growing.answer())[0] == 429
        first.give(photos["dark.png"])
        go.set()
        assert (await first.answer())[0] == 200
        assert service._budget.used == 0
        await service.close()

    asyncio.run(work())


def test_a_body_that_does_not_come_is_408(tiny_model):
    async def work() -> None:
        service = Service(Scorer(tiny_model), Limits(request_s=0.3))
        slow = Request(api(service), "/v1/score")
        slow.give(b"\xff\xd8", more=True)
        assert (await slow.answer())[0] == 408
        assert "did not come within 0.3 s" in slow.text
        assert service._budget.used == 0
        await service.close()

    asyncio.run(work())


def test_an_answer_that_comes_too_late_is_503(held, photos):
    scorer, go, begun = held

    async def work() -> None:
        service = Service(scorer, Limits(request_s=0.3))
        late = Request(api(service), "/v1/score")
        late.give(photos["dark.png"])
        await until(lambda: len(begun) == 1)
        status, headers = await late.answer()
        assert (status, headers["retry-after"]) == (503, "1")
        assert TYPE_PREFIX + "out-of-time" in late.text
        go.set()
        await service.close()

    asyncio.run(work())


def test_a_client_that_leaves_is_forgotten(tiny_model):
    async def work() -> None:
        service = Service(Scorer(tiny_model))
        gone = Request(api(service), "/v1/score")
        gone.give(b"\xff\xd8", more=True)
        gone.body.put_nowait({"type": "http.disconnect"})
        await gone.answer()
        assert service._budget.used == 0
        await service.close()

    asyncio.run(work())


def test_memory_is_held_until_the_photos_are_out_of_it(held, photos):
    """A request that gave up may have photos in the queue, and one that a worker has begun."""
    scorer, go, begun = held
    photo = photos["dark.png"]

    async def work() -> None:
        service = Service(scorer, Limits(request_s=0.3))
        app = api(service)
        late = [Request(app, "/v1/score")]
        late[0].give(photo)
        await until(lambda: len(begun) == 1)
        late += [Request(app, "/v1/score") for _ in range(3)]
        for request in late[1:]:
            request.give(photo)
        assert [(await request.answer())[0] for request in late] == [503] * 4
        assert service._queue.waiting == 0
        assert service._budget.used == len(photo)
        go.set()
        await until(lambda: service._budget.used == 0)
        assert len(begun) == 1
        await service.close()

    asyncio.run(work())


def test_what_a_worker_has_scored_is_out_of_memory(tiny_model, photos):
    """Also while it waits for more."""

    gone: list[bool] = []

    class Content(bytes):
        def __del__(self) -> None:
            gone.append(True)

    async def work() -> None:
        service = Service(Scorer(tiny_model, workers=1))
        [future] = service._queue.submit([("a", Content(photos["dark.png"]))])
        await asyncio.wrap_future(future)
        await until(lambda: bool(gone))
        await service.close()

    asyncio.run(work())


def test_photos_of_a_client_that_hung_up_are_not_scored(held, photos):
    scorer, go, begun = held

    async def work() -> None:
        service = Service(scorer)
        app = api(service)
        first, gone = Request(app, "/v1/score"), Request(app, "/v1/score")
        first.give(photos["dark.png"])
        await until(lambda: len(begun) == 1)
        gone.give(photos["dark.png"])
        await until(lambda: service._queue.waiting == 1)
        gone.body.put_nowait({"type": "http.disconnect"})
        await until(lambda: service._queue.waiting == 0)
        await asyncio.wait_for(gone.task, 20)
        go.set()
        assert (await first.answer())[0] == 200
        assert len(begun) == 1
        assert service._budget.used == 0
        await service.close()

    asyncio.run(work())


def test_a_service_that_stops_says_so(tiny_model, photos):
    async def work() -> None:
        service = Service(Scorer(tiny_model))
        app = api(service)
        await service.close()
        late = Request(app, "/v1/score")
        late.give(photos["dark.png"])
        assert (await late.answer())[0] == 503
        assert TYPE_PREFIX + "stopping" in late.text

    asyncio.run(work())


def test_a_budget_gives_back_what_was_held_even_after_an_error():
    budget = Budget(100)
    with budget.held() as held:
        held.reach(60)
        held.reach(40)
        assert budget.used == 60
        with pytest.raises(RequestError, match="60 bytes are being answered, and 100 may be"):
            held.reach(101)
        assert budget.used == 60
    assert budget.used == 0


@pytest.mark.parametrize("length", [b"nonsense", b"-1", b"9" * 5000, b"\xb2"])
def test_a_length_that_is_none_is_malformed(tiny_model, length):
    async def work() -> None:
        service = Service(Scorer(tiny_model))
        odd = Request(api(service), "/v1/score", [*HEADERS, (b"content-length", length)])
        assert (await odd.answer())[0] == 400
        assert "is no size" in odd.text
        await service.close()

    asyncio.run(work())
