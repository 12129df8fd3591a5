"""A run over a folder, as the terminal shows it: progress, results, summary, exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import typer
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

from siamese_nima.cli.weights import conversion_part
from siamese_nima.errors import PhotoError
from siamese_nima.photos.find import FoundPhotos, find_photos
from siamese_nima.photos.names import printable
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.catalogue import WEIGHT_SUFFIXES
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import CsvWriter, ResultWriter

_ERRORS_SHOWN = 20


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        # Over the whole run: photos come in small bursts, one per worker's batch.
        return Text(f"{task.completed / task.elapsed:.1f} photos/s" if task.elapsed else "")


class FolderRun:
    """Scores what the arguments of a command name, with a progress bar on a terminal.

    Use as a context manager around `results`, then call `end`.
    """

    def __init__(self, scorer: Scorer, patterns: Sequence[str], *, quiet: bool) -> None:
        self._scorer = scorer
        self._quiet = quiet
        self._found = find_photos(patterns)
        if not self._found.paths:
            raise PhotoError(f"no photo found in {', '.join(patterns)}{_skipped(self._found)}")
        self._errors: list[ScoredPhoto] = []
        self._seconds = 0.0
        self._progress = Progress(
            TextColumn("scoring"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )

    @property
    def console(self) -> Console:
        """Where results may be printed while the progress bar is shown."""
        return self._progress.console

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def results(self) -> Iterator[ScoredPhoto]:
        """One result per photo, in order; errors are counted and kept for the summary."""
        started = time.perf_counter()
        task = self._progress.add_task("scoring", total=len(self._found.paths))
        for result in self._scorer.score(self._found.paths):
            if result.error is not None:
                self._errors.append(result)
            yield result
            self._progress.advance(task)
        self._seconds = time.perf_counter() - started

    def end(self) -> None:
        """Print the summary; end the command with code 1 if a photo failed."""
        total, failed = len(self._found.paths), len(self._errors)
        if not self._quiet:
            rate = total / self._seconds if self._seconds else 0.0
            typer.echo(
                f"{total - failed} of {total} photos scored in {self._seconds:.1f} s "
                f"({rate:.1f} photos/s) by {self._scorer.model.model_id}"
                f"{_skipped(self._found)}",
                err=True,
            )
        for result in self._errors[:_ERRORS_SHOWN]:
            typer.echo(f"failed: {printable(result.error or '')}", err=True)
        if failed > _ERRORS_SHOWN:
            typer.echo(f"... and {failed - _ERRORS_SHOWN} more failed", err=True)
        if failed:
            raise typer.Exit(1)


def _skipped(found: FoundPhotos) -> str:
    counts = {
        "hidden": found.skipped_hidden,
        "not photos": found.skipped_other,
        "pipes or devices": found.skipped_special,
        "repeats": found.skipped_repeats,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"; skipped {', '.join(parts)}" if parts else ""


def result_printer(console: Console, scale: RatingScale, *, ranks: bool = False) -> ResultWriter:
    """Prints results on standard output: aligned on a terminal, CSV into a pipe."""
    if sys.stdout.isatty():
        return _TerminalWriter(console, scale, ranks=ranks)
    return CsvWriter(sys.stdout, scale)


class _TerminalWriter:
    def __init__(self, console: Console, scale: RatingScale, *, ranks: bool) -> None:
        # With the bar on the same terminal, rows must be printed above it by its own console.
        self._console = console if console.is_terminal else Console()
        self._ranks = ranks
        self._rank = 0
        rank = "  rank" if ranks else ""
        self._print(
            f"{rank}  score  spread  percentile  photo      (score {scale}, higher is better)"
        )

    def write(self, result: ScoredPhoto) -> None:
        self._rank += 1
        rank = f"{self._rank:6d}" if self._ranks else ""
        name = printable(result.path)
        if result.mean is None:
            self._print(f"{rank}      -       -           -  {name}  FAILED")
            return
        percentile = "-" if result.percentile is None else f"{result.percentile:.0f} %"
        self._print(f"{rank}{result.mean:7.2f}{result.spread:8.2f}{percentile:>12}  {name}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def open_scorer(
    model: str,
    *,
    view: str | None,
    batch_size: int,
    workers: int | None,
    device: str,
    exact: bool,
) -> Scorer:
    """A scorer for any kind of model the command line takes, weight files included."""
    if Path(model).suffix in WEIGHT_SUFFIXES:
        model = str(conversion_part().converted(model))
    return Scorer(
        model, view=view, batch_size=batch_size, workers=workers, device=device, exact=exact
    )
