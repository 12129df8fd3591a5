"""`nima bursts` and `nima report`: series of photos, and a page of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.atomic_write import check_output
from siamese_nima.cli import options
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.cli.run import FolderRun, progress_bar
from siamese_nima.cli.streams import say, shell_quoted, tell
from siamese_nima.curation.bursts import (
    Burst,
    BurstRule,
    FrameReader,
    burst_csv,
    burst_rows,
    check_burst_table,
    find_bursts,
    keepers,
    write_burst_table,
)
from siamese_nima.curation.filing import (
    Filed,
    FilingLog,
    file_photos,
    plan_filing_of_bursts,
    undo_filing,
)
from siamese_nima.errors import ConfigError
from siamese_nima.photos.read import Photo as DecodedPhoto
from siamese_nima.printable import counted, printable
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import DEFAULT_MODEL
from siamese_nima.web.report import ThumbnailReader, write_report

_RULE = BurstRule()
_Detail = Annotated[
    bool,
    typer.Option(
        "--detail/--no-detail",
        help="Look at the photos of bursts at 100 % too, and say why the others lose.",
    ),
]
_Faces = Annotated[
    bool,
    typer.Option(
        "--faces/--no-faces",
        help="With --detail, look for faces too: closed eyes are a reason, and the tie-breaker.",
    ),
]


@grouped_options
def bursts(
    photos: options.MaybePhotos = None,
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
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write a table: .csv or .jsonl; - is standard output, as CSV.",
        ),
    ] = None,
    copy_best_to: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Copy the best of each burst, and single photos, there."
        ),
    ] = None,
    move_rest_to: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Move the others of each burst there."),
    ] = None,
    log: options.UndoLogFile = None,
    undo_log: Annotated[
        Path | None,
        typer.Option(
            "--undo", metavar="LOG", help="Put all files back as before the run of this log."
        ),
    ] = None,
    detail: _Detail = True,
    faces: _Faces = True,
    model: options.Model = DEFAULT_MODEL,
    apart: options.Apart = False,
    *,
    scoring: Scoring,
) -> None:
    """Group photos of the same thing, the best of each first, and say what is too close to call.

    Example: nima bursts holiday/ --best-only > keep.txt
    """
    if bool(photos) == (undo_log is not None):
        raise ConfigError("give one of: PHOTOS, --undo")
    if undo_log:
        if _count_filed(undo_filing(undo_log), quiet=scoring.quiet):
            raise typer.Exit(1)
        return
    rule = BurstRule(window_s=window, similarity=similarity)
    to_file = out is not None and str(out) != "-"
    if out and to_file:
        check_burst_table(out)
    scorer = scoring.scorer(model)
    reader = FrameReader(scorer.decode_px)
    with FolderRun(
        scorer,
        photos or [],
        quiet=scoring.quiet,
        on_photo=reader.look,
        apart=apart,
        without=[folder for folder in (copy_best_to, move_rest_to) if folder],
    ) as folder_run:
        if out and to_file:
            check_output(out, "a table of bursts", (), folder_run.names)
        results = list(folder_run.results())
    with progress_bar("finding bursts") as progress:
        found = find_bursts(
            results, scorer, reader, rule=rule, detail=detail, faces=faces, report=progress
        )
    if out and to_file:
        write_burst_table(out, burst_rows(results, found, best_only=best_only))
    elif best_only and not out:
        for photo in keepers(results, found):
            typer.echo(photo.path)
    elif sys.stdout.isatty() and not out:
        for line in _lines(found):
            tell(line, indent=16)
    else:
        typer.echo(burst_csv(burst_rows(results, found, best_only=best_only)), nl=False)
    failed = 0
    if copy_best_to or move_rest_to:
        plan = plan_filing_of_bursts(
            results, found, best_to=copy_best_to, rest_to=move_rest_to, apart=apart
        )
        with FilingLog(log or options.undo_log_name("bursts")) as filing:
            failed = _count_filed(file_photos(plan, filing), quiet=scoring.quiet)
        if filing.begun and not scoring.quiet:
            undo = f"nima bursts --undo {shell_quoted(str(filing.path))}"
            typer.echo(f"undo with: {undo}", err=True)
    folder_run.end(_summary(results, found))
    if failed:
        raise typer.Exit(1)


_FILED = {"copy": "copied", "move": "moved"}


def _count_filed(done: Iterable[Filed], *, quiet: bool) -> int:
    """Say how many files were copied, moved or put back; gives how many could not be."""
    counts: Counter[str] = Counter()
    failed = 0
    for filed in done:
        if filed.error is None:
            counts[filed.how] += 1
        else:
            failed += 1
            say(f"failed: {printable(filed.error)}")
    if not quiet:
        parts = [f"{count} {_FILED.get(how, how)}" for how, count in counts.items()]
        say(f"files: {', '.join(parts) or 'nothing to do'}")
    return failed


def _lines(bursts: Sequence[Burst]) -> Iterable[str]:
    if bursts:
        yield f"burst   score  photo      (score {bursts[0].best.scale}, higher is better)"
    for number, burst in enumerate(bursts, start=1):
        for place, photo in enumerate(burst.photos):
            name, said = printable(photo.path), burst.reason(place) if place else burst.verdict
            remark = f"   {said}" if said else ""
            yield f"{'' if place else number:>5}{photo.mean:8.2f}  {name}{remark}"


def _summary(results: Sequence[ScoredPhoto], bursts: Sequence[Burst]) -> str:
    inside = sum(len(burst.photos) for burst in bursts)
    close = sum(burst.too_close is True for burst in bursts)
    groups = counted(len(bursts), "burst")
    text = f"{inside} photos in {groups}; {len(keepers(results, bursts))} to keep"
    return f"{text}; the best is too close to call in {close}" if close else text


@grouped_options
def report(
    photos: options.Photos,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page to write: .html.", dir_okay=False)
    ],
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Photos by score",
    detail: _Detail = True,
    faces: _Faces = True,
    model: options.Models = DEFAULT_MODEL,
    apart: options.Apart = False,
    *,
    scoring: Scoring,
) -> None:
    """Show scored photos on one HTML page: sort, filter, look closer, choose.

    Example: nima report holiday/ --out holiday.html
    """
    check_output(out, "a page", [".html", ".htm"])
    scorer = scoring.scorer(*options.named_models(model))
    frames, thumbnails = FrameReader(scorer.decode_px), ThumbnailReader()

    def look(path: str, photo: DecodedPhoto) -> None:
        frames.look(path, photo)
        thumbnails.look(path, photo)

    with FolderRun(scorer, photos, quiet=scoring.quiet, on_photo=look, apart=apart) as folder_run:
        check_output(out, "a page", (), folder_run.names)
        results = list(folder_run.results())
    with progress_bar("finding bursts") as progress:
        found = find_bursts(results, scorer, frames, detail=detail, faces=faces, report=progress)
    with progress_bar("writing") as progress:
        page = write_report(
            out,
            results,
            scorer.card,
            bursts=found,
            thumbnails=thumbnails,
            title=title,
            report=progress,
        )
    typer.echo(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
    folder_run.end()
