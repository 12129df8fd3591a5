"""What a terminal shows of a run: bars that move, and results in lines."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from siamese_nima.cli.streams import fitting
from siamese_nima.scoring.ranking import RankPlace
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.tables import Columns

_LEAST_PATH = 20  # cells for a path, however narrow the terminal is


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        # Over the whole run: photos come in small bursts, one per worker's batch.
        return Text(f"{task.completed / task.elapsed:.1f} photos/s" if task.elapsed else "")


def photo_bar() -> Progress:
    """A bar for photos, with how many are done in a second."""
    return _bar(TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), _RateColumn())


def plain_bar(what: str) -> Progress:
    """A bar for work of some kind."""
    return _bar(TextColumn(what), BarColumn(), MofNCompleteColumn())


def _bar(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


class TerminalWriter:
    """One line per photo: its place, score and percentile, and as much of its path as fits."""

    def __init__(self, console: Console | None, columns: Columns) -> None:
        # With the bar on the same terminal, rows must be printed above it by its own console.
        self._console = console or Console()
        self._ranked = columns.ranked
        self._widths = []
        header = f"{'rank':>6}{'could be':>10}" if self._ranked else ""
        for name in columns.scales:
            title = name if len(columns.scales) > 1 else "score"
            self._widths.append(max(len(title), 5) + 2)
            header += f"{title:>{self._widths[-1]}}  percentile"
        self._print(f"{header}  photo")

    def write(self, result: ScoredPhoto, place: RankPlace | None = None) -> None:
        """Print a result."""
        line = _place(place) if self._ranked else ""
        results = (result, *result.others.values())
        for own, width in zip(results, self._widths, strict=True):
            line += f"{'-' if own.score is None else f'{own.score:.2f}':>{width}}"
            line += f"{'-' if own.percentile is None else f'{own.percentile:.0f} %':>12}"
        failed = "  FAILED" if result.errors else ""
        reason = f"  {result.about['reason']}" if result.about.get("reason") else ""
        room = self._console.width - len(line) - 2 - len(failed) - len(reason)
        self._print(f"{line}  {fitting(result.path, max(room, _LEAST_PATH))}{failed}{reason}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _place(place: RankPlace | None) -> str:
    if place is None:
        return f"{'-':>6}{'-':>10}"
    if place.best is None:
        span = "?"
    else:
        span = str(place.rank) if place.best == place.worst else f"{place.best}-{place.worst}"
    return f"{place.rank:>6}{span:>10}"
