"""The command `nima`: the library, spoken aloud."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from siamese_nima import __version__
from siamese_nima.cli import (
    answers,
    curate,
    data,
    evaluate,
    features,
    learn,
    models,
    pick,
    score,
    serve,
    train,
)
from siamese_nima.errors import ConfigError, NimaError, ViewError
from siamese_nima.photos.names import printable

app = typer.Typer(
    name="nima",
    help="Score and rank photos by quality, on your own machine.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all went well, 1 something failed, 2 wrong usage, 130 interrupted.",
)

_PHOTOS, _TASTE = "Photos", "Your own taste"
_TRAINING, _MODELS = "Training and judging models", "Model files"

app.command("score", rich_help_panel=_PHOTOS)(score.score)
app.command("rank", rich_help_panel=_PHOTOS)(score.rank)
app.command("features", rich_help_panel=_PHOTOS)(features.features)
app.command("bursts", rich_help_panel=_PHOTOS)(curate.bursts)
app.command("stars", rich_help_panel=_PHOTOS)(curate.stars)
app.command("report", rich_help_panel=_PHOTOS)(curate.report)
app.command("explain", rich_help_panel=_PHOTOS)(curate.explain)
app.command("crop", rich_help_panel=_PHOTOS)(curate.crop)
app.command("serve", rich_help_panel=_PHOTOS)(serve.serve)
app.add_typer(score.cache, name="cache", rich_help_panel=_PHOTOS)
app.command("pick", rich_help_panel=_TASTE)(pick.pick)
app.command("learn", rich_help_panel=_TASTE)(learn.learn)
app.add_typer(answers.app, name="answers", rich_help_panel=_TASTE)
app.command("train", rich_help_panel=_TRAINING)(train.train)
app.command("evaluate", rich_help_panel=_TRAINING)(evaluate.evaluate)
app.command("compare", rich_help_panel=_TRAINING)(evaluate.compare)
app.add_typer(data.app, name="data", rich_help_panel=_TRAINING)
app.command("import", rich_help_panel=_MODELS)(models.import_)
app.command("export", rich_help_panel=_MODELS)(models.export)
app.command("quantise", rich_help_panel=_MODELS)(models.quantise)
app.add_typer(models.app, name="models", rich_help_panel=_MODELS)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and end.", callback=lambda v: _version(v)),
    ] = False,
) -> None:
    """Score and rank photos by quality, on your own machine."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"siamese-nima {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; errors of this package end it with one line, not with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # Names that are not valid Unicode leave as the bytes they are.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    try:
        app()
    except (ConfigError, ViewError) as error:
        _say(str(error))
        sys.exit(2)
    except NimaError as error:
        _say(str(error))
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output (head, less) left; what is unflushed has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        # A folder that cannot be made, say: the system's words are as good as ours.
        place = "" if error.filename is None else f"{error.filename}: "
        _say(f"{place}{error.strerror or error}")
        sys.exit(1)


def _say(error: str) -> None:
    """An error as lines that a terminal shows and does not obey, whatever a file is called."""
    typer.echo("nima: " + "\n".join(map(printable, error.split("\n"))), err=True)
