"""A run over a folder, as the terminal shows it: progress, results, summary, exit code."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from siamese_nima.cli.streams import say
from siamese_nima.errors import PhotoError
from siamese_nima.photos.find import FoundPhotos, find_photos
from siamese_nima.photos.read import PhotoSource
from siamese_nima.photos.shots import Shot, group_shots
from siamese_nima.photos.sources import Sources, listed_photos
from siamese_nima.printable import counted, printable
from siamese_nima.scoring.model import Model
from siamese_nima.scoring.model_set import OnPhoto
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import Columns, CsvWriter, ResultWriter

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

ERRORS_SHOWN = 20  # kinds of errors
_NAMES_SHOWN = 3  # of photos with errors of one kind
INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


class FolderRun:
    """Scores what the arguments of a command name, with a progress bar on a terminal.

    Use as a context manager around `results`, then call `end`.

    Attributes:
        names: The photos.
        legend: Whether to say at the end what the numbers mean.
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
        without: Sequence[Path] = (),
    ) -> None:
        """Find the photos.

        Args:
            scorer: Scores them.
            patterns: What the command line names.
            quiet: No bar and no summary.
            on_photo: As `Scorer.score` has it.
            apart: Every file is a photo of its own; else a camera raw file and its JPEG are one.
            found: What the patterns mean, where that is known already.
            without: Folders that are not searched.

        Raises:
            PhotoError: There are none.
        """
        self._scorer = scorer
        self._on_photo = on_photo
        self._quiet = quiet
        self._found = found or _local(find_photos(patterns, without=without))
        self._skipped = skipped_text(self._found.skipped)
        if not self._found.photos:
            raise PhotoError(f"no photo found in {', '.join(patterns)}{self._skipped}")
        self.names = self._found.names
        self._shots = [Shot(name) for name in self.names] if apart else group_shots(self.names)
        self._total = len(self._shots) if self._found.plain else self._found.photos
        # Whoever looks is told once what the numbers mean; a file that keeps the output, always.
        first_run = scorer.cache is not None and not scorer.cache.exists()
        self.legend = first_run or not sys.stderr.isatty()
        self._failures = Failures()
        self._done = self._cached = 0
        self._seconds = 0.0
        self._results = self._scored()
        self._progress = photo_progress(quiet=quiet)

    @property
    def console(self) -> Console | None:
        """Where results must be printed while a progress bar is shown, if one is."""
        return self._progress.console

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._results.close()
        self._progress.stop()
        if kind is KeyboardInterrupt:
            say(f"interrupted after {self._done} of {self._total} photos. {self._advice()}")
            raise typer.Exit(INTERRUPTED)

    def results(self) -> Iterator[ScoredPhoto]:
        """One result per photo, in order; errors are counted for the summary."""
        return self._results

    def end(self, remark: str = "") -> None:
        """Print the summary and a remark; end the command with code 1 if a photo failed.

        A remark without a full stop ends the line of the summary on a terminal.
        """
        if not self._quiet:
            short = sys.stderr.isatty() and bool(remark) and not remark.endswith(".")
            say(f"{self._summary()}; {remark}" if short else self._summary())
            if remark and not short:
                say(remark)
            if self.legend:
                for line in population_lines(self._scorer.models):
                    say(line)
        self._failures.end()

    def _scored(self) -> Generator[ScoredPhoto, None, None]:
        started = time.perf_counter()
        task = self._progress.add_task("scoring", total=self._total)
        with closing(self._of_shots() if self._found.plain else self._of_sources()) as results:
            for result in results:
                self._done += 1
                self._cached += all(r.cached for r in (result, *result.others.values()))
                if result.errors:
                    self._failures.add("; ".join(result.errors), result.path)
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

    def _summary(self) -> str:
        total, failed = self._total, self._failures.count
        models = [model.model_id for model in self._scorer.models.values()]
        if sys.stderr.isatty():
            count = f"{total - failed} of {total} photos" if failed else counted(total, "photo")
            names = ", ".join(model.partition("@")[0] for model in models)
            text = f"{count}, {self._seconds:.1f} s, {names}"
        else:
            rate = total / self._seconds if self._seconds else 0.0
            text = (
                f"{total - failed} of {total} photos scored in {self._seconds:.1f} s "
                f"({rate:.1f} photos/s) by {', '.join(models)}"
            )
        twins = self._found.photos - total
        return (
            text
            + (f"; {self._cached} from the cache" if self._cached else "")
            + (f"; {twins} more files of the same shots (--apart counts them)" if twins else "")
            + self._skipped
        )

    def _advice(self) -> str:
        if self._scorer.cache is None:
            return "Nothing is kept without a cache: the same command begins anew."
        return f"The same command goes on from there: results are kept in {self._scorer.cache}"


def _local(found: FoundPhotos) -> Sources:
    return Sources(parts=[list(found.names)] if found.names else [], skipped=found)


class Failures:
    """The photos that failed, those of one kind together.

    Attributes:
        count: How many.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kinds: dict[str, tuple[int, list[str]]] = {}

    def add(self, error: str, path: str = "") -> None:
        """Count an error, whose text begins with the photo's path."""
        self.count += 1
        kind = error.removeprefix(f"{path}: ") if path else error
        if kind in self._kinds or len(self._kinds) < ERRORS_SHOWN:
            number, names = self._kinds.get(kind, (0, []))
            self._kinds[kind] = number + 1, names + [path] * (len(names) < _NAMES_SHOWN)

    def end(self) -> None:
        """Say what failed; end the command with code 1 if there is anything."""
        for kind, (number, names) in self._kinds.items():
            if number == 1:
                say(printable(f"failed: {names[0]}: {kind}" if names[0] else f"failed: {kind}"))
                continue
            more = f" and {number - len(names)} more" if number > len(names) else ""
            named = f": {', '.join(names)}{more}" if names[0] else ""
            say(printable(f"failed: {number} photos: {kind.rstrip('.')}{named}"))
        unsaid = self.count - sum(number for number, _ in self._kinds.values())
        if unsaid:
            say(f"... and {unsaid} more failed")
        if self.count:
            raise typer.Exit(1)


class NoProgress:
    """What stands for a progress bar where nobody looks."""

    console = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def start(self) -> None:
        """Show nothing."""

    def stop(self) -> None:
        """Nothing is shown."""

    def add_task(self, what: str, total: int | None = None) -> Any:  # noqa: ARG002
        """Take on work of which nothing is shown."""
        return 0

    def advance(self, task: Any, by: float = 1) -> None:
        """Do not show that something was done."""


def photo_progress(*, quiet: bool) -> Progress | NoProgress:
    """A bar for photos, on a terminal that is not to be quiet."""
    if quiet or not sys.stderr.isatty():
        return NoProgress()
    from siamese_nima.cli.bars import photo_bar

    return photo_bar()


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
        "system folders": found.skipped_system,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"; skipped {', '.join(parts)}" if parts else ""


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to call with photos done and photos in all; silent without a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from siamese_nima.cli.bars import plain_bar

    with plain_bar(what) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def result_printer(
    console: Console | None, columns: Columns, out: str | Path | None = None
) -> ResultWriter:
    """Prints results on standard output: aligned on a terminal, CSV into a pipe or with "-"."""
    if sys.stdout.isatty() and out is None and not columns.only and not columns.distribution:
        from siamese_nima.cli.bars import TerminalWriter

        return TerminalWriter(console, columns)
    return CsvWriter(sys.stdout, columns)
