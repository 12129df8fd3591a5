"""Tables and lists as spreadsheets and operating systems leave them; CSV rows that come back whole.

Every command reads tables and lists through here: UTF-8 with a byte order mark or without, UTF-16
(PowerShell's `>`), Windows-1252; commas, semicolons or tabs; decimal commas; backslashes in paths;
names in composed (NFC) or decomposed (NFD) letters.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

from siamese_nima.errors import NimaError, TableError, name_some

if TYPE_CHECKING:
    from _csv import Writer

MAX_TABLE_BYTES = 256 << 20
ABSENT = ("nan", "na", "n/a", "#n/a", "null")  # in small letters, how programs write an empty cell
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # Excel's own first line
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table with a header.

    Attributes:
        table: The file.
        line: The line it begins on, the header's being 1.
        cells: Text per column, without surrounding blanks.
        comma_is_decimal: Whether a comma in a number stands before its decimals.
    """

    table: Path
    line: int
    cells: Mapping[str, str]
    comma_is_decimal: bool = False

    def text(self, column: str) -> str:
        """The cell's text.

        Raises:
            TableError: The cell is empty.
        """
        if not self.cells[column]:
            raise TableError(f"{self.table} line {self.line}: column {column!r} is empty")
        return self.cells[column]

    def number(self, column: str) -> float:
        """The cell as a finite number; "20 %" is 20.

        Raises:
            TableError: The cell is empty or holds something else.
        """
        found = self.text(column)
        plain = found.removesuffix("%").rstrip()
        # Between commas, "1,234" in quotation marks could as well be a thousand.
        sure = self.comma_is_decimal or len(plain.rpartition(",")[2]) != 3
        decimal_comma = sure and _DECIMAL_COMMA.fullmatch(plain)
        try:
            value = float(plain.replace(",", ".") if decimal_comma else plain)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise TableError(
                f"{self.table} line {self.line}: column {column!r} holds {found!r}, wanted a number"
            )
        return value


class RowError(csv.Error):
    """A row that is no CSV.

    Attributes:
        line: The line it begins on.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def csv_writer(file: TextIO, delimiter: str = ",") -> Writer:
    """A writer as csv.writer, rows end in a newline.

    Args:
        file: Opened with newline="", or a StringIO.
        delimiter: What separates values.
    """
    return csv.writer(_EndsInNewline(file), delimiter=delimiter, lineterminator="\r\n")


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """The content of a CSV file of these rows, the header among them."""
    text = io.StringIO()
    csv_writer(text).writerows(rows)
    return text.getvalue()


def csv_lines(text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Rows, each with the line it begins on, the first being 1; empty lines are empty rows.

    Args:
        text: Read with newline="" or decoded from bytes, so that breaks inside values are kept.
        delimiter: What separates values.

    Raises:
        RowError: A quotation mark is not closed, or something follows a closed one.
    """
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in rows:
            yield line, cells
            line = rows.line_num + 1
    except csv.Error as error:
        raise RowError(line, str(error)) from error


def table_lines(
    path: Path, error: type[NimaError] = TableError
) -> tuple[str, Iterator[tuple[int, list[str]]]]:
    """The delimiter of a CSV file, and its rows with their lines, empty ones left out.

    Args:
        path: The file; commas, semicolons or tabs separate its cells, as its first line shows.
        error: Raised, also while the rows are read.

    Raises:
        NimaError: `error`: the file cannot be read, or a quotation mark is not closed.
    """
    text = read_text(path, error)
    before = 0
    if declared := _SEPARATOR_LINE.match(text):
        delimiter, text, before = declared[1], text[declared.end() :], 1
    else:
        header = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=header.count)

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            for line, cells in csv_lines(text, delimiter):
                if any(cell.strip() for cell in cells):
                    yield line + before, cells
        except RowError as problem:
            line = problem.line + before
            raise error(f"{path} line {line}: not a readable table ({problem})") from problem

    return delimiter, rows()


