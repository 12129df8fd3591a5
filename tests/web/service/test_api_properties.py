"""The service keeps what its OpenAPI document promises, whatever is sent."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("schemathesis", reason="needs schemathesis")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from photo_seeds import seeds
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service

PROMISES = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
# Noise alone would never be a photo.
_BODIES = st.sampled_from(sorted(seeds().values())) | st.binary(max_size=2000)
for kind in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, _BODIES)


@pytest.fixture(scope="module")
def document(tiny_model):
    rules = HostRules(hosts=("testserver", "localhost"))
    app = guarded(api(Service(Scorer(tiny_model, workers=1))), rules)

    async def one_life(scope, receive, send):
        """Each request would start and end an application of its own, and the service with it."""
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for happened in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{happened}.complete"})

    return schemathesis.openapi.from_asgi("/openapi.json", one_life)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/score"),
        ("POST", "/v1/scores"),
        ("POST", "/v1/compare"),
        ("POST", "/v1/rank"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{name}"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/metrics"),
    ],
)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@settings(max_examples=12, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_answer_is_one_that_the_document_promises(document, method, path, mode, data):
    operation = document[path][method]
    if mode is GenerationMode.NEGATIVE and not operation.body and not operation.query:
        return
    case = data.draw(operation.as_strategy(generation_mode=mode))
    case.call_and_validate(checks=PROMISES)
