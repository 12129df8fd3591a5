"""Answers as a CSV file: to keep, to look at in a spreadsheet, to carry to another machine."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from siamese_nima.atomic_write import write_whole
from siamese_nima.csv_rows import csv_writer, table_lines
from siamese_nima.errors import AnswerError
from siamese_nima.taste.answer import Answer

COLUMNS = ("left", "right", "choice", "person", "at", "seconds")
_NEEDED = ("left", "right", "choice", "at")


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write answers and flags to a CSV file, which replaces an older one when it is complete.

    Raises:
        AnswerError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv_writer(text)
    writer.writerow(COLUMNS)
    for answer in answers:
        seconds = "" if answer.seconds is None else repr(answer.seconds)
        writer.writerow(
            [answer.left, answer.right, answer.choice, answer.person, answer.at, seconds]
        )
    # Names of files need not be Unicode; their bytes go out as they are.
    write_whole(path, text.getvalue().encode(errors="surrogateescape"), AnswerError)


def read_answers(path: Path, *, person: str | None = None) -> list[Answer]:
    """Answers and flags of a CSV file with a header; commas, semicolons or tabs separate its cells.

    Columns are `left`, `right`, `choice` (left, right, tie or flag), `at`, and where they are known
    `person` and `seconds`. Other columns are an error.

    Args:
        path: The file.
        person: Who gave the answers, whatever the file says.

    Raises:
        AnswerError: The file cannot be read, or a line is none of an answer; the message names it.
    """
    _, rows = table_lines(path, AnswerError)
    _, cells = next(rows, (1, []))
    return list(_answers(path, rows, _checked_header(path, cells), person))


def _checked_header(path: Path, cells: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    wrong = [name for name in _NEEDED if name not in header]
    if wrong:
        raise AnswerError(
            f"{path} line 1: no column {wrong[0]!r}, found {', '.join(header) or 'nothing'}; "
            f"wanted {', '.join(COLUMNS)}"
        )
    odd = [name for name in header if name not in COLUMNS or header.count(name) > 1]
    if odd:
        raise AnswerError(
            f"{path} line 1: a column {odd[0]!r} too many; wanted {', '.join(COLUMNS)}"
        )
    return header


def _answers(
    path: Path, rows: Iterator[tuple[int, list[str]]], header: list[str], person: str | None
) -> Iterator[Answer]:
    for line, cells in rows:
        try:
            yield _answer(header, cells, person)
        except AnswerError as error:
            raise AnswerError(f"{path} line {line}: {error}") from error


def _answer(header: list[str], cells: list[str], person: str | None) -> Answer:
    if len(cells) != len(header):
        raise AnswerError(f"{len(cells)} cells, wanted {len(header)}")
    row = dict(zip(header, cells, strict=True))
    more = {"person": name} if (name := person or row.get("person")) else {}
    return Answer(
        left=row["left"],
        right=row["right"],
        choice=row["choice"].strip().lower(),  # type: ignore[arg-type]
        at=row["at"].strip(),
        seconds=_seconds(row.get("seconds", "")),
        **more,
    )


def _seconds(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise AnswerError(f"seconds are {text!r}, wanted a number or nothing") from error
