"""The photos in the body of a request, read within limits."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from siamese_nima.errors import ConfigError
from siamese_nima.printable import printable
from siamese_nima.web.http import App, Message, Receive, RequestError, Scope, Send

PART = "photo"
_NAME_CHARACTERS = 200
_JSON_BYTES = 1_000_000
_LENGTH_DIGITS = 19  # more than any memory has bytes
_HOW = (
    f"send one photo as the body with a Content-Type such as image/jpeg, or several as parts named "
    f"{PART!r} of a multipart/form-data body"
)
# The options of `nima serve`, and how many of a limit's own units one of theirs is.
_OPTIONS = {
    "photo_bytes": ("--max-photo-mb", 1e6),
    "photo_pixels": ("--max-megapixels", 1e6),
    "request_photos": ("--max-photos", 1),
    "request_bytes": ("--max-request-mb", 1e6),
    "request_s": ("--timeout", 1),
    "waiting_photos": ("--max-waiting", 1),
    "waiting_bytes": ("the memory for all requests in MB", 1e6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is refused before it costs much.

    Attributes:
        photo_bytes: Size of one photo; a raw file of a large camera has about 100 million.
        photo_pixels: Width times height of one photo, read from its header.
        request_photos: Photos in one request.
        request_bytes: Size of one request.
        request_s: Seconds from the first byte of a request to its answer.
        waiting_photos: Photos that may wait for a worker; further ones are told to come again.
        waiting_bytes: Bytes of all requests that are being received or answered.

    Raises:
        ConfigError: A limit is not positive, or what one request may have is more than what all
            requests together may.
    """

    photo_bytes: int = 128_000_000
    photo_pixels: int = 150_000_000
    request_photos: int = 64
    request_bytes: int = 256_000_000
    request_s: float = 60.0
    waiting_photos: int = 256
    waiting_bytes: int = 1_000_000_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 < getattr(self, field.name) < math.inf:
                option, value = self._shown(field.name)
                raise ConfigError(f"{option} must be above 0, got {value}")
        for one, together in (
            ("photo_bytes", "request_bytes"),
            ("request_bytes", "waiting_bytes"),
            ("request_photos", "waiting_photos"),
        ):
            if getattr(self, one) > getattr(self, together):
                (option, value), (other, most) = self._shown(one), self._shown(together)
                raise ConfigError(
                    f"{option} ({value}) must not be above {other} ({most}): such a request could "
                    "never be answered"
                )

    def _shown(self, name: str) -> tuple[str, str]:
        option, unit = _OPTIONS[name]
        return option, f"{getattr(self, name) / unit:g}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo that was sent, or fetched.

    Attributes:
        name: What answers call it: printable, at most 200 characters.
        content: The file.
    """

    name: str
    content: bytes


class Budget:
    """Bytes of all requests that are in memory at a time; may be used by threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self.used = 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """A part of the budget that grows with a request, and ends with it or what it leaves."""
        held = Held(self)
        try:
            yield held
        finally:
            self.give_back(held.bytes - held.left)

    def take(self, count: int) -> None:
        """Raise `RequestError` ("busy") unless that many bytes more are free."""
        with self._lock:
            if self.used + count > self._capacity:
                raise RequestError(
                    "busy",
                    f"Requests of {self.used} bytes are being answered, and {self._capacity} may "
                    "be at a time. Try again soon.",
                    retry_after_s=1,
                )
            self.used += count

    def give_back(self, count: int) -> None:
        """That many bytes are free again."""
        with self._lock:
            self.used -= count


@dataclass(slots=True)
class Held:
    """What one request holds of a budget.

    Attributes:
        budget: Of which.
        bytes: How much.
        left: How much of it stays in memory when the request ends.
    """

    budget: Budget
    bytes: int = 0
    left: int = 0

    def reach(self, total: int) -> None:
        """Hold at least `total` bytes from now on."""
        if total > self.bytes:
            self.budget.take(total - self.bytes)
            self.bytes = total

    def leave(self, count: int, until: Future[Any]) -> None:
        """Hold so many bytes, of a photo, after the request's end: until its result is there."""
        self.left += count
        until.add_done_callback(lambda _: self.budget.give_back(count))


