"""What a person decides about the photos of a page, and what is written of it: shown beforehand,
and undone when wanted."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from siamese_nima.atomic_write import put_in_place
from siamese_nima.curation.choices import Choice, ChoiceStore, Flag
from siamese_nima.curation.filing import Filed, FilingLog, file_photos, plan_filing, undo_filing
from siamese_nima.curation.programs import program_named, stars_in_words
from siamese_nima.curation.sidecars import UndoLog, undo_stars
from siamese_nima.curation.stars import SidecarChange, plan_choices, write_stars
from siamese_nima.errors import NimaError, PhotoError
from siamese_nima.printable import printable
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.web.http import RequestError

_log = logging.getLogger(__name__)

_STARS, _FILES, _UNDO = "nima-stars-", "nima-files-", ".undo.jsonl"
_UNDONE = ".undone.jsonl"
_LINES = 400  # of a plan, that a page shows
_DONE = {
    "create": "new sidecars",
    "change": "sidecars changed",
    "keep": "with another rating of yours, kept",
    "same": "as they are already",
    "unread": "left out: this program does not read sidecars of them",
    "fail": "not possible",
    "copy": "files copied",
    "move": "files moved",
    "restored": "sidecars as before",
    "removed": "new files removed again",
    "put back": "files put back",
    "untouched": "as before already",
    "failed": "not possible",
}


class GivenChoice(BaseModel):
    """What the page says of a photo."""

    model_config = ConfigDict(extra="forbid", strict=True)

    stars: int | None = Field(default=None, ge=1, le=5)
    flag: Flag | None = None
    colour: Literal["red", "yellow", "green", "blue", "purple"] | None = None

    def choice(self) -> Choice:
        """As the library has it."""
        return Choice(**self.model_dump())


class Order(BaseModel):
    """What is to be written.

    Attributes:
        what: Stars, flags and colours of all choices into sidecars; or copy or move files.
        photos: Ids of the photos to copy or move.
        to: Name of the folder that they go to, beside the folder of photos.
        program: The photo program that reads the sidecars, or None.
        overwrite: Replace ratings that were given in other programs.
        choices: For sidecars, by id, in place of those that are kept.
        digest: Of the plan that the person has seen; without it nothing is written.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["sidecars", "copy", "move"]
    photos: list[str] = []
    to: Literal["picked", "rejected", "shown"] = "picked"
    program: str | None = None
    overwrite: bool = False
    choices: dict[str, GivenChoice] | None = None
    digest: str | None = None


class Undo(BaseModel):
    """Which log to undo."""

    model_config = ConfigDict(extra="forbid", strict=True)

    log: str


@dataclass(frozen=True, slots=True)
class _Line:
    """One file of a plan: what happens, the words for it, and what tells it from another."""

    action: str
    words: str
    identity: str
    error: str | None = None


