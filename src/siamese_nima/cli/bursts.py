"""`nima bursts`: photos of the same thing, and the best of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.cli import options
from siamese_nima.cli.progress import progress_bar
from siamese_nima.cli.scoring import Scoring, scoring_command
from siamese_nima.curation.bursts import (
    Burst,
    BurstRule,
    FrameReader,
    burst_csv,
    burst_rows,
    check_burst_table,
    group_bursts,
    keepers,
    write_burst_table,
)
from siamese_nima.photos.names import printable
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import DEFAULT_MODEL, Scorer

_RULE = BurstRule()


@scoring_command
def bursts(
    photos: options.Photos,
    window: Annotated[
        float, typer.Option(min=0, help="Longest pause between photos of one burst, in seconds.")
    ] = _RULE.window_s,
    similarity: Annotated[
        float, typer.Option(help="How alike they must look, 0 to 1; higher joins fewer.")
    ] = _RULE.similarity,
    best_only: Annotated[
        bool,
        typer.Option(
            "--best-only", help="Only names to keep: the best of each burst, and single photos."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write a table: .csv or .jsonl.", dir_okay=False),
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Group photos of the same thing, the best of each first, and say what is too close to call.

    Example: nima bursts holiday/ --best-only > keep.txt
    """
    rule = BurstRule(window_s=window, similarity=similarity)
    if out:
        check_burst_table(out)
    scorer = scoring.scorer(model)
    reader = FrameReader(scorer.decode_px)
    with scoring.run(scorer, photos, reader.look) as folder_run:
        results = list(folder_run.results())
    found = find_bursts(results, scorer, reader, rule=rule)
    if out:
        write_burst_table(out, burst_rows(results, found, best_only=best_only))
    elif best_only:
        _print(photo.path for photo in keepers(results, found))
    elif sys.stdout.isatty():
        _print(_lines(found))
    else:
        typer.echo(burst_csv(burst_rows(results, found)), nl=False)
    folder_run.end(_summary(results, found))


def find_bursts(
    results: Sequence[ScoredPhoto],
    scorer: Scorer,
    reader: FrameReader,
    *,
    rule: BurstRule | None = None,
) -> tuple[Burst, ...]:
    """The bursts of photos that `scorer` has scored while `reader` looked, with a bar."""
    with progress_bar("finding bursts") as report:
        paths = [result.path for result in results]
        frames = reader.frames(paths, threads=scorer.workers, report=report)
    return group_bursts(results, frames, pair_error=scorer.card.pair_error, rule=rule)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _lines(bursts: Sequence[Burst]) -> Iterable[str]:
    if bursts:
        yield f"burst   score  photo      (score {bursts[0].best.scale}, higher is better)"
    for number, burst in enumerate(bursts, start=1):
        for place, photo in enumerate(burst.photos):
            name, remark = printable(photo.path), "" if place else f"   {burst.verdict}"
            yield f"{'' if place else number:>5}{photo.mean:8.2f}  {name}{remark}"


def _summary(results: Sequence[ScoredPhoto], bursts: Sequence[Burst]) -> str:
    inside = sum(len(burst.photos) for burst in bursts)
    close = sum(burst.too_close is True for burst in bursts)
    groups = f"{len(bursts)} burst{'s' * (len(bursts) != 1)}"
    text = f"{inside} photos in {groups}; {len(keepers(results, bursts))} to keep"
    return f"{text}; the best is too close to call in {close}" if close else text
