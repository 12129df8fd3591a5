"""Clients that send photos to a server on this machine, as many at a time as asked for."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(slots=True)
class Load:
    """What came back.

    Attributes:
        seconds: From the first byte sent to the last received.
        answers: Status and body by place of the photo.
        latencies_s: Of every request.
    """

    seconds: float = 0.0
    answers: dict[int, tuple[int, Any]] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)


def send_all(address: str, photos: Sequence[bytes], *, clients: int) -> Load:
    """Send every photo once; each client sends its next one when it has its answer."""
    return asyncio.run(_send_all(address, photos, clients))


async def _send_all(address: str, photos: Sequence[bytes], clients: int) -> Load:
    load, waiting = Load(), deque(enumerate(photos))
    started = time.perf_counter()
    await asyncio.gather(*(_client(address, waiting, load) for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def _client(address: str, waiting: deque[tuple[int, bytes]], load: Load) -> None:
    """One connection, kept open. Written by hand, since it shares the cores with the server."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    try:
        while waiting:
            place, photo = waiting.popleft()
            started = time.perf_counter()
            head = (
                f"POST /v1/score?name={place} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                f"Content-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\n\r\n"
            )
            writer.write(head.encode())
            writer.write(photo)
            await writer.drain()
            load.answers[place] = await _answer(reader)
            load.latencies_s.append(time.perf_counter() - started)
    finally:
        writer.close()
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1]), json.loads(body)