def read_table(path: Path, required: Sequence[str] = ()) -> list[TableRow]:
    """All rows of a text table with a header; commas, semicolons or tabs separate its columns.

    Empty lines are passed over; nothing else is.

    Raises:
        TableError: The file is missing, is no text, holds no row, lacks a required column, names a
            column twice, or a row has another number of cells than the header.
    """
    delimiter, lines = table_lines(path)
    numbered = [(line, [cell.strip() for cell in cells]) for line, cells in lines]
    if len(numbered) < 2:
        raise TableError(f"{path} holds no photo; wanted a header and one row per photo")
    (_, header), *rows = numbered
    if missing := [column for column in required if column not in header]:
        raise TableError(f"{path}: no column {missing[0]!r}, found {', '.join(header)}")
    if twice := [column for column in header if column and header.count(column) > 1]:
        raise TableError(f"{path}: the column {twice[0]!r} appears twice")
    if wrong := [line for line, cells in rows if len(cells) != len(header)]:
        raise TableError(
            f"{path} line {wrong[0]}: another number of cells than the {len(header)} columns "
            f"of the header ({len(wrong)} such lines: {name_some(wrong)})"
        )
    return [
        TableRow(path, line, dict(zip(header, cells, strict=True)), delimiter != ",")
        for line, cells in rows
    ]


def read_text(path: Path, error: type[NimaError] = TableError) -> str:
    """The text of a table or list, line breaks as they are in it.

    Raises:
        NimaError: `error`: the file is missing, a spreadsheet that must be exported first, no text
            or no file, or larger than `MAX_TABLE_BYTES`.
    """
    if path.suffix.lower() in _SPREADSHEETS:
        raise error(f"{path}: a spreadsheet; export the sheet as CSV and name that file")
    try:
        if stat.S_ISCHR(path.stat().st_mode):
            raise error(f"{path}: a device, not a table")
        with path.open("rb") as file:
            content = file.read(MAX_TABLE_BYTES + 1)
        _check_size(content, str(path), error)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror or problem})") from problem
    try:
        text = decode_text(content)
    except ValueError as problem:
        raise error(f"{path}: not a readable table ({problem})") from problem
    if "\0" in text:
        raise error(f"{path}: not a readable table (not a text file)")
    return text


def read_lines(
    file: IO[bytes] | IO[str], name: str, error: type[NimaError] = TableError
) -> list[str]:
    """The lines of a list that hold something, without their ends; see `as_on_disk`.

    Raises:
        NimaError: `error`: the list is no text, or larger than `MAX_TABLE_BYTES`.
    """
    content = file.read(MAX_TABLE_BYTES + 1)
    _check_size(content, name, error)
    try:
        text = decode_text(content) if isinstance(content, bytes) else content
    except ValueError as problem:
        raise error(f"{name}: not a readable list ({problem})") from problem
    return [line for part in text.split("\n") if (line := part.rstrip("\r"))]


def listed_names(lines: Sequence[str], name: str) -> Sequence[str]:
    """The names in a list; a CSV table with a column `path` and no other is one too.

    Args:
        lines: Each a name, taken literally; of a table names may stand in quotation marks.
        name: Of the list, for messages.

    Raises:
        TableError: A table with a quotation mark that is not closed.
    """
    if not lines or lines[0] != "path" or os.path.lexists("path"):
        return lines
    try:
        return [",".join(cells) for _, cells in csv_lines("\n".join(lines[1:]))]
    except RowError as problem:
        raise TableError(
            f"{name} line {problem.line + 1}: not a readable table ({problem})"
        ) from problem


