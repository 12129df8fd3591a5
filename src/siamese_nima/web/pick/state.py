"""What the page shows, as JSON and in words."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from siamese_nima.photos.names import printable
from siamese_nima.taste.progress import Progress
from siamese_nima.taste.session import Pair, PickSession

_NAMED = 100  # photos that cannot be read; a folder may hold thousands


class PhotoIds:
    """Stand-ins for names of photos: addresses of the page tell nothing and reach nothing else."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        key = secrets.token_bytes(16)
        self._folder = folder
        self._names = {_digest(name, key): name for name in names}
        self._ids = {name: photo for photo, name in self._names.items()}

    def of(self, name: str) -> str:
        """The stand-in of a photo."""
        return self._ids[name]

    def name(self, photo: str) -> str | None:
        """The name of a photo; None where none has this stand-in."""
        return self._names.get(photo)

    def path(self, name: str) -> Path:
        """Where a photo is."""
        return self._folder / name


def _digest(name: str, key: bytes) -> str:
    return hashlib.blake2s(os.fsencode(name), key=key, digest_size=9).hexdigest()


def page_state(
    session: PickSession, ids: PhotoIds, unreadable: Mapping[str, str]
) -> dict[str, Any]:
    """All that the page shows."""
    progress = session.progress()
    return {
        "queue": [_pair(pair, ids) for pair in session.queue],
        "answers": progress.answers,
        "goal": progress.goal,
        "can_undo": progress.can_undo,
        "progress": progress_words(progress),
        "doubt": doubt_words(progress),
        "summary": summary(progress),
        "unreadable": [
            {"name": printable(name), "reason": printable(reason)}
            for name, reason in islice(unreadable.items(), _NAMED)
        ],
        "unreadable_count": len(unreadable),
    }


def _pair(pair: Pair, ids: PhotoIds) -> dict[str, Any]:
    sides = {"left": pair.left, "right": pair.right}
    photos = {side: {"id": ids.of(name), "name": printable(name)} for side, name in sides.items()}
    return {"number": pair.number, **photos}


def progress_words(progress: Progress) -> str:
    """How many answers there are.

    >>> nothing = {"repeated": 0, "same": 0, "decided": 0, "as_model": 0, "can_undo": False}
    >>> begun = Progress(
    ...     answers=37, flags=1, goal=200, wrong_before=0.27, wrong_now=0.24, **nothing
    ... )
    >>> progress_words(begun)
    '37 of 200 answers, 1 pair set aside'
    >>> doubt_words(begun)
    'Of 1000 of your choices, about 240 would be guessed wrong (270 before your answers).'
    """
    words = f"{progress.answers} of {progress.goal} answers"
    if progress.answers > progress.goal:
        words = f"{progress.answers} answers"
    return words + (f", {_counted(progress.flags, 'pair')} set aside" if progress.flags else "")


def doubt_words(progress: Progress) -> str:
    """How much is still uncertain."""
    # Of 1000: in a large folder, an answer moves less than one of 100.
    before, still = (round(1000 * share) for share in (progress.wrong_before, progress.wrong_now))
    since = f" ({before} before your answers)" if progress.answers else ""
    return f"Of 1000 of your choices, about {still} would be guessed wrong{since}."


def summary(progress: Progress) -> list[str]:
    """What there is to say at the end, or in between: sentences."""
    lines = [f"{_counted(progress.answers, 'answer')} on these photos."]
    if progress.flags:
        lines.append(f"{_counted(progress.flags, 'pair')} set aside.")
    if progress.decided:
        lines.append(
            f"You preferred what the model scores higher in {progress.as_model} of "
            f"{_counted(progress.decided, 'decision')}; many of them were close calls."
        )
    if progress.repeated:
        lines.append(
            f"You said the same again of {progress.same} of "
            f"{_counted(progress.repeated, 'pair')} shown twice."
        )
    if progress.answers:
        lines.append(doubt_words(progress))
    return lines


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
