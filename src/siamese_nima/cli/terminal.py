"""Results as lines on a terminal."""

from __future__ import annotations

import sys

from rich.console import Console

from siamese_nima.photos.names import printable
from siamese_nima.scoring.ranking import RankPlace
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.tables import Columns, CsvWriter, ResultWriter


def result_printer(console: Console, columns: Columns) -> ResultWriter:
    """Prints results on standard output: aligned on a terminal, CSV into a pipe."""
    if sys.stdout.isatty():
        return _TerminalWriter(console, columns)
    return CsvWriter(sys.stdout, columns)


class _TerminalWriter:
    def __init__(self, console: Console, columns: Columns) -> None:
        # With the bar on the same terminal, rows must be printed above it by its own console.
        self._console = console if console.is_terminal else Console()
        self._ranked = columns.ranked
        self._several = len(columns.scales) > 1
        header = "  rank  could be" if self._ranked else ""
        if self._several:
            header += "".join(
                f"{f'{name} {scale}':>{_width(name)}}  percentile"
                for name, scale in columns.scales.items()
            )
            end = "photo      (higher is better)"
        else:
            (scale,) = columns.scales.values()
            header += "  score  spread  percentile"
            end = f"photo      (score {scale}, higher is better)"
        self._widths = [_width(name) if self._several else 7 for name in columns.scales]
        self._print(f"{header}  {end}")

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        line = _place(place) if self._ranked else ""
        results = (result, *result.others.values())
        for own, width in zip(results, self._widths, strict=True):
            line += f"{_number(own.mean):>{width}}"
            line += "" if self._several else f"{_number(own.spread):>8}"
            line += f"{'-' if own.percentile is None else f'{own.percentile:.0f} %':>12}"
        failed = "  FAILED" if result.errors else ""
        self._print(f"{line}  {printable(result.path)}{failed}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _width(name: str) -> int:
    return len(name) + len(" 1..10") + 2


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _place(place: RankPlace | None) -> str:
    if place is None:
        return f"{'-':>6}{'-':>10}"
    if place.best is None:
        span = "?"
    else:
        span = str(place.rank) if place.best == place.worst else f"{place.best}-{place.worst}"
    return f"{place.rank:>6}{span:>10}"
