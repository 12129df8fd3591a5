"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from siamese_nima.scoring.model_file import Model
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.web.service.batching import BatchTimes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PHOTOS = (1, 2, 4, 8, 16, 32, 64)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """Counters and histograms of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "nima_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "nima_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._photos = Counter(
            "nima_photos", "Photos answered for.", ["outcome"], registry=self.registry
        )
        for outcome in ("scored", "failed"):
            self._photos.labels(outcome)
        self._batch = Histogram(
            "nima_batch_photos",
            "Photos that a worker took at a time.",
            buckets=_PHOTOS,
            registry=self.registry,
        )
        self._waited = Histogram(
            "nima_wait_seconds",
            "Seconds that a photo waited for a worker.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._work = Counter(
            "nima_work_seconds", "Seconds of work of all workers.", registry=self.registry
        )
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

    def note_batch(self, times: BatchTimes) -> None:
        """Count a batch."""
        self._batch.observe(len(times.waited_s))
        self._work.inc(times.took_s)
        for seconds in times.waited_s:
            self._waited.observe(seconds)

    def note_photo(self, result: ScoredPhoto) -> None:
        """Count a photo's outcome."""
        self._photos.labels("failed" if result.errors else "scored").inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
