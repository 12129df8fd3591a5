"""CSV rows whose values all come back, whatever file names hold."""

from __future__ import annotations

import csv
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


@dataclass(frozen=True, slots=True)
class _EndsInNewline:
    """Lets rows end in a newline although their writer ends them in CR and LF.

    Python's csv quotes a CR inside a value, as file names may have, only if rows end in one.
    """

    file: TextIO

    def write(self, row: str) -> None:
        self.file.write(row.removesuffix("\r\n") + "\n")
