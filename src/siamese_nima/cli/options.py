"""Options that several commands share, said once, and what they open."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from siamese_nima.errors import ConfigError, MissingExtraError, did_you_mean
from siamese_nima.photos.read import MAX_PIXELS
from siamese_nima.scoring.cache import usual_cache
from siamese_nima.scoring.catalogue import WEIGHT_SUFFIXES, embedded_models, installed_models
from siamese_nima.scoring.model import DEVICES
from siamese_nima.scoring.ranking import Top
from siamese_nima.scoring.scorer import Scorer, ScorerOptions
from siamese_nima.scoring.tables import Columns


def _of_scoring(help: str, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Scoring", **limits)


def one_of(known: Sequence[str], help: str, *names: str, **more: Any) -> Any:
    """An option whose value is one of some words; completion offers them."""

    def parsed(text: str) -> str:
        if text not in known:
            words = f"{', '.join(known)}{did_you_mean(text, known)}"
            raise typer.BadParameter(f"{text!r} is none of {words}")
        return text

    return typer.Option(
        *names,
        help=help,
        parser=parsed,
        autocompletion=lambda incomplete: beginning(incomplete, known),
        **more,
    )


def _model(help: str) -> Any:
    return typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        autocompletion=lambda incomplete: model_names(incomplete),
        help=help,
    )


_PHOTOS = typer.Argument(
    help="Files, folders (searched recursively), globs, or - for a list on standard input.",
    metavar="PHOTOS",
)
Photos = Annotated[list[str], _PHOTOS]
# Where --undo needs none.
MaybePhotos = Annotated[list[str] | None, _PHOTOS]
Model = Annotated[str, _model("Name ('nima models' lists them) or file of a model.")]
Models = Annotated[str, _model("Name or file of a model; several, joined by commas, each rate.")]
UndoLogFile = Annotated[
    Path | None,
    typer.Option(metavar="LOG", help="Undo log to write; by default named by date and time."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write a table: .csv, .tsv, .json, .jsonl or .parquet; - is standard output, as CSV.",
    ),
]
TopPhotos = Annotated[
    Top | None,
    typer.Option(
        "--top",
        "-n",
        metavar="N",
        parser=lambda text: _parsed_top(text),
        help="Show (and copy) only the N best; or a share of them, such as 10%.",
    ),
]
Above = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE",
        help="Only photos with at least this score.",
        callback=lambda value: _number(value),
    ),
]
Worst = Annotated[
    bool, typer.Option("--worst", help="Worst first; with --top, the N worst in place of the best.")
]
Below = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE",
        help="Only photos with less than this score.",
        callback=lambda value: _number(value),
    ),
]
ColumnNames = Annotated[
    str | None,
    typer.Option(
        "--columns", metavar="NAMES", help="Columns to show or write, in this order: path,score."
    ),
]
Distribution = Annotated[
    bool, typer.Option("--distribution", help="The probability of every vote too.")
]
Apart = Annotated[
    bool,
    typer.Option(
        "--apart", help="Camera raw and JPEG (or HEIC) of one shot are photos of their own."
    ),
]
BatchSize = Annotated[
    int | None,
    _of_scoring(
        "Photos that one worker takes at a time; by default 1, on graphics processors 4.",
        min=1,
        metavar="N",
    ),
]
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Address to listen at; other machines never reach 127.0.0.1."
    ),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Only print the address of the page.")
]
UrlHost = Annotated[
    list[str] | None,
    typer.Option(
        help="Fetch photos by URL from this host; .example.org means all names below it; may be "
        "repeated. By default no URL is fetched."
    ),
]
Folder = Annotated[
    Path,
    typer.Argument(help="The folder of photos.", metavar="FOLDER", exists=True, file_okay=False),
]
Workers = Annotated[
    int | None, _of_scoring("Threads; by default one per usable core.", min=1, metavar="N")
]
View = Annotated[
    str | None,
    _of_scoring(
        "View policy in place of the model's own: native, warp:224, pad:224, "
        "centre:224@256, five:224@512, or groups joined by +.",
        metavar="VIEW",
    ),
]
Device = Annotated[
    str,
    one_of(DEVICES, "cpu, cuda, openvino or coreml.", metavar="DEVICE", rich_help_panel="Scoring"),
]
Exact = Annotated[
    bool, _of_scoring("Read large photos in full, compute in float: slower.", "--exact")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")]
Cache = Annotated[
    Path | None,
    _of_scoring(
        "File that keeps results for the next run; 'nima cache' shows the usual one.",
        metavar="FILE",
    ),
]
NoCache = Annotated[
    bool, _of_scoring("Score every photo again, and remember nothing.", "--no-cache")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How a command scores, as its options say."""

    batch_size: BatchSize = None
    workers: Workers = None
    view: View = None
    device: Device = "cpu"
    exact: Exact = False
    cache: Cache = None
    no_cache: NoCache = False
    quiet: Quiet = False

    def options(self, *, max_pixels: int = MAX_PIXELS) -> ScorerOptions:
        """The same as the library has it."""
        return ScorerOptions(
            view=self.view,
            batch_size=self.batch_size,
            workers=self.workers,
            device=self.device,
            exact=self.exact,
            cache=None if self.no_cache else self.cache or usual_cache(),
            max_pixels=max_pixels,
        )

    def scorer(self, *models: str, max_pixels: int = MAX_PIXELS) -> Scorer:
        """A scorer with these options, for any kind of model the command line takes."""
        return open_scorer(*models, options=self.options(max_pixels=max_pixels))


