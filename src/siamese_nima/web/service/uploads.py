"""The photos in the body of a request, read within limits."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from siamese_nima.photos.names import printable
from siamese_nima.web.problems import RequestError
from siamese_nima.web.service.limits import Limits

PART = "photo"
_NAME_CHARACTERS = 200
_JSON_BYTES = 1_000_000
_LENGTH_DIGITS = 19  # more than any memory has bytes
_HOW = (
    f"send one photo as the body with a Content-Type such as image/jpeg, or several as parts named "
    f"{PART!r} of a multipart/form-data body"
)


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
    """Bytes of all requests that are in memory at a time."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.used = 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """A part of the budget that grows with a request and ends with it."""
        held = Held(self)
        try:
            yield held
        finally:
            self.used -= held.bytes

    def take(self, count: int) -> None:
        """Raise `RequestError` ("busy") unless that many bytes more are free."""
        if self.used + count > self._capacity:
            raise RequestError(
                "busy",
                f"Requests of {self.used} bytes are being answered, and {self._capacity} may be at "
                "a time. Try again soon.",
                retry_after_s=1,
            )
        self.used += count


@dataclass(slots=True)
class Held:
    """What one request holds of a budget."""

    budget: Budget
    bytes: int = 0

    def reach(self, total: int) -> None:
        """Hold at least `total` bytes from now on."""
        if total > self.bytes:
            self.budget.take(total - self.bytes)
            self.bytes = total


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
        request.headers, body, max_files=most, max_fields=0, max_part_size=1000
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


async def _upload(field: str, part: UploadFile | str) -> Upload:
    if field != PART or isinstance(part, str):
        raise RequestError("malformed-request", f"a part named {field[:80]!r}; {_HOW}")
    return Upload(shown_name(part.filename), await part.read())


def _too_large(what: str, most: int) -> RequestError:
    return RequestError(
        "too-large", f"{what} has more than {most} bytes, the most that this server takes"
    )
