"""Who sends a body is heard out, within limits, before being refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.web.service.uploads import LingeringClose


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"too large"})


async def _read_all(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await _refuse(scope, receive, send)


def chunks_read(app: Any, chunks: list[bytes], *, headers: Any = (), hangs: bool = False) -> int:
    """How many chunks were taken from a client before it had its answer."""
    left, sent = list(chunks), []

    async def receive() -> Any:
        if not left and hangs:
            await asyncio.sleep(60)
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left) or hangs}

    async def send(message: Any) -> None:
        sent.append((message["type"], len(chunks) - len(left)))

    drained = LingeringClose(app, most_bytes=1000, most_s=0.2)
    asyncio.run(drained({"type": "http", "headers": headers}, receive, send))
    assert [kind for kind, _ in sent] == ["http.response.start", "http.response.body"]
    return sent[0][1]


def test_the_rest_of_a_body_is_read_before_the_answer():
    assert chunks_read(_refuse, [b"x" * 100] * 5) == 5


def test_a_body_without_end_is_cut_off():
    assert chunks_read(_refuse, [b"x" * 100] * 50) == 11


def test_a_client_that_stops_sending_is_not_waited_for():
    assert chunks_read(_refuse, [b"x"], hangs=True) == 1


def test_a_body_that_was_read_is_not_waited_for_again():
    assert chunks_read(_read_all, [b"x"] * 3) == 3


def test_who_asks_first_is_told_at_once_and_need_not_send():
    headers = [(b"expect", b"100-continue")]
    assert chunks_read(_refuse, [b"x"] * 3, headers=headers) == 0