class Culling:
    """Choices about the photos of one folder, and their ways out of the page.

    Attributes:
        writes: Whether anything but choices may be written.
        kept: Whether choices are; else the folder cannot be written, and they stay in the browser.
    """

    def __init__(
        self,
        folder: Path,
        photos: Mapping[str, Path],
        results: Sequence[ScoredPhoto],
        *,
        writes: bool = True,
        keeps: bool = True,
    ) -> None:
        """Open the file of choices.

        Args:
            folder: The folder, as it was named.
            photos: Paths of its photos by id.
            results: Of them.
            writes: Whether sidecars may be written, and files copied and moved.
            keeps: Whether choices are kept at all.
        """
        self.writes = writes
        self._folder = folder
        self._photos = photos
        self._results = {result.path: result for result in results}
        self._store = _choice_store(folder) if keeps else None
        self._writing = threading.Lock()

    @property
    def kept(self) -> bool:
        """Whether choices outlive the browser."""
        return self._store is not None

    @property
    def beside(self) -> Path:
        """Where copies and moved files go: beside the folder, or the next run would find them."""
        folder = Path(os.path.realpath(self._folder))
        return folder.with_name(f"{folder.name}-culled")

    def close(self) -> None:
        """Close the file of choices."""
        if self._store:
            self._store.close()

    def state(self) -> dict[str, Any]:
        """What the page asks for when it opens."""
        choices = self._store.choices() if self._store else {}
        known = {photo: choices.get(self._name(path)) for photo, path in self._photos.items()}
        return {
            "kept": self.kept,
            "writes": self.writes,
            "beside": printable(self.beside.name),
            "choices": {photo: asdict(choice) for photo, choice in known.items() if choice},
            "gone": [p for p, path in self._photos.items() if not os.path.lexists(path)],
            "undo": [_described(log) for log in self._logs()],
        }

    def choose(self, photo_id: str, choice: Choice) -> None:
        """Decide about a photo; it is on the disk then.

        Raises:
            PhotoError: No photo has this id.
            NimaError: The folder can no longer be written.
        """
        if photo_id not in self._photos:
            raise PhotoError(f"no photo has the id {photo_id[:40]!r}")
        if self._store:
            self._store.choose(self._name(self._photos[photo_id]), choice)

    def plan(self, order: Order) -> dict[str, Any]:
        """What an order would do; nothing is written.

        Raises:
            RequestError: This server does not write.
            NimaError: It is not possible.
        """
        self._check(order)
        return _told(self._planned(order), order, self._notes(order))

    def write(self, order: Order) -> dict[str, Any]:
        """Do it, if it is still what the person has seen.

        Raises:
            RequestError: The files have changed since; or this server does not write.
            NimaError: It is not possible; the undo log cannot be written.
        """
        self._check(order)
        with self._writing:
            if _digest(self._planned(order)) != order.digest:
                raise RequestError(
                    "answer-refused", "Files have changed since this was shown; look at it again."
                )
            return _told(list(self._written(order)), order, [])

    def undo(self, name: str) -> dict[str, Any]:
        """Put back what a log says, the last file first.

        Raises:
            RequestError: There is no such log; or this server does not write.
            NimaError: The log cannot be read.
        """
        if not self.writes:
            raise _not_here()
        with self._writing:
            log = next((log for log in self._logs() if log.name == name), None)
            if log is None:
                raise RequestError("not-found", "there is no such undo log in the folder")
            if name.startswith(_STARS):
                done = [(u.action, u.sidecar, u.error) for u in undo_stars(log)]
            else:
                done = [(f.how, f.target, f.error) for f in undo_filing(log)]
            lines = [
                _Line(action, self._inside(path), "", error and self._told(error))
                for action, path, error in done
            ]
            if not any(line.error for line in lines):
                with suppress(OSError):  # it stays listed; undoing twice changes nothing
                    put_in_place(log, log.with_name(name.removesuffix(_UNDO) + _UNDONE))
        return _told(lines, None, [])

    def _check(self, order: Order) -> None:
        if not self.writes:
            raise _not_here()
        named = (*order.photos, *(order.choices or ()))
        unknown = [photo for photo in named if photo not in self._photos]
        if unknown:
            raise PhotoError(f"no photo has the id {unknown[0][:40]!r}")
        program_named(order.program)

    def _planned(self, order: Order) -> list[_Line]:
        if order.what == "sidecars":
            choices = self._choices(order)
            return [self._line(change, choices) for change in self._sidecars(order)]
        return [self._filed(filed) for filed in self._files(order)]

    def _written(self, order: Order) -> Iterator[_Line]:
        if order.what == "sidecars":
            choices = self._choices(order)
            with UndoLog(self._log_name(_STARS)) as log:
                for change in write_stars(self._sidecars(order), log):
                    yield self._line(change, choices)
        else:
            with FilingLog(self._log_name(_FILES)) as filing:
                yield from map(self._filed, file_photos(self._files(order), filing))

    def _sidecars(self, order: Order) -> Iterator[SidecarChange]:
        choices = self._choices(order)
        here = [r for path, r in self._results.items() if os.path.lexists(path)]
        results = [result for result in here if self._name(Path(result.path)) in choices]
        given = [choices[self._name(Path(result.path))] for result in results]
        yield from plan_choices(results, given, program=order.program, overwrite=order.overwrite)

    def _choices(self, order: Order) -> dict[str, Choice]:
        if order.choices is not None:
            given = order.choices.items()
            return {self._name(self._photos[photo]): one.choice() for photo, one in given}
        if self._store is None:
            raise NimaError(f"{self._folder}: cannot be written")
        return self._store.choices()

    def _files(self, order: Order) -> list[Filed]:
        every = [path for path in self._results if os.path.lexists(path)]
        given = {os.fspath(self._photos[photo]) for photo in order.photos} & set(every)
        target = self.beside / order.to
        if order.what == "copy":
            return plan_filing(every, copy=given, copy_to=target)
        return plan_filing(every, move=given, move_to=target)

    def _line(self, change: SidecarChange, choices: Mapping[str, Choice]) -> _Line:
        choice = choices[self._name(Path(change.result.path))]
        words = f"{_said(choice)}  {self._inside(change.sidecar)}"
        if change.action in ("change", "keep") and change.was is not None:
            kept = "was" if change.action == "change" else "stays"
            words += f"  ({kept} {stars_in_words(change.was)})"
        identity = f"{change.action} {change.sidecar} {change.before!r} {change.after!r}"
        return _Line(change.action, words, identity, change.error and self._told(change.error))

    def _filed(self, filed: Filed) -> _Line:
        identity = f"{filed.how} {filed.source} {filed.target}"
        error = filed.error and self._told(filed.error)
        return _Line(filed.how, self._inside(filed.source), identity, error)

    def _notes(self, order: Order) -> list[str]:
        program = program_named(order.program)
        if order.what == "sidecars":
            return list(program.limits) if program else []
        return [f"To {printable(self.beside.name)}/{order.to}, beside this folder."]

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self._folder)).as_posix()

    def _inside(self, path: Path) -> str:
        return printable(os.path.relpath(path, self._folder))

    def _told(self, error: str) -> str:
        """An error without where the folder is, which is nobody's business."""
        return printable(error.replace(f"{self._folder}{os.sep}", ""))

    def _logs(self) -> list[Path]:
        """Undo logs in the folder, the latest first."""
        if not self.writes:
            return []
        found = [
            p for p in self._folder.glob(f"nima-*{_UNDO}") if p.name.startswith((_STARS, _FILES))
        ]
        return sorted(found, key=lambda path: path.name.partition("-2")[2], reverse=True)

    def _log_name(self, kind: str) -> Path:
        return self._folder / f"{kind}{datetime.now():%Y%m%d-%H%M%S-%f}{_UNDO}"


