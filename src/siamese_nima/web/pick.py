"""The server of `nima pick`: a page that shows two photos and asks which is better."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from siamese_nima.errors import PhotoError
from siamese_nima.printable import counted, printable
from siamese_nima.taste.session import Pair, PickSession, Progress
from siamese_nima.web.http import RequestError, answer_problems, static_part
from siamese_nima.web.pictures import SIDES_PX, ScreenPictures
from siamese_nima.web.safety import HostAndOriginCheck, HostRules

_PARTS = ("", "base.css", "pick.css", "pick.js", "zoom.js")
# Stand-ins of photos are new for every start, so that what a browser keeps is never another photo.
_PICTURE_HEADERS = {"cache-control": "private, max-age=86400, immutable"}
_LEAST_JUDGED = 10
_NAMED = 100  # photos that cannot be read; a folder may hold thousands


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
        self._folder = folder
        # Stand-ins for names of photos: addresses of the page tell nothing, and reach nothing else.
        key = secrets.token_bytes(16)
        self._ids = {name: _digest(name, key) for name in session.photos}
        self._names = {photo: name for name, photo in self._ids.items()}
        self._unreadable = unreadable

    def part(self, name: str) -> Response:
        """A part of the page itself."""
        return static_part(name or "pick.html")

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
        name = self._names.get(photo)
        if name is None or side not in SIDES_PX:
            raise RequestError("not-found", "no such picture")
        try:
            content = self.pictures.get(self._folder / name, side)
        except PhotoError as error:
            self._unreadable[name] = str(error)
            self.session.lose(name)
            raise RequestError("photo-gone", str(error)) from error
        return Response(content, media_type="image/jpeg", headers=_PICTURE_HEADERS)


def pick_app(
    session: PickSession,
    folder: Path,
    *,
    unreadable: Mapping[str, str] | None = None,
    rules: HostRules | None = None,
) -> HostAndOriginCheck:
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
    answer_problems(app)
    return HostAndOriginCheck(app, rules)


def _digest(name: str, key: bytes) -> str:
    return hashlib.blake2s(os.fsencode(name), key=key, digest_size=9).hexdigest()


def page_state(
    session: PickSession, ids: Mapping[str, str], unreadable: Mapping[str, str]
) -> dict[str, Any]:
    """All that the page shows."""
    progress = session.progress()
    return {
        "queue": [_pair(pair, ids) for pair in session.queue],
        "answers": progress.answers,
        "goal": progress.goal,
        "can_undo": progress.can_undo,
        "progress": progress_words(progress),
        "foreseen": foreseen_words(progress),
        "summary": summary(progress),
        "unreadable": [
            {"name": printable(name), "reason": printable(reason)}
            for name, reason in islice(unreadable.items(), _NAMED)
        ],
        "unreadable_count": len(unreadable),
    }


def _pair(pair: Pair, ids: Mapping[str, str]) -> dict[str, Any]:
    sides = {"left": pair.left, "right": pair.right}
    photos = {side: {"id": ids[name], "name": printable(name)} for side, name in sides.items()}
    return {"number": pair.number, **photos}


def progress_words(progress: Progress) -> str:
    """How many answers there are.

    >>> nothing = {"repeated": 0, "same": 0, "decided": 0, "as_model": 0, "can_undo": False}
    >>> begun = Progress(
    ...     answers=37, flags=1, goal=200, judged=30, foreseen=24, foreseen_by_model=18, **nothing
    ... )
    >>> progress_words(begun)
    '37 of 200 answers, 1 pair set aside'
    >>> print(foreseen_words(begun))
    Your last 30 choices, each guessed before you made it: right in 8 of 10; the general model 6.
    """
    words = f"{progress.answers} of {progress.goal} answers"
    if progress.answers > progress.goal:
        words = f"{progress.answers} answers"
    return words + (f", {counted(progress.flags, 'pair')} set aside" if progress.flags else "")


def foreseen_words(progress: Progress) -> str:
    """How well choices were guessed before they were made; nothing while there are few."""
    if progress.judged < _LEAST_JUDGED:
        return ""
    own, general = (
        round(10 * right / progress.judged)
        for right in (progress.foreseen, progress.foreseen_by_model)
    )
    return (
        f"Your last {progress.judged} choices, each guessed before you made it: right in {own} of "
        f"10; the general model {general}."
    )


def summary(progress: Progress) -> list[str]:
    """What there is to say at the end, or in between: sentences."""
    lines = [f"{counted(progress.answers, 'answer')} on these photos."]
    if progress.flags:
        lines.append(f"{counted(progress.flags, 'pair')} set aside.")
    if progress.decided:
        lines.append(
            f"You preferred what the model scores higher in {progress.as_model} of "
            f"{counted(progress.decided, 'decision')}; many of them were close calls."
        )
    if progress.repeated:
        lines.append(
            f"You said the same again of {progress.same} of "
            f"{counted(progress.repeated, 'pair')} shown twice."
        )
    if words := foreseen_words(progress):
        lines.append(f"{words} Close pairs are asked more often than easy ones.")
    return lines
