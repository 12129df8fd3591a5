"""What a person decided about the photos of a folder, kept in a file there."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias, get_args

from siamese_nima.curation.programs import COLOURS, DIGIKAM_ACCEPTED, DIGIKAM_REJECTED, REJECTED
from siamese_nima.curation.xmp import (
    CHOSEN_DIGIKAM_COLOUR,
    CHOSEN_DIGIKAM_PICK,
    CHOSEN_LABEL,
    CHOSEN_RATING,
    DIGIKAM_COLOUR,
    DIGIKAM_PICK,
    LABEL,
    OUR_DIGIKAM_COLOUR,
    OUR_DIGIKAM_PICK,
    OUR_LABEL,
    OUR_RATING,
    RATING,
    Name,
    Packet,
)
from siamese_nima.errors import ConfigError, NimaError

Flag: TypeAlias = Literal["pick", "reject"]

_NAME = "nima-choices.sqlite"
_APPLICATION_ID = 0x4E434843  # "NCHC": this and nothing else is written to
_TABLE = (
    "CREATE TABLE IF NOT EXISTS choice"
    "(path BLOB PRIMARY KEY, stars INTEGER, flag TEXT, colour TEXT) WITHOUT ROWID"
)
# Earlier versions knew chosen photos and no more.
_EARLIER = "SELECT 1 FROM sqlite_master WHERE name = 'chosen'"
_FROM_EARLIER = "INSERT OR IGNORE INTO choice SELECT path, NULL, 'pick', NULL FROM chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person decided about one photo.

    Attributes:
        stars: 1 to 5, or None.
        flag: "pick" or "reject", or None.
        colour: Its label, one of `COLOURS`, or None.
    """

    stars: int | None = None
    flag: Flag | None = None
    colour: str | None = None

    def __post_init__(self) -> None:
        if self.stars is not None and self.stars not in range(1, 6):
            raise ConfigError(f"stars are 1 to 5, not {self.stars}")
        if self.flag is not None and self.flag not in get_args(Flag):
            raise ConfigError(f"a photo is picked or rejected: pick or reject, not {self.flag!r}")
        if self.colour is not None and self.colour not in COLOURS:
            raise ConfigError(f"colours are {', '.join(COLOURS)}, not {self.colour!r}")

    @property
    def rating(self) -> int | None:
        """As xmp:Rating has it: 1 to 5 stars, -1 for a rejected photo, None for neither."""
        return REJECTED if self.flag == "reject" else self.stars

    def values(self, packet: Packet, *, overwrite: bool) -> dict[Name, str]:
        """Properties to write into a packet.

        What was written for an earlier choice, or from a score, is replaced; what the person
        marked in another program stays, unless `overwrite`.
        """
        values: dict[Name, str] = {}
        for name, chosen, ours, value in self._wanted():
            now = packet.value(name) or ""
            is_chosen = packet.value(chosen) == now
            if value is None:
                if is_chosen and now not in ("", "0"):
                    values |= {name: "" if name == LABEL else "0", chosen: ""}
            elif now in ("", "0") or is_chosen or packet.value(ours) == now or overwrite:
                values |= {name: value, chosen: value}
                if packet.value(ours):
                    values[ours] = ""  # no longer a score's, even where both say the same
        return values

    def differs(self, rating: float) -> bool:
        """Whether a rating that the person gave elsewhere speaks against this choice."""
        return self.rating is not None and rating != self.rating

    def persons(self, packet: Packet) -> float | None:
        """The rating that the person gave in another program, if it is another one; or None.

        Not a number where it cannot be read.
        """
        now = packet.persons_rating
        if self.rating is None or now is None or now == self.rating:
            return None
        return None if packet.value(CHOSEN_RATING) == f"{now:g}" else now

    def _wanted(self) -> Iterator[tuple[Name, Name, Name, str | None]]:
        """Properties: their names, where it stands that we wrote them for a choice and from a
        score, and their value."""
        rating = self.rating
        yield RATING, CHOSEN_RATING, OUR_RATING, None if rating is None else str(rating)
        label = self.colour and self.colour.capitalize()
        yield LABEL, CHOSEN_LABEL, OUR_LABEL, label
        pick = {"pick": DIGIKAM_ACCEPTED, "reject": DIGIKAM_REJECTED, None: None}[self.flag]
        yield DIGIKAM_PICK, CHOSEN_DIGIKAM_PICK, OUR_DIGIKAM_PICK, pick
        number = None if self.colour is None else str(COLOURS[self.colour])
        yield DIGIKAM_COLOUR, CHOSEN_DIGIKAM_COLOUR, OUR_DIGIKAM_COLOUR, number


class ChoiceStore:
    """A file of choices; may be used by threads, and by several programs at a time.

    A choice is on the disk when `choose` returns. Photos are known by their paths in the folder.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open, or make, the file of a folder.

        Raises:
            NimaError: It cannot be made or read, or is something else.
        """
        self.path = Path(folder) / _NAME
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                self.path, timeout=10, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise NimaError(f"{self.path}: choices cannot be kept ({error})") from error
        try:
            self._prepare()
        except BaseException as error:
            self._database.close()
            if isinstance(error, sqlite3.Error):
                raise NimaError(f"{self.path}: choices cannot be kept ({error})") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def choices(self) -> dict[str, Choice]:
        """All choices by path, relative to the folder; those that were taken back are empty.

        Raises:
            NimaError: The file cannot be read.
        """
        rows = self._asked("SELECT path, stars, flag, colour FROM choice")
        return {
            os.fsdecode(path): Choice(stars=stars, flag=flag, colour=colour)
            for path, stars, flag, colour in rows
        }

    def choose(self, path: str, choice: Choice) -> None:
        """Decide about a photo.

        Raises:
            NimaError: The file cannot be written.
        """
        values = (os.fsencode(path), choice.stars, choice.flag, choice.colour)
        self._asked("REPLACE INTO choice VALUES (?, ?, ?, ?)", *values)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _prepare(self) -> None:
        found = self._database.execute("PRAGMA application_id").fetchone()[0]
        empty = not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found != _APPLICATION_ID and not empty:
            raise NimaError(f"{self.path}: not a file of choices; move it elsewhere")
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._database.execute(_TABLE)
        if self._database.execute(_EARLIER).fetchone():
            self._database.execute(_FROM_EARLIER)
            self._database.execute("DROP TABLE chosen")
        self._database.execute("COMMIT")

    def _asked(
        self, statement: str, *values: bytes | int | str | None
    ) -> list[tuple[bytes, int | None, Flag | None, str | None]]:
        with self._lock:
            try:
                return self._database.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise NimaError(f"{self.path}: choices cannot be kept ({error})") from error
