"""What every server here is made of: ASGI's types, problems as answers, and a port of this machine.

Reference:
    Nottingham, Wilde and Dalal, "Problem Details for HTTP APIs", RFC 9457, 2023.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import math
import os
import signal
import socket
import time
import types
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol, TypeAlias, cast

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from siamese_nima.errors import (
    AnswerError,
    ConfigError,
    FetchError,
    MissingExtraError,
    NimaError,
    PhotoError,
    RatingError,
    ViewError,
    WeightsError,
)
from siamese_nima.printable import printable

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:siamese-nima:problem:"
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ENDING_S = 3
HEADERS_S = 20.0  # for the headers of a request, from the first byte or the connection on
# Connections at a time; systems let a process have some thousand files.
MOST_CONNECTIONS = 500

# Status and title of every kind; docs/serve.md says what to do about each.
KINDS = {
    "malformed-request": (400, "The request is malformed"),
    "key-wanted": (401, "An API key is wanted"),
    "origin-refused": (403, "Request of another website"),
    "writes-refused": (403, "Nothing is written from here"),
    "url-refused": (403, "This URL is not fetched"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "Another method is wanted"),
    "request-timeout": (408, "The request did not arrive in time"),
    "answer-refused": (409, "This answer is not taken"),
    "photo-gone": (410, "The photo can no longer be shown"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The body is of a kind that is not read"),
    "host-refused": (421, "This server is not called that"),
    "photo-error": (422, "A photo cannot be read or scored"),
    "config-error": (422, "An option has an impossible value"),
    "busy": (429, "Too much is waiting"),
    "internal-error": (500, "The server failed"),
    "url-failed": (502, "The URL could not be fetched"),
    "stopping": (503, "The server is stopping"),
    "out-of-time": (503, "The answer took too long"),
}
_KINDS_OF_STATUS = {404: "not-found", 405: "method-not-allowed"}
# Errors of the library that can reach a client, most special first.
_LIBRARY_ERRORS: tuple[tuple[type[NimaError], str], ...] = (
    (AnswerError, "answer-refused"),
    (PhotoError, "photo-error"),
    (ConfigError, "config-error"),
    (ViewError, "config-error"),
    (RatingError, "config-error"),
    (WeightsError, "internal-error"),
    (MissingExtraError, "internal-error"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a request, or one photo of it, has no result.

    Attributes:
        kind: One of `KINDS`.
        detail: A sentence for people: what was found, what was wanted, what to do.
        retry_after_s: When to come again, for problems that pass.
    """

    kind: str
    detail: str
    retry_after_s: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind][0]

    def to_json(self) -> dict[str, Any]:
        """The members of RFC 9457 that say something here."""
        status, title = KINDS[self.kind]
        return {
            "type": TYPE_PREFIX + self.kind,
            "title": title,
            "status": status,
            "detail": self.detail,
        }

    def body(self) -> bytes:
        """What is sent."""
        return json.dumps(self.to_json()).encode()

    def headers(self) -> dict[str, str]:
        """What is sent with it."""
        own = {"content-type": CONTENT_TYPE}
        if self.retry_after_s is not None:
            own["retry-after"] = str(self.retry_after_s)
        if self.kind == "key-wanted":
            # Alone: browsers do not ask for it where other ways stand beside it.
            own["www-authenticate"] = 'Basic realm="nima", charset="UTF-8"'
        return own