def grouped_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command each of whose parameters that is a dataclass is filled from an option per field.

    Typer reads options from a signature; this gives it the fields in place of the parameter.
    """
    own = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = own[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            hints = get_type_hints(kind, include_extras=True)
            parameters += [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=hints[field.name],
                )
                for field in fields(kind)
            ]
        else:
            parameters.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind)
            )

    @functools.wraps(command)
    def filled(**given: object) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        command(**given, **made)

    filled.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    filled.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return filled


def model_names(incomplete: str) -> list[str]:
    """What an unfinished `--model` may become; after a comma, a further model."""
    before, comma, name = incomplete.rpartition(",")
    known = sorted({*embedded_models(), *installed_models()})
    return [f"{before}{comma}{known}" for known in beginning(name, known)]


def beginning(incomplete: str, known: Iterable[str]) -> list[str]:
    """Those that begin so."""
    return [name for name in known if name.startswith(incomplete)]


def columns_of(
    scorer: Scorer,
    names: str | None,
    *,
    distribution: bool = False,
    ranked: bool = False,
    kept: Mapping[str, Any] | None = None,
) -> Columns:
    """The columns of a table, all or those that `--columns` names."""
    only = tuple(name.strip() for name in names.split(",") if name.strip()) if names else ()
    # A distribution that is named is wanted.
    wanted = distribution or any(name.endswith("distribution") for name in only)
    return Columns(
        scorer.scales, ranked=ranked, distribution=wanted, only=only, kept=dict(kept or {})
    )


def _number(value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise typer.BadParameter("wanted a number")
    return value


def _parsed_top(text: str | Top) -> Top:
    try:
        return text if isinstance(text, Top) else Top.parse(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def undo_log_name(command: str) -> Path:
    """Where a run's undo log goes unless another name is given."""
    return Path(f"nima-{command}-{datetime.now():%Y%m%d-%H%M%S}.undo.jsonl")


def named_models(text: str) -> list[str]:
    """The models that `--model` names, separated by commas; a file may have commas in its name."""
    return [text] if Path(text).exists() else [name for name in text.split(",") if name]


def open_scorer(*models: str, options: ScorerOptions) -> Scorer:
    """A scorer for any kind of model the command line takes, weight files included."""
    sources = [
        _converted(model) if Path(model).suffix in WEIGHT_SUFFIXES else model for model in models
    ]
    return Scorer(sources, options)


def _converted(weights: str) -> str:
    with needs_extra("train", "reading weight files"):
        from siamese_nima.networks import conversion
    return str(conversion.converted(weights))


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Around imports of parts that the base install lacks; `purpose` starts the message.

    Raises:
        MissingExtraError: The extra is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError.of_import(error, purpose, extra) from error
