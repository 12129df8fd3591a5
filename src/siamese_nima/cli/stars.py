"""`nima stars`: scores as ratings that photo programs show."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast

import typer

from siamese_nima.cli import options
from siamese_nima.cli.scoring import Scoring, scoring_command
from siamese_nima.curation.scored_table import read_scored
from siamese_nima.curation.sidecars import Naming, UndoLog, undo_stars
from siamese_nima.curation.stars import PERCENTILES, By, Entry, StarRule, give_stars, plan_stars
from siamese_nima.errors import ConfigError, SidecarError
from siamese_nima.photos.names import printable
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import DEFAULT_MODEL

_DONE = {
    "create": "new sidecars",
    "change": "changed",
    "same": "up to date",
    "keep": "with a person's rating kept",
    "fail": "failed",
}


@scoring_command
def stars(
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders (searched recursively), globs, or - for a list on standard input.",
            metavar="PHOTOS",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="given: percentile among these photos; population: percentile among the model's "
            "reference photos; score."
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
        str, typer.Option(help="full: a.jpg.xmp; stem: a.xmp; auto: what is there already.")
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace ratings that a person gave.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would change, and write nothing.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="Take scores from this table of nima score in place of scoring."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Undo log to write; by default named by date and time.")
    ] = None,
    undo_log: Annotated[
        Path | None, typer.Option("--undo", help="Put everything back as before the run of LOG.")
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Write scores as stars into XMP sidecars; never over a person's rating, never into photos.

    Example: nima stars holiday/ --dry-run
    """
    if sum((bool(photos), table is not None, undo_log is not None)) != 1:
        raise ConfigError("give one of: PHOTOS, --table, --undo")
    if undo_log:
        _undo(undo_log, quiet=scoring.quiet)
        return
    rule = StarRule(by=cast(By, by), bounds=_bounds(bounds, by), reject_below=reject_below)
    writing = Writing(cast(Naming, sidecars), overwrite, dry_run, log, scoring.quiet)
    if table:
        results = read_scored(table)
        writing.rate(results, rule)
        writing.end(results)
        return
    scorer = scoring.scorer(model)
    with scoring.run(scorer, photos or []) as folder_run:
        results = list(folder_run.results())
    writing.rate(results, rule)
    folder_run.end(writing.summary())
    writing.end([])


class Writing:
    """One run's stars on their way into sidecars, as the terminal shows them."""

    def __init__(
        self, naming: Naming, overwrite: bool, dry_run: bool, log: Path | None, quiet: bool
    ) -> None:
        self._naming = naming
        self._overwrite = overwrite
        self._dry_run = dry_run
        self._log = log
        self._quiet = quiet
        self._counts: Counter[str] = Counter()

    def rate(self, results: Sequence[ScoredPhoto], rule: StarRule) -> None:
        """Write stars, or only show them; a line per sidecar that would change."""
        plan = plan_stars(
            results, give_stars(results, rule), naming=self._naming, overwrite=self._overwrite
        )
        with UndoLog(self._log or _log_name()) as log:
            for entry in plan:
                self._show(entry, entry if self._dry_run else _written(entry, log))
        if log.begun and not self._quiet:
            path = printable(shlex.quote(str(log.path)))
            typer.echo(f"undo with: nima stars --undo {path}", err=True)

    def summary(self) -> str:
        """How many sidecars were made, changed, ..."""
        parts = [f"{self._counts[a]} {what}" for a, what in _DONE.items() if self._counts[a]]
        text = ", ".join(parts) or "no stars given"
        return f"dry run, nothing is written: {text}" if self._dry_run else text

    def end(self, results: Sequence[ScoredPhoto]) -> None:
        """End the command, with code 1 if a sidecar failed or a result has no score."""
        unrated = sum(result.mean is None for result in results)
        if results and not self._quiet:
            typer.echo(self.summary(), err=True)
        if unrated:
            typer.echo(f"{unrated} photos have no score in the table and get no stars", err=True)
        if unrated or self._counts["fail"]:
            raise typer.Exit(1)

    def _show(self, entry: Entry, done: Entry) -> None:
        self._counts[done.action] += 1
        if done.error is not None:
            typer.echo(f"failed: {printable(done.error)}", err=True)
        elif entry.action != "same":
            now = entry.was if entry.action == "keep" else entry.stars
            name = printable(str(entry.sidecar))
            typer.echo(f"{_stars(now):8}  {_was(entry):12}  {name}")


def _written(entry: Entry, log: UndoLog) -> Entry:
    """Write what an entry plans; gives what became of it."""
    if entry.after is None:
        return entry
    try:
        log.write(entry.sidecar, entry.before, entry.after)
    except SidecarError as error:
        return replace(entry, action="fail", error=str(error))
    return entry


def _undo(log: Path, *, quiet: bool) -> None:
    counts: Counter[str] = Counter()
    for done in undo_stars(log):
        counts[done.action] += 1
        if done.error is not None:
            typer.echo(f"failed: {printable(done.error)}", err=True)
    if not quiet:
        parts = [f"{count} {action}" for action, count in sorted(counts.items())]
        typer.echo(f"sidecars: {', '.join(parts) or 'nothing to undo'}", err=True)
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


def _log_name() -> Path:
    return Path(f"nima-stars-{datetime.now():%Y%m%d-%H%M%S}.undo.jsonl")


def _was(entry: Entry) -> str:
    if entry.action == "keep":
        return "yours, kept"
    return "" if entry.was is None else f"was {_stars(entry.was)}"


def _stars(rating: float | None) -> str:
    if rating is None or math.isnan(rating):
        return "?"
    return "rejected" if rating < 0 else "★" * min(round(rating), 5)