class RequestError(NimaError):
    """A request cannot be answered as it was asked.

    Attributes:
        problem: What the client is told.
    """

    def __init__(self, kind: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(kind=kind, detail=detail, retry_after_s=retry_after_s)


def problem_of(error: NimaError) -> Problem:
    """The problem that an error of this package is to a client."""
    if isinstance(error, RequestError):
        return error.problem
    if isinstance(error, FetchError):
        return Problem(kind=error.kind, detail=str(error))
    for kind_of_error, kind in _LIBRARY_ERRORS:
        if isinstance(error, kind_of_error):
            return Problem(kind=kind, detail=str(error))
    return Problem(kind="internal-error", detail=str(error))


def answer_problems(app: FastAPI) -> None:
    """Make every error of an application that a client can cause or meet a problem."""
    for kind, handler in (
        (NimaError, _library_error),
        (HTTPException, _http_error),
        (RequestValidationError, _invalid),
        (ClientDisconnect, _gone),
    ):
        app.add_exception_handler(kind, cast("Callable[[Request, Exception], Any]", handler))


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return Response(problem.body(), problem.status, {**problem.headers(), **(headers or {})})


async def _library_error(_: Request, error: NimaError) -> Response:
    problem = problem_of(error)
    if problem.kind == "internal-error":
        _log.error("request failed", exc_info=error)
    return _answer(problem)


async def _http_error(request: Request, error: HTTPException) -> Response:
    kind = _KINDS_OF_STATUS.get(error.status_code, "malformed-request")
    if kind == "not-found":
        said = "there is nothing here; GET /openapi.json lists the addresses"
    else:
        said = error.detail
    detail = f"{request.method} {printable(request.url.path)[:200]}: {said}"
    return _answer(Problem(kind=kind, detail=detail), dict(error.headers or {}))


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return _answer(Problem(kind="malformed-request", detail=printable(said)[:1000]))


async def _gone(_: Request, error: ClientDisconnect) -> Response:  # noqa: ARG001
    """Nobody reads this answer."""
    return _answer(Problem(kind="malformed-request", detail="The request was broken off."))


def static_part(name: str) -> Response:
    """A part of a page: one of the files in `static`, as browsers want it."""
    kind = {"html": "text/html", "css": "text/css", "js": "text/javascript"}[
        name.rpartition(".")[2]
    ]
    content = (files("siamese_nima.web") / "static" / name).read_bytes()
    return Response(content, media_type=f"{kind}; charset=utf-8")


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer with a problem; what the client still sends is not read."""
    body = problem.body()
    own = {**problem.headers(), "connection": "close", "content-length": str(len(body))}
    headers = encoded(own.items())
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def open_port(host: str, port: int) -> socket.socket:
    """A port that nobody else has; connections wait in its queue until they are served.

    Args:
        host: Address of this machine to listen at.
        port: 0 for any free one.

    Raises:
        ConfigError: The port is in use, or the address is none of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family)
    except OSError as error:
        raise ConfigError(f"host {host!r}: {error.strerror}") from error
    try:
        if os.name == "posix":
            # Or the port of a server that has just ended would count as in use for a minute.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen()
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is in use; name another with --port, 0 for any free one"
            ) from error
        raise ConfigError(f"cannot listen at {host} port {port}: {error.strerror}") from error
    return found


def address_of(listener: socket.socket, host: str) -> str:
    """The address to type into a browser of this machine."""
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else bracketed(host)
    return f"http://{name}:{listener.getsockname()[1]}/"


class Stopping(Protocol):
    """What is told that the server is to end.

    Attributes:
        stopping: Set then; from then on it is to refuse work.
        busy: Whether it still works on what it has accepted.
    """

    stopping: bool

    @property
    def busy(self) -> bool: ...  # noqa: D102


def run_until_ended(
    app: App,
    listener: socket.socket,
    *,
    ending_s: float = _ENDING_S,
    ready: Callable[[], None] | None = None,
    stopping: Stopping | None = None,
) -> None:
    """Serve an application until Ctrl-C or SIGTERM, finish what was accepted, and return.

    Args:
        app: Any ASGI application.
        listener: From `open_port`; closed at the end.
        ending_s: The longest that requests under way may still take.
        ready: Called when the page can be opened.
        stopping: As long as it is busy, new connections are still taken, so that it can answer that
            it is stopping. A second signal ends that.
    """
    config = uvicorn.Config(
        app,
        http=_Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=math.ceil(ending_s),
    )
    with listener:
        if ready:
            ready()
        with _ended_by_signals_quietly():
            _Server(config, stopping, ending_s).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stopping: Stopping | None, ending_s: float) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._ending_s = ending_s
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
        if self._stopping is None or self._ends_at is not None:
            super().handle_exit(sig, frame)
        else:
            self._ends_at = time.monotonic() + self._ending_s
            self._stopping.stopping = True

    async def on_tick(self, counter: int) -> bool:
        if self._stopping is not None and self._ends_at is not None:
            left_s = self._ends_at - time.monotonic()
            if not self._stopping.busy or left_s <= 0:
                self.config.timeout_graceful_shutdown = max(1, math.ceil(left_s))
                return True
        return await super().on_tick(counter)


class _Connection(H11Protocol):
    """One connection; its headers have to come in time, and while too many wait the oldest goes.

    Otherwise whoever opens connections and says nothing could take all that a process may have.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._opened = self.loop.time()
        if len(self.connections) > MOST_CONNECTIONS:
            others = [one for one in self.connections if isinstance(one, _Connection)]
            silent = [one for one in others if one._waits_for_headers()]
            min(silent, key=lambda one: one._opened).transport.abort()
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._opened = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def _waits_for_headers(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        """More of the same headers gives them no more time."""
        if not self._waits_for_headers():
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADERS_S, self.transport.abort)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@contextmanager
def _ended_by_signals_quietly() -> Iterator[None]:
    """The server raises the signal that ended it again when all is done; that is no failure."""

    def done(number: int, frame: types.FrameType | None) -> None:
        del number, frame

    before = {number: signal.signal(number, done) for number in _END_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bracketed(host: str) -> str:
    """An address as it stands in a URL: IPv6 ones in brackets."""
    return f"[{host}]" if ":" in host else host
