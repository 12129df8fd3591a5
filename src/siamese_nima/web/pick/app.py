"""The server of `nima pick`: one page, its pictures, and what it says of pairs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from siamese_nima.errors import AnswerError, PhotoError
from siamese_nima.taste.session import PickSession
from siamese_nima.web.pick.pictures import SIDES_PX, ScreenPictures
from siamese_nima.web.pick.state import PhotoIds, page_state
from siamese_nima.web.safety import Safety, SafetyRules

_PARTS = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "zoom.js": ("zoom.js", "text/javascript; charset=utf-8"),
}
# Stand-ins of photos are new for every start, so that what a browser keeps is never another photo.
_PICTURE_HEADERS = {"cache-control": "private, max-age=86400, immutable"}


class GivenAnswer(BaseModel):
    """What the page says of the present pair."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: int
    choice: Literal["left", "right", "tie", "flag"]
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class PickServer:
    """What the routes of the page do.

    Attributes:
        session: Whose answers are gathered.
        pictures: What the photos look like; close it at the end.
    """

    def __init__(self, session: PickSession, folder: Path, unreadable: dict[str, str]) -> None:
        self.session = session
        self.pictures = ScreenPictures()
        self._ids = PhotoIds(folder, session.photos)
        self._unreadable = unreadable

    def part(self, name: str) -> Response:
        """A part of the page itself."""
        file, kind = _PARTS[name]
        return Response((files(__package__) / file).read_bytes(), media_type=kind)

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        # A copy: threads that make pictures may add to it.
        return page_state(self.session, self._ids, dict(self._unreadable))

    def answer(self, given: GivenAnswer) -> dict[str, Any]:
        """Keep an answer."""
        self.session.answer(given.number, given.choice, given.seconds)
        return self.state()

    def undo(self) -> dict[str, Any]:
        """Take back the last answer."""
        self.session.undo()
        return self.state()

    def picture(self, photo: str, side: int) -> Response:
        """A photo as large as a screen needs; one that cannot be read is asked about no more."""
        name = self._ids.name(photo)
        if name is None or side not in SIDES_PX:
            return JSONResponse({"detail": "no such picture"}, 404)
        try:
            content = self.pictures.get(self._ids.path(name), side)
        except PhotoError as error:
            self._unreadable[name] = str(error)
            self.session.lose(name)
            return JSONResponse({"detail": str(error)}, 410)
        return Response(content, media_type="image/jpeg", headers=_PICTURE_HEADERS)


def pick_app(
    session: PickSession,
    folder: Path,
    *,
    unreadable: Mapping[str, str] | None = None,
    rules: SafetyRules | None = None,
) -> Safety:
    """The page as an ASGI application.

    Args:
        session: Whose answers are gathered.
        folder: The folder of photos; of its files only those of the session are served.
        unreadable: Why, by name, photos could not be scored; the page names them.
        rules: Whom it answers; by default programs on this machine that call it localhost.
    """
    server = PickServer(session, folder, dict(unreadable or {}))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        server.pictures.close()

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    for name in _PARTS:
        app.get(f"/{name}")(partial(server.part, name))
    app.get("/state")(server.state)
    app.post("/answers")(server.answer)
    app.post("/undo")(server.undo)
    app.get("/photos/{photo}/{side}")(server.picture)
    app.exception_handler(AnswerError)(_refused)
    return Safety(app, rules)


def _refused(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 409)
