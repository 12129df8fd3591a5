"""Rating tables of one's own: a CSV with a photo per row and votes, grades or scores in columns.

What the columns hold is told by their names and checked by their cells: votes are counts or shares
per grade, grades are one column per rater, scores are means. Where a table gives scores beside
votes or grades, these must lead to the scores, or are not taken for ratings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from siamese_nima.csv_rows import ABSENT, TableRow, as_written, read_table
from siamese_nima.datasets.rating_table import RatingTable, photo_paths
from siamese_nima.datasets.splits import split_name
from siamese_nima.datasets.table_columns import (
    PER_GRADE,
    VOTES,
    TableColumns,
    detect_columns,
    listed,
    scale_of_votes,
)
from siamese_nima.errors import TableError, name_some
from siamese_nima.ratings import Floats, RatingScale, mean, spread_limits

_STARS = RatingScale(1, 5)
_AGREE = 0.99  # correlation above which votes and scores say the same
_FEW_ROWS = 8  # with fewer rows cells prove little about what they are
_BAD_CELLS = 40  # named in a message

Kind = Literal["votes", "shares", "grades", "scores"]


@dataclass(frozen=True, slots=True)
class TableReading:
    """What a source of ratings was understood to say.

    Attributes:
        table: Its photos and ratings.
        columns: Which column of a CSV holds what; None for a published set.
        kind: Which of these the ratings were made of; None for a published set.
        notes: Where another reading is possible, and how to ask for it.
    """

    table: RatingTable
    columns: TableColumns | None = None
    kind: Kind | None = None
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> str:
        """The columns used, in words; "" for a published set."""
        columns = self.columns
        if columns is None or self.kind is None:
            return ""
        ratings = {
            "votes": f"votes from {listed(columns.votes)}",
            "shares": f"shares of the votes from {listed(columns.votes)}",
            "grades": f"grades of {len(columns.grades)} raters from {listed(columns.grades)}",
            "scores": f"scores from {columns.mos!r}",
        }
        parts = [f"photos from {columns.path!r}", ratings[self.kind]]
        if self.kind == "scores" and columns.spread:
            parts.append(f"spread from {columns.spread!r}")
        if self.kind in ("scores", "shares") and columns.raters:
            parts.append(f"number of raters from {columns.raters!r}")
        named = ("scene", "subset", "split")
        parts += [f"{name} from {column!r}" for name in named if (column := getattr(columns, name))]
        return ", ".join(parts)


def read_own_table(
    table: Path,
    *,
    photos: Path | None = None,
    columns: TableColumns | Mapping[str, str] | None = None,
    scale: RatingScale | None = None,
    raters: int | None = None,
) -> TableReading:
    """Read a CSV (or text with semicolons or tabs) with a header and one photo per row.

    Args:
        table: The file.
        photos: Folder that relative photo names start from; None for the table's own.
        columns: Which column holds what, or from such names ("votes") to columns ("v1..v5"), which
            are used in place of those told by name; None to tell all by name, see
            `detect_columns`.
        scale: The scale of the ratings. Needed for scores and grades; votes in columns such as
            v1..v5 say it themselves, stars are on 1..5.
        raters: How many people rated each photo, where no column says so.

    Returns:
        A table in the order of the file. Photos that are not on the disk are in it, see
        `check_photos`. A row without a scene is a scene of its own.

    Raises:
        TableError: The file is missing or malformed, cells are empty or hold something else (all
            are listed), or the scale of scores is not given.
    """
    rows = read_table(table)
    header = tuple(rows[0].cells)
    if isinstance(columns, TableColumns):
        chosen = columns
    else:
        chosen = detect_columns(table, header, columns)
    if lacking := [name for name in chosen.names if name not in header]:
        raise TableError(f"{table}: no column {lacking[0]!r}, found {', '.join(header)}")
    _refuse(
        table,
        (
            f"line {row.line}: column {chosen.path!r} is empty"
            for row in rows
            if not row.cells[chosen.path]
        ),
    )
    names = [row.cells[chosen.path] for row in rows]
    paths = photo_paths(photos or table.parent, names)
    _refuse(table, _repeated(rows, paths))
    bare = RatingTable(
        paths=paths,
        mos=np.zeros(len(rows)),
        scale=RatingScale(0, 1),
        scenes=_scenes(rows, names, chosen.scene),
        subsets=_texts(rows, chosen.subset),
        splits=tuple(split_name(split) for split in _texts(rows, chosen.split)),
    )
    notes: list[str] = []
    if not isinstance(columns, TableColumns) and "votes" not in (columns or {}):
        chosen = _tested(chosen, rows, scale, notes)
    return _with_ratings(bare, rows, chosen, scale, raters, notes)


def _tested(
    columns: TableColumns, rows: Sequence[TableRow], scale: RatingScale | None, notes: list[str]
) -> TableColumns:
    """The columns that the cells bear out: votes or grades where they lead to the scores given."""
    if columns.votes and not columns.mos and _are_grades(rows, columns.votes, scale):
        notes.append(
            f"{listed(columns.votes)} hold a grade in every cell, so they are read as the grades "
            "of one rater each; if they are counts of votes, say so: --columns "
            f"votes={listed(columns.votes)}"
        )
        return replace(columns, votes=(), grades=columns.votes)
    names = columns.votes or columns.grades
    if not columns.mos and all(map(PER_GRADE.fullmatch, columns.grades)):
        return _votes_or_grades(columns, rows, scale, notes)
    if not columns.mos or not names:
        return columns
    scores = _numbers(rows, (columns.mos,))[:, 0]
    for kind in ("votes", "grades"):
        found = _means_of(kind, rows, names)
        if found is not None and _agree(found, scores):
            votes, grades = (names, ()) if kind == "votes" else ((), names)
            return replace(columns, votes=votes, grades=grades, mos=None)
    notes.append(
        f"{listed(names)} do not lead to the scores in {columns.mos!r}, which are used; if they "
        f"are ratings, say so: --columns votes={listed(names)} or --columns "
        f"grades={listed(names)}"
    )
    return replace(columns, votes=(), grades=())


def _votes_or_grades(
    columns: TableColumns, rows: Sequence[TableRow], scale: RatingScale | None, notes: list[str]
) -> TableColumns:
    """Columns such as rating_1..rating_5: of a rater each, or counts of a grade each."""
    names = columns.grades
    cells = None if scale is None or scale.size != len(names) else _means_of("votes", rows, names)
    if not names or scale is None or cells is None:
        return columns
    values = _numbers(rows, names)
    if np.all((values >= scale.low) & (values <= scale.high)):
        notes.append(
            f"{listed(names)} are read as the grades of one rater each; if they are counts of "
            f"votes, say so: --columns votes={listed(names)}"
        )
        return columns
    notes.append(
        f"{listed(names)} hold numbers outside the scale {scale} and are as many as its grades, "
        "so they are read as counts of votes"
    )
    return replace(columns, votes=names, grades=())


def _with_ratings(
    bare: RatingTable,
    rows: Sequence[TableRow],
    columns: TableColumns,
    scale: RatingScale | None,
    raters: int | None,
    notes: list[str],
) -> TableReading:
    kind: Kind
    if columns.votes:
        rated, kind = _with_votes(bare, rows, columns, scale, raters, notes)
    elif columns.grades:
        rated, kind = _with_grades(bare, rows, columns, scale, notes), "grades"
    else:
        rated, kind = _with_scores(bare, rows, columns, scale, raters, notes), "scores"
    if not rated.ratings_differ:
        notes.append(
            f"all {len(rated)} photos are rated {rated.mos[0]:g}: nothing can be learnt from them, "
            "and no model judged"
        )
    if columns.split and (odd := sorted({*rated.splits} - {"", "train", "val", "test"})):
        notes.append(f"splits {name_some(odd)} are none of train, val and test")
    return TableReading(rated, columns, kind, tuple(notes))


def _means_of(kind: str, rows: Sequence[TableRow], names: tuple[str, ...]) -> Floats | None:
    """Means under a reading; None where cells do not fit it."""
    try:
        cells = _numbers(rows, names, empty=kind == "grades")
    except TableError:
        return None
    if kind == "grades":
        return np.asarray(np.nanmean(cells, axis=1))
    if cells.min() < 0 or not cells.sum(axis=1).all():
        return None
    return np.asarray(cells @ np.arange(cells.shape[1]) / cells.sum(axis=1))


def _agree(means: Floats, scores: Floats) -> bool:
    if np.ptp(means) == 0 or np.ptp(scores) == 0:
        return bool(np.ptp(means) == np.ptp(scores))
    return len(means) == 2 or bool(np.corrcoef(means, scores)[0, 1] > _AGREE)


def _are_grades(
    rows: Sequence[TableRow], names: tuple[str, ...], scale: RatingScale | None
) -> bool:
    """Whether columns named as votes can only be a grade per rater."""
    try:
        cells = _numbers(rows, names, empty=True)
    except TableError:
        return False
    if not np.all(np.isnan(cells) | (cells == np.floor(cells))):
        return False
    if scale is not None and scale.size != len(names):
        return bool(np.nanmin(cells) >= scale.low and np.nanmax(cells) <= scale.high)
    # As counts every grade would have got a vote for every photo, and none more than there are
    # grades; counts of so few votes have zeros.
    top = len(names) if scale is None else scale.high
    return len(rows) >= _FEW_ROWS and bool(np.nanmin(cells) >= 1 and np.nanmax(cells) <= top)


def _with_votes(
    bare: RatingTable,
    rows: Sequence[TableRow],
    columns: TableColumns,
    scale: RatingScale | None,
    raters: int | None,
    notes: list[str],
) -> tuple[RatingTable, Kind]:
    table = rows[0].table
    scale = scale or scale_of_votes(table, columns.votes)
    if scale.size != len(columns.votes):
        raise TableError(
            f"{table}: {len(columns.votes)} columns of votes for the {scale.size} grades "
            f"of the scale {scale}; if each column is a rater, say so: --columns "
            f"grades={listed(columns.votes)}"
        )
    votes = _numbers(rows, columns.votes, wrong=_no_votes)
    totals = votes.sum(axis=1)
    whole = bool(np.all(votes == np.floor(votes)))
    as_shares = any(np.allclose(totals, one, rtol=0.02 * (not whole)) for one in (1, 100))
    told = _rater_counts(rows, columns, raters)
    # Of whole numbers, only with a number of raters that is another one.
    shares = as_shares and (not whole or (told is not None and not np.array_equal(told, totals)))
    known = None
    if shares:
        votes = votes / totals[:, None]
        known = told
        votes = votes if known is None else votes * known[:, None]
    elif as_shares and told is None:
        notes.append(
            f"the votes of every photo add up to {totals[0]:g}; if they are shares, say how many "
            "people rated each photo: --raters N"
        )
    elif told is not None and not np.array_equal(told, totals):
        notes.append("the votes themselves say how many people rated; no other number is used")
    means = mean(votes / votes.sum(axis=1, keepdims=True), scale)
    rated = replace(bare, votes=votes, mos=means, scale=scale, raters=known)
    return rated, "shares" if shares else "votes"


def _with_grades(
    bare: RatingTable,
    rows: Sequence[TableRow],
    columns: TableColumns,
    scale: RatingScale | None,
    notes: list[str],
) -> RatingTable:
    table = rows[0].table
    cells = _numbers(rows, columns.grades, empty=True, scale=scale)
    lowest, highest = float(np.nanmin(cells)), float(np.nanmax(cells))
    if scale is None:
        raise TableError(
            f"{table}: grades in {listed(columns.grades)} need a scale; they are {lowest:g} to "
            f"{highest:g}; give the lowest and the highest grade that people could give, such as "
            "--scale 1..5"
            + (
                f". If they are counts of votes, say so: --columns votes={listed(columns.grades)}"
                if all(map(VOTES.fullmatch, columns.grades))
                else ""
            )
        )
    given = ~np.isnan(cells)
    counts, means = given.sum(axis=1), np.nanmean(cells, axis=1)
    if np.all(cells[given] == np.floor(cells[given])):
        places = np.where(given, cells - scale.low, 0).astype(np.intp)
        votes = np.zeros((len(rows), scale.size))
        for row, (place, real) in enumerate(zip(places, given, strict=True)):
            votes[row] = np.bincount(place[real], minlength=scale.size)
        return replace(bare, votes=votes, mos=means, scale=scale)
    notes.append("grades between the whole ones: used are their mean, spread and number")
    spread = np.nanstd(cells, axis=1)
    return replace(bare, mos=means, scale=scale, spread=spread, raters=counts.astype(np.float64))


def _with_scores(
    bare: RatingTable,
    rows: Sequence[TableRow],
    columns: TableColumns,
    scale: RatingScale | None,
    raters: int | None,
    notes: list[str],
) -> RatingTable:
    table = rows[0].table
    assert columns.mos is not None  # TableColumns holds ratings of some kind
    needed = tuple(name for name in (columns.mos, columns.spread) if name is not None)
    bad: list[str] = []
    cells = _numbers(
        *(rows, needed),
        scale=scale,
        scaled=(columns.mos,),
        wrong=lambda row, found: _no_spread(row, columns.spread, found, scale),
        bad=bad,
    )
    if columns.raters is not None and raters is None:
        _numbers(rows, (columns.raters,), wrong=_no_rater, bad=bad)
    _refuse(table, bad)
    mos, spread = cells[:, 0], cells[:, 1] if columns.spread else None
    if scale is None and columns.mos.casefold() == "stars" and np.all((mos >= 1) & (mos <= 5)):
        scale = _STARS
        notes.append("stars are taken to be on 1..5; --scale names another scale")
    if scale is None:
        raise TableError(
            f"{table}: scores in column {columns.mos!r} need a scale; they are {mos.min():g} to "
            f"{mos.max():g}; give the lowest and the highest score that people could give, such as "
            "--scale 1..5"
        )
    if spread is not None:
        raised = int((spread < spread_limits(mos, scale)[0] - 1e-9).sum())
        if raised and scale.size > 2:
            notes.append(
                f"{raised} spreads are smaller than whole grades with that mean can have; the "
                "smallest possible one is used"
            )
    return replace(
        bare, mos=mos, scale=scale, spread=spread, raters=_rater_counts(rows, columns, raters)
    )


def _no_votes(row: TableRow, counts: Floats) -> str | None:
    if counts.min() >= 0 and counts.sum() > 0:
        return None
    return f"line {row.line}: wanted votes, found {counts.tolist()}"


def _no_spread(
    row: TableRow, column: str | None, found: Floats, scale: RatingScale | None
) -> str | None:
    """What is wrong with a standard deviation beside a mean."""
    if column is None or scale is None:
        return None
    score, own = found
    limit = np.sqrt(max(0.0, (score - scale.low) * (scale.high - score)))
    if 0 <= own <= limit * 1.05 + 0.05:
        return None
    return (
        f"line {row.line}: column {column!r} holds {own:g}; ratings on {scale} with the mean "
        f"{score:g} have a standard deviation of at most {limit:.3g}"
    )


def _no_rater(row: TableRow, count: Floats) -> str | None:
    return (
        None if count[0] >= 1 else f"line {row.line}: every photo needs a rater, not {count[0]:g}"
    )


def _rater_counts(
    rows: Sequence[TableRow], columns: TableColumns, raters: int | None
) -> Floats | None:
    if columns.raters is not None and raters is None:
        return np.asarray(_numbers(rows, (columns.raters,), wrong=_no_rater)[:, 0])
    return None if raters is None else np.full(len(rows), float(raters))


Wrong = Callable[[TableRow, Floats], str | None]


def _numbers(
    rows: Sequence[TableRow],
    names: Sequence[str],
    *,
    empty: bool = False,
    scale: RatingScale | None = None,
    scaled: Sequence[str] | None = None,
    wrong: Wrong | None = None,
    bad: list[str] | None = None,
) -> Floats:
    """The cells of some columns, shape (N, C); with `empty`, nan where there is none.

    Bad are cells that are empty, no numbers or not on the scale, if one is given, where `scaled`
    names the columns on it (None: all); and rows of numbers that are `wrong` in some way. All are
    added to the list `bad`, where there is one.

    Raises:
        TableError: Cells are bad, and there is no list for them.
    """
    refuse, bad = bad is None, [] if bad is None else bad
    bounded = () if scale is None else names if scaled is None else scaled
    cells = np.full((len(rows), len(names)), np.nan)
    for i, row in enumerate(rows):
        before = len(bad)
        none = [empty and _is_absent(row.cells[name]) for name in names]
        if all(none):
            bad.append(f"line {row.line}: no rater gave a grade")
        for j, name in enumerate(names):
            if none[j]:
                continue
            try:
                cells[i, j] = row.number(name)
            except TableError as error:
                bad.append(str(error).removeprefix(f"{row.table} "))
                continue
            if scale and name in bounded and not scale.low <= cells[i, j] <= scale.high:
                holds = f"column {name!r} holds {cells[i, j]:g}"
                bad.append(f"line {row.line}: {holds}, outside the scale {scale}")
        if wrong and len(bad) == before and (said := wrong(row, cells[i])):
            bad.append(said)
    if refuse:
        _refuse(rows[0].table, bad)
    return cells


def _is_absent(cell: str) -> bool:
    return not cell or cell.casefold() in (*ABSENT, "-")


def _refuse(table: Path, found: Iterable[str]) -> None:
    """Raises an error that lists all bad cells, if there are any."""
    bad = list(found)
    if len(bad) == 1:
        raise TableError(f"{table} {bad[0]}")
    if bad:
        shown = "\n  ".join(bad[:_BAD_CELLS])
        more = f"\n  and {len(bad) - _BAD_CELLS} more" if len(bad) > _BAD_CELLS else ""
        raise TableError(f"{table}: {len(bad)} cells or lines cannot be used:\n  {shown}{more}")


def _repeated(rows: Sequence[TableRow], paths: Sequence[Path]) -> Iterable[str]:
    """Lines that name a photo again."""
    lines: dict[Path, int] = {}
    for row, path in zip(rows, paths, strict=True):
        first = lines.setdefault(path, row.line)
        if first != row.line:
            yield f"line {row.line}: {path} appears twice in the rating table, also in line {first}"


def _scenes(rows: Sequence[TableRow], names: Sequence[str], column: str | None) -> tuple[str, ...]:
    if column is None:
        return tuple(names)
    return tuple(
        as_written(row.cells[column]) or name for row, name in zip(rows, names, strict=True)
    )


def _texts(rows: Sequence[TableRow], column: str | None) -> tuple[str, ...]:
    return () if column is None else tuple(as_written(row.cells[column]) for row in rows)
