"""Which column of a rating table holds what, told by the names in use or by the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale

_KNOWN = {
    "path": (
        *("path", "file_name", "filename", "file", "image_name", "image_path", "image", "photo"),
        *("tile", "image_id", "photo_id", "img", "name", "id"),
    ),
    "mos": ("mos", "mean", "score", "rating", "stars"),
    "spread": ("spread", "std", "sd"),
    "raters": ("raters", "voters", "n", "c_total"),
    "scene": ("scene",),
    "subset": ("subset", "source_db"),
    "split": ("split", "set"),
}
VOTES = re.compile(
    r"(?:(?:v|c|n|votes?|counts?)[ _-]?)?(\d+)(?:[ _-]?(?:stars?|votes?|counts?))?", re.IGNORECASE
)
_RATERS = r"(?:raters?|users?|persons?|judges?|observers?|annotators?|participants?|subjects?)"
_GRADES = re.compile(
    rf"(?:r|{_RATERS}|grades?|ratings?)[ _-]?(\d+)|{_RATERS}[ _-]([a-z])", re.IGNORECASE
)
PER_GRADE = re.compile(r"(?:grade|rating)s?[ _-]?(\d+)", re.IGNORECASE)  # or counts per grade
_RANGE = re.compile(r"(.*?)(\d+)\.\.(?:\1)?(\d+)")
COLUMN_KINDS = (*_KNOWN, "votes", "grades")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """Which column of a CSV holds what; None where there is none.

    Attributes:
        path: Photo, absolute or relative to the folder of photos; an id where the ending is left
            out.
        votes: Vote counts or their shares, one column per grade, ascending.
        grades: The grade that a rater gave, one column per rater; empty cells are no grade.
        mos: Mean opinion scores.
        spread: Standard deviation of the votes; read beside scores.
        raters: How many people rated; read beside scores and shares.
        scene: Group of near-copies.
        subset: Part of the set.
        split: train, val or test; empty where the photo is yet to be divided.
    """

    path: str
    votes: tuple[str, ...] = ()
    grades: tuple[str, ...] = ()
    mos: str | None = None
    spread: str | None = None
    raters: str | None = None
    scene: str | None = None
    subset: str | None = None
    split: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that is named."""
        single = (self.path, self.scene, self.subset, self.split, self.mos, self.spread)
        names = (*single, self.raters, *self.votes, *self.grades)
        return tuple(name for name in names if name is not None)

    def __post_init__(self) -> None:
        if not (self.votes or self.grades or self.mos):
            raise TableError(
                "a rating table needs votes (columns such as v1, v2, ... v5), grades (a column per "
                "rater such as rater1, rater2) or scores (a column "
                f"{', '.join(_KNOWN['mos'][:-1])} or {_KNOWN['mos'][-1]}); say which of its own "
                "hold them, such as --columns grades=ann,bob, votes=bad,fair,good or mos=opinion"
            )


def detect_columns(
    table: Path, header: Sequence[str], named: Mapping[str, str] | None = None
) -> TableColumns:
    """Which column holds what, told by the names in use.

    Photos: path, file_name, filename, file, image_name, image_path, image, photo, tile, image_id,
    photo_id, img, name or id. Votes: v1, v2, ... (also 1, c1, vote_1, votes 1, count_1, 1 star).
    Grades: r1, r2, ... (also rater1, rater_a, user_1, judge1, observer1, annotator1, grade1,
    rating_1). Scores: mos, mean, score, rating or stars. Further: spread, std or sd; raters,
    voters, n or c_total; scene; subset or source_db; split or set. Upper and lower case do not
    matter.

    Args:
        table: The file, for messages.
        header: Its columns.
        named: Columns that the user names, by attribute of `TableColumns`; several are listed with
            commas or as a range ("v1..v5").

    Raises:
        TableError: No column of photos, neither votes, grades nor scores, or an unknown name.
    """
    given = {what: _expanded(text) for what, text in (named or {}).items()}
    fields = COLUMN_KINDS
    if unknown := [what for what in given if what not in fields]:
        raise TableError(f"columns: no {unknown[0]!r}; wanted one of {', '.join(fields)}")
    for what in _KNOWN.keys() & given.keys():
        if len(given[what]) > 1:
            raise TableError(f"columns: {what} is one column, got {', '.join(given[what])}")
    folded = {name.casefold(): name for name in header}
    given = {
        what: tuple(n if n in header else folded.get(n.casefold(), n) for n in names)
        for what, names in given.items()
    }

    def known(what: str) -> str | None:
        if what in given:
            return given[what][0]
        return next((folded[name] for name in _KNOWN[what] if name in folded), None)

    def numbered(what: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        if what in given:
            return given[what]
        if {"votes", "grades", "mos"} & set(given):
            return ()
        found = [(m, name) for name in header if (m := pattern.fullmatch(name))]
        places = sorted((_place(m.group(*range(1, pattern.groups + 1))), name) for m, name in found)
        return tuple(name for _, name in places) if len(places) > 1 else ()

    path = known("path")
    if path is None and {"winner", "loser"} <= {*folded}:
        raise TableError(
            f"{table}: pairs, a winner and a loser in each row; they are answers: nima pick "
            "answers import FOLDER TABLE, then nima learn FOLDER"
        )
    if path is None:
        raise TableError(
            f"{table}: no column of photos; wanted one of {', '.join(_KNOWN['path'])}, "
            f"found {', '.join(header)}"
        )
    asked = {"votes", "grades"} & set(given)
    try:
        return TableColumns(
            path=path,
            votes=numbered("votes", VOTES),
            grades=numbered("grades", _GRADES),
            mos=None if asked and "mos" not in given else known("mos"),
            spread=known("spread"),
            raters=known("raters"),
            scene=known("scene"),
            subset=known("subset"),
            split=known("split"),
        )
    except TableError as error:
        raise TableError(f"{table}: {error}; found {', '.join(header)}") from error


def _place(found: str | Sequence[str | None]) -> tuple[int, str]:
    """Where a column stands among those of its kind, by its number or letter."""
    groups = (found,) if isinstance(found, str) else found
    text = next(group for group in groups if group is not None)
    return (int(text), "") if text.isdigit() else (0, text.casefold())


def scale_of_votes(table: Path, columns: Sequence[str]) -> RatingScale:
    """The grades that columns of votes such as v1..v5 are of.

    Raises:
        TableError: Their names do not say consecutive grades.
    """
    grades = [int(found[1]) for name in columns if (found := VOTES.fullmatch(name)) is not None]
    if not grades or grades != list(range(grades[0], grades[0] + len(columns))):
        raise TableError(
            f"{table}: the grades of the vote columns {', '.join(columns)} are not consecutive "
            "numbers; name the scale"
        )
    return RatingScale(grades[0], grades[-1])


def _expanded(text: str) -> tuple[str, ...]:
    """Columns of a list such as "bad,fair,good" or "v1..v5"."""
    names: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if found := _RANGE.fullmatch(part):
            stem, first, last = found[1], int(found[2]), int(found[3])
            names += [f"{stem}{number}" for number in range(first, last + 1)]
        elif part:
            names.append(part)
    if not names:
        raise TableError(f"columns: no column named in {text!r}")
    return tuple(names)


def listed(names: Sequence[str]) -> str:
    """Columns in words, as `--columns` takes them."""
    return ",".join(names) if len(names) < 4 else f"{names[0]}..{names[-1]}"
