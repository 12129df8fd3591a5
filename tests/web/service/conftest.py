"""The service with the tiny model, asked without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from photo_seeds import encoded, scene
from siamese_nima.photos.remote import UrlRules
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service
from siamese_nima.web.service.uploads import Limits

Client = Callable[..., TestClient]


@pytest.fixture(scope="module")
def scorer(tiny_model) -> Scorer:
    return Scorer(tiny_model, workers=2, max_pixels=2_000_000)


@pytest.fixture
def client_of(scorer) -> Iterator[Client]:
    """Clients of services with other limits, URLs, keys or scorers."""
    with ExitStack() as stack:

        def make(
            limits: Limits | None = None,
            *,
            urls: UrlRules | None = None,
            keys: tuple[str, ...] = (),
            scorer: Scorer = scorer,
        ) -> TestClient:
            app = api(Service(scorer, limits, urls=urls), with_keys=bool(keys))
            client = TestClient(guarded(app, HostRules(), keys), base_url="http://localhost")
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(client_of) -> TestClient:
    return client_of()


@pytest.fixture(scope="session")
def photos() -> dict[str, bytes]:
    """Three photos by name, brighter from one to the next."""
    return {
        f"{name}.png": encoded(scene().point(lambda v, g=gain: int(v * g)), "PNG")
        for name, gain in (("dark", 0.3), ("middle", 0.6), ("bright", 1.0))
    }
