"""A run over a folder, as the terminal shows it: progress, results, summary, exit code."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Self

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

from siamese_nima.errors import PhotoError
from siamese_nima.photos.find import FoundPhotos, find_photos
from siamese_nima.photos.names import printable
from siamese_nima.photos.read import PhotoSource
from siamese_nima.photos.shots import Shot, group_shots
from siamese_nima.photos.sources import Sources, listed_photos
from siamese_nima.scoring.model import Model
from siamese_nima.scoring.model_set import OnPhoto
from siamese_nima.scoring.ranking import RankPlace
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import Columns, CsvWriter, ResultWriter

ERRORS_SHOWN = 20
INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        # Over the whole run: photos come in small bursts, one per worker's batch.
        return Text(f"{task.completed / task.elapsed:.1f} photos/s" if task.elapsed else "")


class FolderRun:
    """Scores what the arguments of a command name, with a progress bar on a terminal.

    Use as a context manager around `results`, then call `end`.
    """

    def __init__(
        self,
        scorer: Scorer,
        patterns: Sequence[str],
        *,
        quiet: bool,
        on_photo: OnPhoto | None = None,
        apart: bool = True,
        found: Sources | None = None,
    ) -> None:
        """Find the photos.

        Args:
            scorer: Scores them.
            patterns: What the command line names.
            quiet: No bar and no summary.
            on_photo: As `Scorer.score` has it.
            apart: Every file is a photo of its own; else a camera raw file and its JPEG are one.
            found: What the patterns mean, where that is known already.

        Raises:
            PhotoError: There are none.
        """
        self._scorer = scorer
        self._on_photo = on_photo
        self._quiet = quiet
        self._found = found or _local(find_photos(patterns))
        self._skipped = skipped_text(self._found.skipped)
        if not self._found.photos:
            raise PhotoError(f"no photo found in {', '.join(patterns)}{self._skipped}")
        names = self._found.names
        self._shots = [Shot(name) for name in names] if apart else group_shots(names)
        self._total = len(self._shots) if self._found.plain else self._found.photos
        self._errors: list[str] = []
        self._done = self._failed = self._cached = 0
        self._seconds = 0.0
        self._results = self._scored()
        self._progress = photo_progress(quiet=quiet)

    @property
    def console(self) -> Console:
        """Where results may be printed while the progress bar is shown."""
        return self._progress.console

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._results.close()
        self._progress.stop()
        if kind is KeyboardInterrupt:
            total = self._total
            typer.echo(
                f"interrupted after {self._done} of {total} photos. {self._advice()}", err=True
            )
            raise typer.Exit(INTERRUPTED)

    def results(self) -> Iterator[ScoredPhoto]:
        """One result per photo, in order; errors are counted, the first kept for the summary."""
        return self._results

    def end(self, remark: str = "") -> None:
        """Print the summary and a remark; end the command with code 1 if a photo failed."""
        if not self._quiet:
            for line in (*self._summary(), remark):
                if line:
                    typer.echo(line, err=True)
        end_with_failures(self._errors, self._failed)

    def _scored(self) -> Generator[ScoredPhoto, None, None]:
        started = time.perf_counter()
        task = self._progress.add_task("scoring", total=self._total)
        with closing(self._of_shots() if self._found.plain else self._of_sources()) as results:
            for result in results:
                self._done += 1
                self._cached += all(r.cached for r in (result, *result.others.values()))
                if result.errors:
                    self._failed += 1
                    if len(self._errors) < ERRORS_SHOWN:
                        self._errors.append("; ".join(result.errors))
                yield result
                self._progress.advance(task)
        self._seconds = time.perf_counter() - started

    def _of_shots(self) -> Generator[ScoredPhoto, None, None]:
        return self._scorer.score_shots(self._shots, on_photo=self._on_photo)

    def _of_sources(self) -> Generator[ScoredPhoto, None, None]:
        """Photos in archives, tables and stores, each with what its source says of it."""
        begun: deque[Mapping[str, Any]] = deque()  # results come in the order of the photos

        def photos() -> Iterator[PhotoSource]:
            for listed in listed_photos(self._found):
                begun.append(listed.about)
                yield listed.photo

        with closing(self._scorer.score(photos(), on_photo=self._on_photo)) as results:
            for result in results:
                about = begun.popleft()
                yield replace(result, about=about) if about else result

    def _summary(self) -> Iterator[str]:
        total = self._total
        twins = self._found.photos - total
        rate = total / self._seconds if self._seconds else 0.0
        models = self._scorer.models
        yield (
            f"{total - self._failed} of {total} photos scored in {self._seconds:.1f} s "
            f"({rate:.1f} photos/s) by {', '.join(m.model_id for m in models.values())}"
            + (f"; {self._cached} from the cache" if self._cached else "")
            + (f"; {twins} more files of the same shots (--apart counts them)" if twins else "")
            + self._skipped
        )
        yield from population_lines(models)

    def _advice(self) -> str:
        if self._scorer.cache is None:
            return "Nothing is kept without a cache: the same command begins anew."
        return f"The same command goes on from there: results are kept in {self._scorer.cache}"


def _local(found: FoundPhotos) -> Sources:
    return Sources(parts=[list(found.names)] if found.names else [], skipped=found)


def photo_progress(*, quiet: bool) -> Progress:
    """A bar for photos, on a terminal that is not to be quiet."""
    return Progress(
        TextColumn("scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )


def end_with_failures(errors: Sequence[str], failed: int) -> None:
    """Name the first of the photos that failed; end the command with code 1 if there are any."""
    for error in errors:
        typer.echo(f"failed: {printable(error)}", err=True)
    if failed > len(errors):
        typer.echo(f"... and {failed - len(errors)} more failed", err=True)
    if failed:
        raise typer.Exit(1)


def population_lines(models: Mapping[str, Model]) -> Iterator[str]:
    """What percentiles are shares of, a line per model."""
    for name, model in models.items():
        if population := model.card.population:
            whose = f"percentile of {name}" if len(models) > 1 else "percentile"
            count = len(population.means)
            yield f"{whose}: share of {count} photos that score lower, {population.name}"


def skipped_text(found: FoundPhotos) -> str:
    """What a search passed over, as the end of a line; empty if nothing."""
    counts = {
        "hidden": found.skipped_hidden,
        "not photos": found.skipped_other,
        "pipes or devices": found.skipped_special,
        "repeats": found.skipped_repeats,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"; skipped {', '.join(parts)}" if parts else ""


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to call with photos done and photos in all; silent without a terminal."""
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