def decode_text(content: bytes) -> str:
    """Text in UTF-8 or UTF-16, with a byte order mark or without.

    Bytes that are neither stay as surrogates, as in file names: they may be the name of a file on
    this machine, or letters in Windows-1252. `as_on_disk` and `as_written` tell these apart.

    Raises:
        ValueError: It begins as UTF-16 and does not go on so.

    >>> decode_text(codecs.BOM_UTF16_LE + "a;b".encode("utf-16-le"))
    'a;b'
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    start = content[:4096]
    if b"\0" in start:
        even, odd = start[0::2].count(0), start[1::2].count(0)
        if max(even, odd) > len(start) // 4:
            return content.decode("utf-16-be" if even > odd else "utf-16-le")
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def as_written(text: str) -> str:
    """Text whose undecoded bytes, if there are any, are read as UTF-8 or else as Windows-1252.

    UTF-8 is undecoded in names of files where the system's own encoding is another.

    >>> as_written("caf\\udce9"), as_written("caf\\udcc3\\udca9")
    ('café', 'café')
    """
    if not any("\udc80" <= letter <= "\udcff" for letter in text):
        return text
    content = text.encode("utf-8", "surrogateescape")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def same_name(name: str) -> str:
    """A name of a photo as it is compared with others, however each of them was spelled.

    >>> same_name("Day1\\\\cafe\\u0301.jpg") == same_name("day1/CAFÉ.jpg")
    True
    """
    return unicodedata.normalize("NFC", as_written(name).replace("\\", "/")).casefold()


def as_on_disk(name: str, folder: Path | None = None) -> Path:
    """The file that a name in a table or list means.

    The name itself where it exists; else the same name read as Windows-1252, in composed or
    decomposed letters, or with its backslashes as separators; else the only one in its folder that
    differs in upper and lower case alone; the name itself where none exists.

    Args:
        name: Absolute, or relative to `folder`.
        folder: None for the current folder.
    """
    base = Path() if folder is None else folder
    for spelling in spellings(name):
        if os.path.lexists(base / spelling):
            return base / spelling
    for spelling in spellings(name):
        if (found := _in_other_case(base / spelling)) is not None:
            return found
    return base / name


def _in_other_case(path: Path) -> Path | None:
    try:
        found = path.parent.stat()
        name = _names_in(str(path.parent), found.st_ino, found.st_mtime_ns).get(
            same_name(path.name)
        )
    except (OSError, ValueError):
        return None
    return path.with_name(name) if name else None


@lru_cache(maxsize=64)
def _names_in(folder: str, *state: int) -> dict[str, str]:
    """Names in a folder by `same_name`, "" where two are the same; read once while they stay."""
    del state
    names: dict[str, str] = {}
    for name in os.listdir(folder):  # noqa: PTH208 -- of lists with millions of names
        key = same_name(name)
        names[key] = "" if key in names else name
    return names


def spellings(name: str) -> Iterator[str]:
    """A name as it stands, and the ways in which another system may have spelled it."""
    if name.isascii() and "\\" not in name:
        yield name
        return
    for separated in dict.fromkeys((name, name.replace("\\", "/"))):
        for decoded in dict.fromkeys((separated, as_written(separated))):
            for form in (None, "NFC", "NFD"):
                other = unicodedata.normalize(form, decoded) if form else decoded
                if form is None or other != decoded:
                    yield other
                    if (local := _as_system_has_it(other)) != other:
                        yield local


def _as_system_has_it(name: str) -> str:
    """The name whose bytes are UTF-8, also where the system's own encoding is another."""
    try:
        return os.fsdecode(name.encode("utf-8", "surrogateescape"))
    except UnicodeError:
        return name


def _check_size(content: bytes | str, name: str, error: type[NimaError]) -> None:
    if len(content) > MAX_TABLE_BYTES:
        raise error(f"{name}: larger than {MAX_TABLE_BYTES >> 20} MB, which no table is; divide it")


@dataclass(frozen=True, slots=True)
class _EndsInNewline:
    """Lets rows end in a newline although their writer ends them in CR and LF.

    Python's csv quotes a CR inside a value, as file names may have, only if rows end in one.
    """

    file: TextIO

    def write(self, row: str) -> None:
        self.file.write(row.removesuffix("\r\n") + "\n")
