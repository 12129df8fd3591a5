"""Rows of a label file with a header, and the place of every mistake in it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.csv_rows import csv_lines
from siamese_nima.datasets.rating_table import name_some
from siamese_nima.errors import TableError

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row of a label file.

    Attributes:
        table: The file.
        line: Its line, the header being line 1.
        cells: Text per column, without surrounding blanks.
    """

    table: Path
    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """The cell's text.

        Raises:
            TableError: The cell is empty.
        """
        if not self.cells[column]:
            raise TableError(f"{self.table} line {self.line}: column {column!r} is empty")
        return self.cells[column]

    def number(self, column: str) -> float:
        """The cell as a finite number.

        Raises:
            TableError: The cell is empty or holds something else.
        """
        found = self.text(column)
        try:
            value = float(found)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise TableError(
                f"{self.table} line {self.line}: column {column!r} holds {found!r}, wanted a number"
            )
        return value


def read_label_rows(table: Path, required: Sequence[str] = ()) -> list[LabelRow]:
    """All rows of a text table with a header; commas, semicolons or tabs separate its columns.

    Empty lines are passed over; nothing else is.

    Raises:
        TableError: The file is missing, is no text, holds no row, lacks a required column, names a
            column twice, or a row has another number of cells than the header.
    """
    text = read_text(table)
    first, *_ = text.splitlines() or [""]
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        numbered = [
            (line, [cell.strip() for cell in cells])
            for line, cells in csv_lines(text, delimiter)
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise TableError(f"{table}: not a readable table ({error})") from error
    if len(numbered) < 2:
        raise TableError(f"{table} holds no photo; wanted a header and one row per photo")
    (_, header), *rows = numbered
    if missing := [column for column in required if column not in header]:
        raise TableError(f"{table}: no column {missing[0]!r}, found {', '.join(header)}")
    if twice := [column for column in header if column and header.count(column) > 1]:
        raise TableError(f"{table}: the column {twice[0]!r} appears twice")
    if wrong := [line for line, cells in rows if len(cells) != len(header)]:
        raise TableError(
            f"{table} line {wrong[0]}: another number of cells than the {len(header)} columns "
            f"of the header ({len(wrong)} such lines)"
        )
    return [LabelRow(table, line, dict(zip(header, cells, strict=True))) for line, cells in rows]


def read_text(table: Path) -> str:
    """The text of a label file, line breaks as they are in it.

    Raises:
        TableError: The file is missing or is no text; a spreadsheet must be exported first.
    """
    if table.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise TableError(f"{table}: a spreadsheet; export the sheet as CSV and name that file")
    try:
        return table.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"{table}: not a readable table ({reason})") from error


def photo_paths(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Where photos of these names lie below a folder, in order.

    Published label files disagree with the files in upper and lower case, and some name photos
    without the ending; a name with an ending matches whatever its case, one without matches the
    only photo of that stem. A photo that is not there keeps the path under which it was wanted.
    """
    listings: dict[Path, _Listing] = {}
    found = []
    for name in names:
        wanted = folder / name
        if wanted.parent not in listings:
            listings[wanted.parent] = _Listing(wanted.parent)
        found.append(listings[wanted.parent].find(wanted))
    return tuple(found)


class _Listing:
    def __init__(self, folder: Path) -> None:
        present = sorted(folder.iterdir()) if folder.is_dir() else []
        self._exact = {path.name for path in present}
        self._by_name = {path.name.casefold(): path for path in present}
        self._by_stem: dict[str, list[Path]] = {}
        for path in present:
            self._by_stem.setdefault(path.stem.casefold(), []).append(path)

    def find(self, wanted: Path) -> Path:
        if wanted.name in self._exact:
            return wanted
        if found := self._by_name.get(wanted.name.casefold()):
            return found
        same_stem = [] if wanted.suffix else self._by_stem.get(wanted.name.casefold(), [])
        return same_stem[0] if len(same_stem) == 1 else wanted


def first_existing(candidates: Sequence[Path], what: str) -> Path:
    """The first of the places where a data set is published that exists.

    Raises:
        TableError: None exists; names them all.
    """
    for path in candidates:
        if path.exists():
            return path
    raise TableError(f"{what} not found; looked for {name_some(candidates)}")
