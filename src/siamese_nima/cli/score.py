"""`nima score`, `nima rank` and `nima cache`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_nima.atomic_write import check_output
from siamese_nima.cli import options, run
from siamese_nima.cli.commands import App
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.cli.ray import RayOptions, score_on_ray
from siamese_nima.cli.streams import say
from siamese_nima.errors import ConfigError
from siamese_nima.photos.sources import Sources, find_sources
from siamese_nima.printable import counted, printable
from siamese_nima.scoring.cache import ResultCache, cache_path
from siamese_nima.scoring.ranking import (
    describe_ranking,
    is_between,
    rank_photos,
    rank_places,
    select_photos,
)
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import DEFAULT_MODEL, Scorer
from siamese_nima.scoring.tables import TABLE_FORMATS, Columns, ResultWriter, open_table

if TYPE_CHECKING:
    from siamese_nima.curation.copies import CopyPlan


TableOrFolder = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write a table: .csv, .tsv, .json, .jsonl or .parquet; - is standard output, as CSV. "
        "With --engine ray a folder or URL for Parquet files.",
    ),
]
Engine = Annotated[
    str,
    options.one_of(
        ("local", "ray"),
        "ray: on many machines. PHOTOS may then be URLs (s3://...) too, names of listings (.txt) "
        "and tables (.parquet); --workers are processes with a model each.",
        metavar="ENGINE",
    ),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        help="Column with the photos, of .parquet tables; by default image, or else path."
    ),
]

DetailColumns = Annotated[
    bool,
    typer.Option(
        "--detail",
        help="Look at 100 % too: columns of blur and shake in pixels, noise, compression; and the "
        "reason in words, where something is wrong.",
    ),
]


def _found(
    photos: Sequence[str],
    image_column: str | None,
    hosts: list[str] | None,
    without: Path | None = None,
) -> Sources:
    """The photos of a run on this machine."""
    urls = None
    if hosts:
        from siamese_nima.photos.remote import UrlRules

        urls = UrlRules(hosts=tuple(hosts))
    return find_sources(photos, image_column=image_column, guarded=True, urls=urls, without=without)


@grouped_options
def score(
    photos: options.Photos,
    model: options.Models = DEFAULT_MODEL,
    out: TableOrFolder = None,
    top: options.TopPhotos = None,
    above: options.Above = None,
    below: options.Below = None,
    columns: options.ColumnNames = None,
    distribution: options.Distribution = False,
    detail: DetailColumns = False,
    engine: Engine = "local",
    image_column: ImageColumn = None,
    url_host: options.UrlHost = None,
    *,
    of_ray: RayOptions,
    scoring: Scoring,
) -> None:
    """Score photos, in the order given: a table on the terminal, CSV into a pipe, or a file.

    The score is the mean of the votes that people would give, on the model's scale; higher is
    better. The percentile is the share of the model's reference photos that score lower.

    Example: nima score holiday/ --out scores.csv
    """
    if engine == "ray":
        given = {
            "top": top,
            "above": above,
            "below": below,
            "columns": columns,
            "detail": detail or None,
        }
        for name, value in given.items():
            if value is not None:
                raise ConfigError(f"--{name} is not an option of --engine ray")
        score_on_ray(photos, options.named_models(model), out, of_ray, scoring, image_column)
        return
    of_ray.check_none_given()
    scorer = scoring.scorer(*options.named_models(model))
    found = _found(photos, image_column, url_host)
    kept = {**found.kept(), **_detail_columns(found, detail)}
    wanted = options.columns_of(scorer, columns, distribution=distribution, kept=kept)
    folder_run = run.FolderRun(scorer, photos, quiet=scoring.quiet, found=found)
    with ExitStack() as stack:
        table = _open_table(stack, out, wanted, folder_run)
        with folder_run:
            scored: Iterable[ScoredPhoto] = folder_run.results()
            if top is not None:
                results = list(scored)
                best = select_photos(rank_photos(results), top=top)
                chosen = set(map(id, best))
                scored = (result for result in results if id(result) in chosen)
            for result in _with_detail(scored, scorer) if detail else scored:
                bounded = above is not None or below is not None
                if not bounded or is_between(result, above=above, below=below):
                    table.write(result)
    folder_run.end()


@grouped_options
def rank(
    photos: options.Photos,
    top: options.TopPhotos = None,
    above: options.Above = None,
    below: options.Below = None,
    worst: options.Worst = False,
    one_per_burst: Annotated[
        bool,
        typer.Option(
            "--one-per-burst",
            help="Of photos of the same thing only the best, as nima bursts has it.",
        ),
    ] = False,
    copy_to: Annotated[
        Path | None,
        typer.Option(
            help="Copy the photos there, names beginning with the rank.",
            file_okay=False,
            metavar="FOLDER",
        ),
    ] = None,
    replace_copies: Annotated[
        bool,
        typer.Option(
            "--replace-copies", help="Replace the copies that an earlier ranking left there."
        ),
    ] = False,
    model: options.Models = DEFAULT_MODEL,
    order_by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model that orders, of several; by default the first."),
    ] = None,
    by: Annotated[str | None, typer.Option(hidden=True)] = None,
    out: options.Out = None,
    columns: options.ColumnNames = None,
    distribution: options.Distribution = False,
    detail: DetailColumns = False,
    apart: options.Apart = False,
    image_column: ImageColumn = None,
    url_host: options.UrlHost = None,
    *,
    scoring: Scoring,
) -> None:
    """Rank photos, best first, and say where the order is too close to call.

    "could be" are the places that a photo could have by the model's measured error; the
    percentile is the share of the model's reference photos that score lower.

    Example: nima rank holiday/ --top 20 --copy-to best/
    """
    from siamese_nima.curation.bursts import FrameReader, find_bursts, keepers
    from siamese_nima.curation.copies import plan_copies

    _check_copies(photos, copy_to)
    scorer = scoring.scorer(*_ordering_first(options.named_models(model), order_by or by))
    found = _found(photos, image_column, url_host, without=copy_to)
    if copy_to and not found.plain:
        raise ConfigError(
            "--copy-to copies files; photos in archives, tables and stores have none: use --out"
        )
    if one_per_burst and not found.plain:
        raise ConfigError("--one-per-burst compares files; photos in archives and stores are none")
    kept = {**found.kept(), **_detail_columns(found, detail)}
    wanted = options.columns_of(scorer, columns, distribution=distribution, ranked=True, kept=kept)
    reader = FrameReader(scorer.decode_px)
    folder_run = run.FolderRun(
        scorer,
        photos,
        quiet=scoring.quiet,
        on_photo=reader.look if one_per_burst else None,
        apart=apart,
        found=found,
    )
    with ExitStack() as stack:
        # Opened before the photos are scored, so that what is wrong with it is known then.
        table = _open_table(stack, out, wanted, folder_run) if out else None
        with folder_run:
            results = list(folder_run.results())
        every, others = results, 0
        if one_per_burst:
            with run.progress_bar("finding bursts") as progress:
                bursts = find_bursts(results, scorer, reader, report=progress)
            results = [*keepers(results, bursts), *(r for r in results if r.score is None)]
            others = len(every) - len(results)
        ranked = rank_photos(results)
        pair_error = scorer.card.pair_error
        shown = select_photos(ranked, top=top, above=above, below=below, worst=worst)
        places = dict(zip(map(id, ranked), rank_places(ranked, pair_error), strict=False))
        failed = [result for result in ranked if result.score is None]
        table = table or _open_table(stack, None, wanted, folder_run)
        written = shown + (failed if out else [])
        detailed = _with_detail(written, scorer) if detail else written
        for result, row in zip(written, detailed, strict=True):
            table.write(row, places.get(id(result)))
    if copy_to:
        plan = plan_copies(shown, copy_to, among=every, apart=apart)
        _copy(plan, replace=replace_copies)
    if others and not scoring.quiet:
        say(f"{counted(others, 'other photo')} of the same bursts left out")
    folder_run.end(describe_ranking(ranked, pair_error, brief=not folder_run.legend))


def _detail_columns(found: Sources, detail: bool) -> dict[str, str]:
    if detail and not found.plain:
        raise ConfigError("--detail reads files; photos in archives, tables and stores are none")
    if not detail:
        return {}
    from siamese_nima.curation.reasons import DETAIL_COLUMNS

    return DETAIL_COLUMNS


def _with_detail(results: Iterable[ScoredPhoto], scorer: Scorer) -> Iterator[ScoredPhoto]:
    from siamese_nima.curation.reasons import add_detail

    return add_detail(results, workers=scorer.workers)


def _open_table(
    stack: ExitStack, out: str | Path | None, columns: Columns, folder_run: run.FolderRun
) -> ResultWriter:
    """Where results go: a file, or standard output where there is none or "-"."""
    if out is None or str(out) == "-":
        return run.result_printer(folder_run.console, columns, out)
    check_output(out, "a table", TABLE_FORMATS, folder_run.names)
    return stack.enter_context(open_table(out, columns))


def _check_copies(photos: Sequence[str], folder: Path | None) -> None:
    """Refuse copies beside their originals, where the next run would rank them as well."""
    for photo in photos if folder and folder.exists() else ():
        if folder and Path(photo).is_dir() and folder.samefile(photo):
            raise ConfigError(
                f"--copy-to {folder}: is the folder that is searched; give one in it or elsewhere"
            )


def _copy(plan: CopyPlan, *, replace: bool) -> None:
    """Make the copies, and say what was done."""
    plan.write(replace=replace)
    there = len(plan.copies) - len(plan.missing)
    parts = [f"copied {counted(len(plan.missing), 'file')} to {plan.folder}"]
    parts += [f"{there} there already"] * bool(there)
    parts += [f"{len(plan.stale)} earlier ones removed"] * bool(plan.stale)
    parts += [f"{len(plan.other)} other files named like copies stay"] * bool(plan.other)
    say(printable("; ".join(parts)))


def _ordering_first(models: list[str], by: str | None) -> list[str]:
    """The models, the one that orders first; its name is what was typed, or a file's name."""
    if by is None:
        return models
    chosen = [model for model in models if by in (model, Path(model).stem)]
    if not chosen:
        raise ConfigError(f"--order-by {by}: none of the models {', '.join(models)}")
    return [*chosen[:1], *(model for model in models if model != chosen[0])]


cache = App()

CacheFile = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FILE", help="Cache file; by default the usual one."),
]


@cache.callback(invoke_without_command=True)
def show(context: typer.Context, file: CacheFile = None) -> None:
    """Show where results of earlier runs are kept, and how many; or clear them.

    Example: nima cache
    """
    if context.invoked_subcommand is not None:
        return
    path = file or cache_path()
    if not path.exists():
        typer.echo(f"{path}: no result is kept yet")
        return
    with ResultCache(path) as kept:
        counts = kept.counts()
    typer.echo(
        f"{path}: {counts['distributions']} results, {counts['files']} files known by their "
        f"state, {counts['bytes'] / 1e6:.1f} MB"
    )


@cache.command("clear")
def clear(file: CacheFile = None) -> None:
    """Forget all results of earlier runs.

    Example: nima cache clear
    """
    path = file or cache_path()
    if path.exists():
        with ResultCache(path) as kept:
            kept.clear()
    typer.echo(f"{path}: empty")