async def read_uploads(request: Request, limits: Limits, held: Held, *, most: int) -> list[Upload]:
    """The photos of a multipart or raw body, in order.

    Args:
        request: Its body is not read yet.
        limits: What may come.
        held: Grows with the body.
        most: Photos that this address takes; `limits` may be lower.

    Raises:
        RequestError: Too much, too many, malformed, or of another kind.
    """
    kind = media_type(request)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestError(
            "unsupported-media-type", f"Content-Encoding {encoding[:80]!r}: send photos as they are"
        )
    most = min(most, limits.request_photos)
    if kind == "multipart/form-data":
        uploads = await _read_parts(request, _body(request, limits.request_bytes, held), most)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        body = [chunk async for chunk in _body(request, limits.photo_bytes, held)]
        uploads = [Upload(shown_name(request.query_params.get("name")), b"".join(body))]
    else:
        raise RequestError("unsupported-media-type", f"Content-Type {kind[:80]!r}: {_HOW}")
    for upload in uploads:
        if len(upload.content) > limits.photo_bytes:
            raise _too_large(upload.name, limits.photo_bytes)
    return uploads


async def read_json(request: Request, limits: Limits, held: Held) -> Any:
    """The body as JSON.

    Raises:
        RequestError: Too large, or not JSON.
    """
    most = min(limits.request_bytes, _JSON_BYTES)
    body = [chunk async for chunk in _body(request, most, held)]
    try:
        return json.loads(b"".join(body))
    except (ValueError, RecursionError) as error:
        raise RequestError("malformed-request", f"The body is not JSON ({error})") from error


def media_type(request: Request) -> str:
    """The kind of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def shown_name(name: str | None) -> str:
    """A name as answers repeat it: no folders, one line, not endless."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return printable(last)[:_NAME_CHARACTERS] or PART


async def _body(request: Request, most: int, held: Held) -> AsyncGenerator[bytes, None]:
    """The body in chunks; what is announced is refused or held before any of it is read."""
    announced = request.headers.get("content-length", "0")
    if not (announced.isascii() and announced.isdecimal() and len(announced) < _LENGTH_DIGITS):
        raise RequestError("malformed-request", f"Content-Length {announced[:40]!r} is no size")
    received = 0
    if int(announced) > most:
        raise _too_large("the body", most)
    held.reach(int(announced))
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise _too_large("the body", most)
        held.reach(received)
        yield chunk


async def _read_parts(
    request: Request, body: AsyncGenerator[bytes, None], most: int
) -> list[Upload]:
    parser = MultiPartParser(
        _headers_without_charset(request), body, max_files=most, max_fields=0, max_part_size=1000
    )
    # In memory, which the budget counts, and never in files.
    parser.spool_max_size = 0
    try:
        form = await parser.parse()
    except MultiPartException as error:
        too_many = "Too many files" in error.message
        raise RequestError(
            "too-large" if too_many else "malformed-request",
            f"{error.message.rstrip('.')}; {_HOW}",
        ) from error
    try:
        return [await _upload(field, part) for field, part in form.multi_items()]
    finally:
        await form.close()


def _headers_without_charset(request: Request) -> Headers:
    """Names in a form are UTF-8 (RFC 7578, 5.1.2); some codecs that it may name raise at any."""
    _, options = parse_options_header(request.headers.get("content-type"))
    boundary = b'; boundary="%s"' % options[b"boundary"] if b"boundary" in options else b""
    return Headers(raw=[(b"content-type", b"multipart/form-data" + boundary)])


async def _upload(field: str, part: UploadFile | str) -> Upload:
    if field != PART or isinstance(part, str):
        raise RequestError("malformed-request", f"a part named {field[:80]!r}; {_HOW}")
    return Upload(shown_name(part.filename), await part.read())


def _too_large(what: str, most: int) -> RequestError:
    return RequestError(
        "too-large", f"{what} has more than {most} bytes, the most that this server takes"
    )


class LingeringClose:
    """ASGI middleware: reads on, within limits, what the application has left of a body.

    A server that answers and closes while the client still sends makes the operating system throw
    the answer away: the client sees a broken connection in place of "too large" or "come again
    later".

    Args:
        app: What answers.
        most_bytes: Who sends more is cut off.
        most_s: Who takes longer is cut off.
    """

    def __init__(self, app: App, *, most_bytes: int, most_s: float) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._most_s = most_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        # Who asks first gets the answer instead of a permission, and sends nothing.
        asks_first = (b"expect", b"100-continue") in scope.get("headers", ())
        if scope["type"] != "http" or asks_first:
            await self._app(scope, receive, send)
            return
        ended = False

        async def watched() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body", False)
            return message

        async def after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                await self._rest(watched)
            await send(message)

        await self._app(scope, watched, after_the_body)

    async def _rest(self, receive: Receive) -> None:
        size = 0
        try:
            async with asyncio.timeout(self._most_s):
                more = True
                while more and size <= self._most_bytes:
                    message = await receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            return
