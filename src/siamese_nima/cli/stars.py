"""`nima stars`: scores as ratings that photo programs read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from siamese_nima.cli import options
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.cli.run import ERRORS_SHOWN, FolderRun
from siamese_nima.cli.streams import say, shell_quoted
from siamese_nima.curation.programs import PROGRAMS, REJECTED, program_named, stars_in_words
from siamese_nima.curation.sidecars import Naming, UndoLog, undo_stars
from siamese_nima.curation.stars import (
    PERCENTILES,
    By,
    PlanOptions,
    SidecarChange,
    StarRule,
    give_stars,
    plan_stars,
    write_stars,
)
from siamese_nima.errors import ConfigError
from siamese_nima.printable import printable
from siamese_nima.scoring.ranking import one_per_shot
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import DEFAULT_MODEL
from siamese_nima.scoring.tables import read_table

_DONE = {
    "create": "new sidecars",
    "change": "changed",
    "same": "up to date",
    "keep": "with a person's rating kept",
    "unread": "left out",
    "fail": "failed",
}


@grouped_options
def stars(
    photos: options.MaybePhotos = None,
    by: Annotated[
        str,
        options.one_of(
            get_args(By),
            "given: percentile among these photos; population: percentile among the model's "
            "reference photos; score.",
            metavar="WAY",
        ),
    ] = "given",
    bounds: Annotated[
        str | None,
        typer.Option(
            help="Where 2, 3, 4 and 5 stars begin: percentiles (10,30,70,90 by default), or scores."
        ),
    ] = None,
    reject_below: Annotated[
        float | None,
        typer.Option(help="Reject photos below this percentile or score; none by default."),
    ] = None,
    sidecars: Annotated[
        str,
        options.one_of(
            get_args(Naming),
            "full: a.jpg.xmp; stem: a.xmp; auto: what is there already.",
            metavar="NAMING",
        ),
    ] = "auto",
    program: Annotated[
        str | None,
        options.one_of(
            tuple(PROGRAMS),
            "Write where and how lightroom, darktable, digikam or captureone reads.",
            "--for",
            metavar="PROGRAM",
        ),
    ] = None,
    into_photos: Annotated[
        bool,
        typer.Option(
            "--into-photos",
            help="Write into the XMP inside of JPEG files; the undo log gives back every byte.",
        ),
    ] = False,
    pick_from: Annotated[
        int | None,
        typer.Option(min=1, max=5, help="Pick photos from so many stars on (digiKam)."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Colours by stars, such as 5=green,-1=red; red, yellow, green, blue, purple."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace ratings that a person gave.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="Take scores from this table of nima score in place of scoring."),
    ] = None,
    log: options.UndoLogFile = None,
    undo_log: Annotated[
        Path | None,
        typer.Option(
            "--undo", metavar="LOG", help="Put everything back as before the run of this log."
        ),
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    apart: options.Apart = False,
    *,
    scoring: Scoring,
) -> None:
    """Write scores as stars into XMP sidecars; never over a person's rating.

    Photos themselves are not written to, unless --into-photos says so.

    Example: nima stars holiday/ --dry-run
    """
    if sum((bool(photos), table is not None, undo_log is not None)) != 1:
        raise ConfigError("give one of: PHOTOS, --table, --undo")
    if undo_log:
        _undo(undo_log, quiet=scoring.quiet)
        return
    rule = StarRule(by=cast(By, by), bounds=_bounds(bounds, by), reject_below=reject_below)
    planned: PlanOptions = {
        "naming": cast(Naming, sidecars),
        "overwrite": overwrite,
        "apart": apart,
        "program": program,
        "into_photos": into_photos,
        "pick_from": pick_from,
        "labels": _labels(labels),
    }
    writing = Writing(planned, dry_run, log, scoring.quiet)
    if table:
        results = read_table(table) if apart else one_per_shot(read_table(table))
        writing.rate(results, rule)
        writing.end(results)
        return
    scorer = scoring.scorer(model)
    with FolderRun(scorer, photos or [], quiet=scoring.quiet, apart=apart) as folder_run:
        results = list(folder_run.results())
    writing.rate(results, rule)
    folder_run.end(writing.summary())
    writing.end([])


class Writing:
    """One run's stars on their way into sidecars, as the terminal shows them."""

    def __init__(self, planned: PlanOptions, dry_run: bool, log: Path | None, quiet: bool) -> None:
        self._planned = planned
        self._dry_run = dry_run
        self._log = log
        self._quiet = quiet
        self._counts: Counter[str] = Counter()
        self._stars: Counter[int] = Counter()

    def rate(self, results: Sequence[ScoredPhoto], rule: StarRule) -> None:
        """Write stars, or only show them; a line per file that would change."""
        given = give_stars(results, rule)
        self._stars.update(stars for stars in given if stars is not None)
        plan = plan_stars(results, given, **self._planned)
        with UndoLog(self._log or options.undo_log_name("stars")) as log:
            for entry in plan if self._dry_run else write_stars(plan, log):
                self._show(entry)
        if log.begun and not self._quiet:
            typer.echo(f"undo with: nima stars --undo {shell_quoted(str(log.path))}", err=True)

    def summary(self) -> str:
        """How many sidecars were made, changed, ..."""
        parts = [f"{self._counts[a]} {what}" for a, what in _DONE.items() if self._counts[a]]
        text = ", ".join(parts) or "no stars given"
        if self._stars:
            counts = (f"{self._stars[n]} with {n}" for n in (5, 4, 3, 2, 1) if self._stars[n])
            rejected = [f"{self._stars[REJECTED]} rejected"] if self._stars[REJECTED] else []
            text += f"; stars: {', '.join([*counts, *rejected])}"
        return f"dry run, nothing is written: {text}" if self._dry_run else text

    def end(self, results: Sequence[ScoredPhoto]) -> None:
        """End the command, with code 1 if a sidecar failed or a result has no score."""
        reader = program_named(self._planned["program"])
        if reader is not None and not self._quiet:
            if unread := self._counts["unread"]:
                say(
                    f"{unread} photos get no stars: {reader.title} does not read sidecars of them, "
                    "it looks inside; into JPEG files --into-photos writes"
                )
            for limit in reader.limits:
                say(f"note: {limit}")
        unrated = sum(result.mean is None for result in results)
        if results and not self._quiet:
            say(self.summary())
        failed = [result.error for result in results if result.error is not None]
        for error in failed[:ERRORS_SHOWN]:
            say(f"failed: {printable(error)}")
        if unrated:
            say(f"{unrated} photos have no score in the table and get no stars")
        if unrated or self._counts["fail"]:
            raise typer.Exit(1)

    def _show(self, entry: SidecarChange) -> None:
        self._counts[entry.action] += 1
        if entry.error is not None:
            say(f"failed: {printable(entry.error)}")
        elif entry.action not in ("same", "unread"):
            now = entry.was if entry.action == "keep" else entry.stars
            name = printable(str(entry.sidecar))
            typer.echo(f"{stars_in_words(now):8}  {_was(entry):12}  {name}")


