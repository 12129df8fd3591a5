"""What operators see: a line of log per request, with an id that answers carry too; and metrics."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from siamese_nima.printable import printable
from siamese_nima.scoring.model import Model
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.web.http import App, Message, Problem, Receive, Scope, Send, send_problem

_log = logging.getLogger("siamese_nima.web.requests")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")

LogFormat = Literal["text", "json"]
OnRequest = Callable[[str, str, int, float], None]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PHOTOS = (1, 2, 4, 8, 16, 32, 64)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class LogLine(logging.Formatter):
    """Log records as lines of text, or as JSON objects with the same values."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._json = form == "json"

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback is part of it in JSON, and follows it in text."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = getattr(record, "fields", {})
        trace = self.formatException(record.exc_info) if record.exc_info else None
        if self._json:
            about = {"time": when, "level": record.levelname.lower(), "logger": record.name}
            about |= {"message": record.getMessage()} | fields
            return json.dumps(about | ({"trace": trace} if trace else {}))
        values = " ".join(f"{name}={value}" for name, value in fields.items())
        line = f"{when} {record.levelname.lower()} {printable(record.getMessage())} {values}"
        return line.rstrip() + (f"\n{trace}" if trace else "")


def log_to_stderr(form: LogFormat) -> None:
    """Send what this package and the server log to standard error, in this form."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLine(form))
    for name in ("siamese_nima", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    # Says per connection what the lines per request say better.
    logging.getLogger("uvicorn.access").disabled = True


class RequestLog:
    """ASGI middleware: an id, a line of log and a count for every request; errors end here.

    Args:
        app: What answers.
        on_request: Called with method, pattern of the address, status and seconds.
    """

    def __init__(self, app: App, on_request: OnRequest) -> None:
        self._app = app
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, identity = time.perf_counter(), _request_id(scope)
        status = received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", identity.encode())]
                message = {**message, "headers": headers}
            await send(message)

        scope.setdefault("state", {})["request_id"] = identity
        try:
            await self._app(scope, counted, named)
        except Exception:
            _log.exception("unforeseen error", extra={"fields": {"request_id": identity}})
            if not status:
                detail = f"The log says more about request {identity}."
                await send_problem(named, Problem(kind="internal-error", detail=detail))
        seconds = time.perf_counter() - started
        self._on_request(scope["method"], _route(scope), status, seconds)
        fields = {
            "method": printable(scope["method"][:20]),
            "path": printable(scope["path"][:200]),
            "status": status,
            "ms": round(1000 * seconds, 1),
            "bytes": received,
            "photos": scope["state"].get("photos", 0),
            "client": (scope.get("client") or ("-",))[0],
            "request_id": identity,
        }
        _log.info("request", extra={"fields": fields})


def _request_id(scope: Scope) -> str:
    """What the client calls its request, or a name of ours."""
    for name, value in scope["headers"]:
        text: str = value.decode("latin-1")
        if name == b"x-request-id" and _ID.fullmatch(text):
            return text
    return uuid.uuid4().hex


def _route(scope: Scope) -> str:
    route: str = getattr(scope.get("route"), "path", "")
    return route or "none"


class Metrics:
    """Counters and histograms of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        made = partial(Counter, registry=self.registry)
        timed = partial(Histogram, registry=self.registry)
        self._requests = made("nima_requests", "Requests answered.", ["method", "route", "status"])
        self._seconds = timed(
            "nima_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_SECONDS,
        )
        self._photos = made("nima_photos", "Photos answered for.", ["outcome"])
        for outcome in ("scored", "failed"):
            self._photos.labels(outcome)
        self._batch = timed(
            "nima_batch_photos", "Photos that a worker took at a time.", buckets=_PHOTOS
        )
        self._waited = timed(
            "nima_wait_seconds", "Seconds that a photo waited for a worker.", buckets=_SECONDS
        )
        self._work = made("nima_work_seconds", "Seconds of work of all workers.")
        self._models = Gauge(
            "nima_model_info", "Models that rate.", ["name", "model"], registry=self.registry
        )

    def watch(self, models: Mapping[str, Model], waiting: Callable[[], float]) -> None:
        """Say which models rate, and ask for the length of the queue when it is read."""
        for name, model in models.items():
            self._models.labels(name, model.model_id).set(1)
        gauge = Gauge(
            "nima_waiting_photos", "Photos that wait for a worker.", registry=self.registry
        )
        gauge.set_function(waiting)

    def note_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is the pattern of an address, so that there are few."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def note_batch(self, waited_s: Sequence[float], took_s: float) -> None:
        """Count a batch: how long each photo waited for a worker, and the work on all of them."""
        self._batch.observe(len(waited_s))
        self._work.inc(took_s)
        for seconds in waited_s:
            self._waited.observe(seconds)

    def note_photo(self, result: ScoredPhoto) -> None:
        """Count a photo's outcome."""
        self._photos.labels("failed" if result.errors else "scored").inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
