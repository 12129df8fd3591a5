"""The application: addresses, errors as problems, and what stands before them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from siamese_nima.errors import NimaError
from siamese_nima.photos.names import printable
from siamese_nima.web.gallery.gallery import Gallery
from siamese_nima.web.gallery.routes import gallery_routes
from siamese_nima.web.problems import Problem, problem_of
from siamese_nima.web.safety import App, Safety, SafetyRules
from siamese_nima.web.service.api_key import ApiKeyCheck
from siamese_nima.web.service.drain import Drain
from siamese_nima.web.service.logs import RequestLog
from siamese_nima.web.service.routes import router
from siamese_nima.web.service.service import Service

_log = logging.getLogger(__name__)

_DESCRIPTION = (
    "Scores of photos as people would rate them: rating distributions, comparisons that say when "
    "they are too close to call, and rankings. Errors are problem details (RFC 9457)."
)
_KINDS_OF_STATUS = {404: "not-found", 405: "method-not-allowed"}
_DRAIN_S = 10.0


def api(service: Service, *, gallery: Gallery | None = None) -> FastAPI:
    """The addresses, with nothing before them.

    Args:
        service: What scores; it is closed with the application.
        gallery: A page of a folder, shown at /.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

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
    app.include_router(router)
    if gallery:
        app.include_router(gallery_routes(gallery), include_in_schema=False)
    app.add_exception_handler(NimaError, cast("_Handler", _library_error))
    app.add_exception_handler(HTTPException, cast("_Handler", _http_error))
    app.add_exception_handler(RequestValidationError, cast("_Handler", _invalid))
    app.add_exception_handler(ClientDisconnect, cast("_Handler", _gone))
    return app


def guarded(app: FastAPI, rules: SafetyRules, keys: Sequence[str] = ()) -> App:
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
    checked = Safety(inner, rules)
    heard_out = Drain(checked, most_bytes=service.limits.request_bytes, most_s=_DRAIN_S)
    return RequestLog(heard_out, service.metrics.note_request)


_Handler = Callable[[Request, Exception], Any]


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