def _undo(log: Path, *, quiet: bool) -> None:
    counts: Counter[str] = Counter()
    for done in undo_stars(log):
        counts[done.action] += 1
        if done.error is not None:
            say(f"failed: {printable(done.error)}")
    if not quiet:
        parts = [f"{count} {action}" for action, count in sorted(counts.items())]
        say(f"sidecars: {', '.join(parts) or 'nothing to undo'}")
    if counts["failed"]:
        raise typer.Exit(1)


def _bounds(text: str | None, by: str) -> tuple[float, ...]:
    if text is None:
        if by == "score":
            raise ConfigError("--by score needs --bounds: where 2, 3, 4 and 5 stars begin")
        return PERCENTILES
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--bounds {text}: wanted four numbers such as 10,30,70,90") from error


def _labels(text: str | None) -> dict[int, str]:
    try:
        parts = [part.partition("=") for part in text.split(",")] if text else []
        return {int(stars): colour.strip() for stars, _, colour in parts}
    except ValueError as error:
        raise ConfigError(f"--labels {text}: wanted stars and colours: 5=green,-1=red") from error


def _was(entry: SidecarChange) -> str:
    if entry.action == "keep":
        unknown = entry.was is not None and math.isnan(entry.was)
        return "rating unknown, left alone" if unknown else "yours, kept"
    return "" if entry.was is None else f"was {stars_in_words(entry.was)}"
