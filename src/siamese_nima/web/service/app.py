"""The application: version 1 of the addresses, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any, cast

import jinja2
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.responses import Response
from fastapi.types import DecoratedCallable

from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.pair_error import PairError
from siamese_nima.printable import printable
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.web.gallery import Gallery, gallery_routes
from siamese_nima.web.http import (
    CONTENT_TYPE,
    KINDS,
    App,
    RequestError,
    answer_problems,
    static_part,
)
from siamese_nima.web.safety import (
    BASIC,
    BEARER,
    HEADER,
    ApiKeyCheck,
    HostAndOriginCheck,
    HostRules,
)
from siamese_nima.web.service.observability import METRICS_TYPE, RequestLog
from siamese_nima.web.service.queue import Service
from siamese_nima.web.service.replies import (
    BurstReply,
    Comparison,
    Health,
    ModelReply,
    Models,
    PhotoScore,
    Ranking,
    Scores,
)
from siamese_nima.web.service.uploads import LingeringClose

_DESCRIPTION = (
    "Scores of photos as people would rate them: rating distributions, comparisons that say when "
    "they are too close to call, and rankings. Errors are problem details (RFC 9457)."
)
_LINGER_S = 10.0

router = APIRouter()
health = APIRouter(prefix="/health", tags=["health"])  # needs no key

Name = Annotated[
    str | None,
    Query(max_length=200, description="What the answer calls a photo that is the whole body."),
]
By = Annotated[
    str | None,
    Query(max_length=200, description="Model that orders, of several; by default the first."),
]

_PROBLEM_SCHEMA = {"schema": {"$ref": "#/components/schemas/ProblemReply"}}
_ONE = {"type": "string", "format": "binary"}
_URLS = {
    "type": "object",
    "properties": {"urls": {"type": "array", "items": {"type": "string", "format": "uri"}}},
    "required": ["urls"],
    "additionalProperties": False,
}


def _problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The problems that an address may answer with, for OpenAPI."""
    titles: dict[int, list[str]] = {}
    for kind in kinds:
        status, title = KINDS[kind]
        titles.setdefault(status, []).append(f"{title} ({kind})")
    return {
        status: {"description": "; or ".join(said), "content": {CONTENT_TYPE: _PROBLEM_SCHEMA}}
        for status, said in titles.items()
    }


def _body(*, raw: bool, least: int, most: int | None) -> dict[str, Any]:
    """How photos are sent to an address, for OpenAPI."""
    several = {"type": "array", "items": _ONE, "minItems": least}
    if most is not None:
        several["maxItems"] = most
    parts = {"type": "object", "properties": {"photo": several}, "required": ["photo"]}
    example = {"urls": [f"https://photos.example.org/{n}.jpg" for n in range(1, least + 1)]}
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": parts | {"additionalProperties": False}},
        "application/json": {"schema": _URLS, "example": example},
    }
    if raw:
        content = {
            "image/*": {"schema": _ONE},
            "application/octet-stream": {"schema": _ONE},
            **content,
        }
    return {"requestBody": {"required": True, "content": content}}


_ALWAYS = ("key-wanted", "origin-refused", "host-refused", "internal-error")
_SENT = (
    *("malformed-request", "url-refused", "request-timeout", "too-large", "photo-error"),
    *("unsupported-media-type", "config-error", "busy", "url-failed", "stopping", "out-of-time"),
    *_ALWAYS,
)


def _takes_photos(
    path: str, *, raw: bool = False, least: int, most: int | None
) -> Callable[[DecoratedCallable], DecoratedCallable]:
    """Makes a function the answer to photos that are sent to an address."""
    body = _body(raw=raw, least=least, most=most)
    return router.post(path, tags=["photos"], responses=_problems(*_SENT), openapi_extra=body)


@_takes_photos("/v1/score", raw=True, least=1, most=1)
async def score(request: Request, name: Name = None) -> PhotoScore:  # noqa: ARG001
    """Score one photo: the body itself, one part of a form, or one URL."""
    [result] = await _service(request).results(request, least=1, most=1)
    _check_scored(result)
    return PhotoScore.of(result)


@_takes_photos("/v1/scores", least=1, most=None)
async def scores(request: Request) -> Scores:
    """Score photos; one that cannot be read has a problem in place of a score."""
    service = _service(request)
    results = await service.results(request, least=1, most=service.limits.request_photos)
    return Scores(scores=[PhotoScore.of(result) for result in results])


@_takes_photos("/v1/compare", least=2, most=2)
async def compare(request: Request, by: By = None) -> Comparison:
    """Say which of two photos is better, and how sure that is."""
    service = _service(request)
    name, pair_error = _judge(service, by)
    results = await service.results(request, least=2, most=2)
    for result in results:
        _check_scored(result)
    return Comparison.of(results, name, pair_error)


