"""What is done with scored photos: `nima bursts`, `stars`, `report`, `explain` and `crop`."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from siamese_nima.atomic_write import check_output
from siamese_nima.cli import options
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.cli.run import ERRORS_SHOWN, FolderRun, progress_bar
from siamese_nima.cli.streams import shell_quoted
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
from siamese_nima.curation.crops import (
    Crop,
    CropRule,
    check_new_picture,
    save_new_picture,
    suggest_crops,
    write_crop,
)
from siamese_nima.curation.explain import describe_explanation, draw_explanation, explain_photo
from siamese_nima.curation.filing import (
    Filed,
    FilingLog,
    file_photos,
    plan_filing_of_bursts,
    undo_filing,
)
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
from siamese_nima.pair_error import PairError
from siamese_nima.photos.find import local_path
from siamese_nima.photos.read import Photo as DecodedPhoto
from siamese_nima.photos.read import read_photo
from siamese_nima.printable import counted, printable
from siamese_nima.scoring.detail import try_detail
from siamese_nima.scoring.ranking import one_per_shot
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import DEFAULT_MODEL, ScorerOptions
from siamese_nima.scoring.tables import read_table
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
        Path | None, typer.Option("--undo", help="Put all files back as before the run of LOG.")
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
        _print(photo.path for photo in keepers(results, found))
    elif sys.stdout.isatty() and not out:
        _print(_lines(found))
    else:
        typer.echo(burst_csv(burst_rows(results, found, best_only=best_only)), nl=False)
    failed = 0
    if copy_best_to or move_rest_to:
        plan = plan_filing_of_bursts(
            results, found, best_to=copy_best_to, rest_to=move_rest_to, apart=apart
        )
        with FilingLog(log or _log_name("bursts")) as filing:
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
            typer.echo(f"failed: {printable(filed.error)}", err=True)
    if not quiet:
        parts = [f"{count} {_FILED.get(how, how)}" for how, count in counts.items()]
        typer.echo(f"files: {', '.join(parts) or 'nothing to do'}", err=True)
    return failed


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


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
        Path | None, typer.Option("--undo", help="Put everything back as before the run of LOG.")
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
        with UndoLog(self._log or _log_name("stars")) as log:
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
                typer.echo(
                    f"{unread} photos get no stars: {reader.title} does not read sidecars of them, "
                    "it looks inside; into JPEG files --into-photos writes",
                    err=True,
                )
            for limit in reader.limits:
                typer.echo(f"note: {limit}", err=True)
        unrated = sum(result.mean is None for result in results)
        if results and not self._quiet:
            typer.echo(self.summary(), err=True)
        failed = [result.error for result in results if result.error is not None]
        for error in failed[:ERRORS_SHOWN]:
            typer.echo(f"failed: {printable(error)}", err=True)
        if unrated:
            typer.echo(f"{unrated} photos have no score in the table and get no stars", err=True)
        if unrated or self._counts["fail"]:
            raise typer.Exit(1)

    def _show(self, entry: SidecarChange) -> None:
        self._counts[entry.action] += 1
        if entry.error is not None:
            typer.echo(f"failed: {printable(entry.error)}", err=True)
        elif entry.action not in ("same", "unread"):
            now = entry.was if entry.action == "keep" else entry.stars
            name = printable(str(entry.sidecar))
            typer.echo(f"{stars_in_words(now):8}  {_was(entry):12}  {name}")


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


def _labels(text: str | None) -> dict[int, str]:
    try:
        parts = [part.partition("=") for part in text.split(",")] if text else []
        return {int(stars): colour.strip() for stars, _, colour in parts}
    except ValueError as error:
        raise ConfigError(f"--labels {text}: wanted stars and colours: 5=green,-1=red") from error


def _log_name(command: str) -> Path:
    return Path(f"nima-{command}-{datetime.now():%Y%m%d-%H%M%S}.undo.jsonl")


def _was(entry: SidecarChange) -> str:
    if entry.action == "keep":
        unknown = entry.was is not None and math.isnan(entry.was)
        return "rating unknown, left alone" if unknown else "yours, kept"
    return "" if entry.was is None else f"was {stars_in_words(entry.was)}"


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


Photo = Annotated[Path, typer.Argument(help="One photo.", metavar="PHOTO", parser=local_path)]


def explain(
    photo: Photo,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Picture to write: .png, .jpg or .webp.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print all regions and their effects as JSON.")
    ] = False,
    model: options.Model = DEFAULT_MODEL,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
) -> None:
    """Show which parts of a photo its score rests on, by hiding one after another.

    Example: nima explain photo.jpg --out why.png
    """
    if out:
        check_new_picture(out, photo)
    scorer = options.open_scorer(
        model, options=ScorerOptions(view=view, batch_size=1, workers=workers, device=device)
    )
    with progress_bar("hiding") as progress:
        explanation = explain_photo(scorer, photo, report=progress)
    detail = try_detail(photo, faces=True)
    lines = describe_explanation(explanation, scorer.card.pair_error, detail)
    typer.echo(json.dumps(explanation.to_json()) if json_ else "\n".join(lines))
    if out:
        save_new_picture(draw_explanation(explanation, read_photo(photo), lines), out, photo)
        typer.echo(f"wrote {out}", err=True)


def crop(
    photo: Photo,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the best crop: .jpg, .png or .webp."),
    ] = None,
    ratio: Annotated[
        str, typer.Option(help="Shapes, joined by commas; own is the photo's.")
    ] = "own,1:1,4:3,16:9",
    smallest: Annotated[
        float, typer.Option(help="Side of the smallest crop, as a share of the largest.")
    ] = 0.6,
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="Crops to print.")] = 5,
    model: options.Model = DEFAULT_MODEL,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
) -> None:
    """Suggest crops of a photo by score; the original is only ever read.

    Example: nima crop photo.jpg --ratio 1:1 --out square.jpg
    """
    rule = CropRule(ratios=tuple(ratio.split(",")), smallest=smallest)
    if out:
        check_new_picture(out, photo)
    scorer = options.open_scorer(
        model, options=ScorerOptions(view=view, batch_size=1, workers=workers, device=device)
    )
    with progress_bar("cropping") as progress:
        found = suggest_crops(scorer, photo, rule=rule, report=progress)
    pair_error = scorer.card.pair_error
    typer.echo(f"score {found.score:.2f} uncropped; the best of {found.tried} crops:")
    typer.echo(" score   gain  left,top to right,bottom  ratio")
    for suggested in found.crops[:top]:
        typer.echo(_line(suggested, found.score, pair_error))
    if pair_error is None:
        typer.echo("Nobody has measured which gains of this model are too close to call.", err=True)
    if out and found.crops:
        typer.echo(f"wrote {write_crop(photo, found.crops[0].box, out)}", err=True)


def _line(crop: Crop, whole: float, pair_error: PairError | None) -> str:
    gain = crop.score - whole
    left, top, right, bottom = crop.box
    box = f"{left},{top} to {right},{bottom}"
    close = pair_error is not None and pair_error.too_close(gain)
    return (
        f"{crop.score:6.2f} {gain:+6.2f}  {box:24}  {crop.ratio}"
        f"{'  too close to call' if close else ''}"
    )