def culling_routes(culling: Culling) -> APIRouter:
    """The addresses of choices and of what is written."""
    router = APIRouter()

    @router.get("/choices")
    async def choices() -> dict[str, Any]:
        return await asyncio.to_thread(culling.state)

    @router.put("/choices/{photo_id}", status_code=204)
    async def choose(photo_id: str, given: GivenChoice) -> None:
        try:
            await asyncio.to_thread(culling.choose, photo_id, given.choice())
        except PhotoError as error:
            raise RequestError("not-found", str(error)) from error

    @router.post("/plan")
    async def plan(order: Order) -> dict[str, Any]:
        return await asyncio.to_thread(culling.plan, order)

    @router.post("/write")
    async def write(order: Order) -> dict[str, Any]:
        return await asyncio.to_thread(culling.write, order)

    @router.post("/undo")
    async def undo(wanted: Undo) -> dict[str, Any]:
        return await asyncio.to_thread(culling.undo, wanted.log)

    return router


def _choice_store(folder: Path) -> ChoiceStore | None:
    try:
        return ChoiceStore(folder)
    except NimaError as error:
        _log.warning("%s; they stay in the browser", error)
        return None


def _not_here() -> RequestError:
    return RequestError(
        "writes-refused",
        "This server listens to other machines too and writes nothing but choices; "
        "start 'nima cull' on the machine that has the photos.",
    )


def _digest(lines: Iterable[_Line]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(line.identity.encode("utf-8", "surrogateescape") + b"\0")
    return found.hexdigest()


def _told(lines: Sequence[_Line], order: Order | None, notes: Sequence[str]) -> dict[str, Any]:
    """A plan, or what was done, for the page."""
    counts = Counter("fail" if line.error else line.action for line in lines)
    told = [line for line in lines if line.action != "same"]
    return {
        "summary": [
            f"{counts[action]} {words}" for action, words in _DONE.items() if counts[action]
        ],
        "lines": [line.error or line.words for line in told[:_LINES]],
        "more": max(0, len(told) - _LINES),
        "changes": sum(counts[action] for action in ("create", "change", "copy", "move")),
        "failed": counts["fail"],
        "notes": list(notes),
        "digest": None if order is None else _digest(lines),
    }


def _described(log: Path) -> dict[str, str]:
    """An undo log as people read it."""
    what = "stars" if log.name.startswith(_STARS) else "copied or moved files"
    text = log.name.removesuffix(_UNDO)[len(_STARS) :]
    try:
        when = datetime.strptime(text[:15], "%Y%m%d-%H%M%S")
    except ValueError:
        return {"log": log.name, "words": f"{what}: {printable(log.name)}"}
    return {"log": log.name, "words": f"{what}, {when:%Y-%m-%d %H:%M:%S}"}


def _said(choice: Choice) -> str:
    """A choice in a few words."""
    flag = {"pick": "picked", "reject": "rejected", None: ""}[choice.flag]
    parts = [flag, "★" * (choice.stars or 0), choice.colour or ""]
    return " ".join(part for part in parts if part) or "nothing"