@_takes_photos("/v1/rank", least=2, most=None)
async def rank(request: Request, by: By = None) -> Ranking:
    """Rank photos, best first, and say where the order is too close to call."""
    service = _service(request)
    name, pair_error = _judge(service, by)
    results = await service.results(request, least=2, most=service.limits.request_photos)
    return Ranking.of(results, name, pair_error)


@_takes_photos("/v1/burst", least=2, most=None)
async def burst(request: Request) -> BurstReply:
    """Order photos of the same thing, and say in words why the others lose."""
    service = _service(request)
    most = service.limits.request_photos
    results = await service.results(request, least=2, most=most, detail=True)
    for result in results:
        _check_scored(result)
    return BurstReply.of(results, service.scorer.card)


@router.get("/v1/models", tags=["models"], responses=_problems(*_ALWAYS))
async def models(request: Request) -> Models:
    """The models that rate here, with their cards but for the lists of photos behind them."""
    found = _service(request).scorer.models
    return Models(models=[ModelReply.brief(name, model) for name, model in found.items()])


@router.get("/v1/models/{name}", tags=["models"], responses=_problems("not-found", *_ALWAYS))
async def model(
    request: Request, name: Annotated[str, Path(description="One of those listed.")]
) -> ModelReply:
    """One model, with its card."""
    found = _service(request).scorer.models
    if name not in found:
        raise RequestError("not-found", f"no model {name[:80]!r}; there are {', '.join(found)}")
    return ModelReply.of(name, found[name])


@health.get("/live", responses=_problems("host-refused"))
async def live() -> Health:
    """Answers as long as the process works."""
    return Health(status="ok")


@health.get("/ready", responses=_problems("stopping", "host-refused"))
async def ready(request: Request) -> Health:
    """Answers while photos are taken."""
    if _service(request).stopping:
        raise RequestError("stopping", "No more photos are taken.")
    return Health(status="ok")


@router.get(
    "/metrics",
    tags=["health"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **_problems(*_ALWAYS)},
)
async def metrics_text(request: Request) -> Response:
    """Counters and histograms for Prometheus."""
    return Response(_service(request).metrics.text(), media_type=METRICS_TYPE)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _judge(service: Service, by: str | None) -> tuple[str, PairError | None]:
    """The model that orders, and how sure its orders are."""
    found = service.scorer.models
    name = next(iter(found)) if by is None else by
    if name not in found:
        raise ConfigError(f"by={name[:80]!r}: none of the models {', '.join(found)}")
    return name, found[name].card.pair_error


def _check_scored(result: ScoredPhoto) -> None:
    if result.errors:
        raise PhotoError(printable("; ".join(result.errors)))


def api(service: Service, *, gallery: Gallery | None = None, with_keys: bool = False) -> FastAPI:
    """The addresses, with nothing before them.

    Args:
        service: What scores; it is closed with the application.
        gallery: A page of a folder, shown at /.
        with_keys: Whether `guarded` will want API keys, for OpenAPI.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()
        if gallery:
            gallery.close()

    app = FastAPI(
        title="siamese-nima",
        version=version("siamese-nima"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.service = service
    wanted = [Depends(way) for way in (BEARER, HEADER, BASIC)] if with_keys else []
    app.include_router(router, dependencies=wanted)
    app.include_router(health)
    if gallery:
        app.include_router(gallery_routes(gallery), include_in_schema=False)
    else:
        app.include_router(_start_page(service, with_keys=with_keys), include_in_schema=False)
    answer_problems(app)
    return app


def _start_page(service: Service, *, with_keys: bool) -> APIRouter:
    """A page at / that says what the server is for."""
    start = APIRouter()
    text = (files("siamese_nima.web") / "static" / "start.html").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(text)

    @start.get("/")
    async def page(request: Request) -> Response:
        shown = template.render(
            address=str(request.base_url),
            models=list(service.scorer.models),
            limits=service.limits,
            with_keys=with_keys,
        )
        return Response(shown, media_type="text/html; charset=utf-8")

    for name in ("base.css", "start.css"):
        start.get(f"/{name}")(partial(static_part, name))
    return start


def guarded(app: FastAPI, rules: HostRules, keys: Sequence[str] = ()) -> App:
    """The application with what stands before it: the log, the checks, the API key.

    Args:
        app: As `api` makes it.
        rules: Which hosts are answered.
        keys: API keys, any of which will do; none for everybody.
    """
    service: Service = app.state.service
    inner: App = cast("App", app)
    if keys:
        inner = ApiKeyCheck(inner, keys)
    checked = HostAndOriginCheck(inner, rules)
    heard_out = LingeringClose(checked, most_bytes=service.limits.request_bytes, most_s=_LINGER_S)
    return RequestLog(heard_out, service.metrics.note_request)
