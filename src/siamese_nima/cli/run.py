"""A run over a folder, as the terminal shows it: progress, results, summary, exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
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
from siamese_nima.photos.read import MAX_PIXELS
from siamese_nima.scoring.catalogue import WEIGHT_SUFFIXES
from siamese_nima.scoring.model_file import Model
from siamese_nima.scoring.panel import OnPhoto
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer

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
    ) -> None:
        self._scorer = scorer
        self._on_photo = on_photo
        self._quiet = quiet
        self._found = find_photos(patterns)
        if not self._found.names:
            raise PhotoError(f"no photo found in {', '.join(patterns)}{skipped_text(self._found)}")
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
            total = len(self._found.names)
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
        task = self._progress.add_task("scoring", total=len(self._found.names))
        with closing(self._scorer.score(self._found.names, on_photo=self._on_photo)) as results:
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

    def _summary(self) -> Iterator[str]:
        total = len(self._found.names)
        rate = total / self._seconds if self._seconds else 0.0
        models = self._scorer.models
        yield (
            f"{total - self._failed} of {total} photos scored in {self._seconds:.1f} s "
            f"({rate:.1f} photos/s) by {', '.join(m.model_id for m in models.values())}"
            + (f"; {self._cached} from the cache" if self._cached else "")
            + skipped_text(self._found)
        )
        yield from population_lines(models)

    def _advice(self) -> str:
        if self._scorer.cache is None:
            return "Nothing is kept without a cache: the same command begins anew."
        return f"The same command goes on from there: results are kept in {self._scorer.cache}"


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


def named_models(text: str) -> list[str]:
    """The models that `--model` names, separated by commas; a file may have commas in its name."""
    return [text] if Path(text).exists() else [name for name in text.split(",") if name]


def open_scorer(
    *models: str,
    view: str | None,
    batch_size: int,
    workers: int | None,
    device: str,
    exact: bool,
    cache: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Scorer:
    """A scorer for any kind of model the command line takes, weight files included."""
    return Scorer(
        [
            str(conversion_part().converted(model))
            if Path(model).suffix in WEIGHT_SUFFIXES
            else model
            for model in models
        ],
        view=view,
        batch_size=batch_size,
        workers=workers,
        device=device,
        exact=exact,
        cache=cache,
        max_pixels=max_pixels,
    )
