"""CSV rows whose values all come back, whatever file names hold."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _csv import Writer


def csv_writer(file: TextIO) -> Writer:
    """A writer as csv.writer, rows end in a newline.

    Args:
        file: Opened with newline="", or a StringIO.
    """
    return csv.writer(_EndsInNewline(file), lineterminator="\r\n")


def csv_lines(text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Rows, each with the line it begins on, the first being 1; empty lines are empty rows.

    Args:
        text: Read with newline="" or decoded from bytes, so that breaks inside values are kept.
        delimiter: What separates values.

    Raises:
        csv.Error: A quotation mark is not closed, or something follows a closed one.
    """
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    for cells in rows:
        yield line, cells
        line = rows.line_num + 1


@dataclass(frozen=True, slots=True)
class _EndsInNewline:
    """Lets rows end in a newline although their writer ends them in CR and LF.

    Python's csv quotes a CR inside a value, as file names may have, only if rows end in one.
    """

    file: TextIO

    def write(self, row: str) -> None:
        self.file.write(row.removesuffix("\r\n") + "\n")
