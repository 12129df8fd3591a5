"""What one person said of two photos: 'this one is better'."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Literal, get_args

from siamese_nima.errors import AnswerError
from siamese_nima.photos.names import printable

Choice = Literal["left", "right", "tie", "flag"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
SOMEBODY = "me"  # who answers where no name is given

_LONGEST_PERSON = 80


def now() -> str:
    """The present moment as an answer notes it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person said of two photos.

    Attributes:
        left: The photo shown on the left: its path relative to the folder of photos, with slashes.
        right: The photo shown on the right, likewise; another one.
        choice: Which is better, "left" or "right"; "tie" for too close to call; "flag" for a pair
            that was set aside, which says nothing of which is better.
        person: Who answered.
        at: When, in ISO 8601 with a time zone.
        seconds: How long the pair was looked at; None where that is not known.
    """

    left: str
    right: str
    choice: Choice
    person: str = SOMEBODY
    at: str
    seconds: float | None = None

    def __post_init__(self) -> None:
        for photo in (self.left, self.right):
            _check_photo(photo)
        if self.left == self.right:
            raise AnswerError(
                f"left and right are both '{printable(self.left)}'; a pair needs two photos"
            )
        if self.choice not in CHOICES:
            raise AnswerError(f"the choice is {self.choice!r}, wanted {', '.join(CHOICES)}")
        check_person(self.person)
        _check_moment(self.at)
        if self.seconds is not None and not (self.seconds >= 0 and math.isfinite(self.seconds)):
            raise AnswerError(f"seconds must be 0 or more, got {self.seconds}")

    @property
    def pair(self) -> tuple[str, str]:
        """The two photos in alphabetical order: the same for every time the pair was shown."""
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)

    @property
    def better(self) -> str | None:
        """The photo that was preferred; None for a tie and a flag."""
        return {"left": self.left, "right": self.right}.get(self.choice)


def check_person(name: str) -> None:
    """Refuse what cannot be a person's name.

    Raises:
        AnswerError: It is empty, longer than 80 characters, or has characters that do not print.
    """
    if not (name.strip() and name.isprintable() and len(name) <= _LONGEST_PERSON):
        raise AnswerError(
            f"the person is '{printable(name)}'; wanted a name of 1 to {_LONGEST_PERSON} "
            "characters that print"
        )


def _check_photo(name: str) -> None:
    path = PurePosixPath(name)
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts or str(path) != name:
        raise AnswerError(
            f"the photo is '{printable(name)}'; wanted a path below the folder of photos, with "
            "slashes, such as day-1/beach.jpg"
        )


def _check_moment(text: str) -> None:
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise AnswerError(
            f"the moment is '{printable(text)}'; wanted ISO 8601 with a time zone, such as "
            "2026-05-01T09:30:00+00:00"
        )
