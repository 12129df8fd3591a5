"""The command `nima`: the library, spoken aloud."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated, Any

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
    streams,
    train,
)
from siamese_nima.cli.options import Command, Group
from siamese_nima.errors import ConfigError, NimaError, ViewError
from siamese_nima.photos.names import printable
from siamese_nima.user_folders import cache_folder

_MOVED = {
    "import": "models import",
    "export": "models export",
    "quantise": "models quantise",
    "compare": "evaluate",
    "answers": "pick answers",
}


class Commands(Group):
    """All commands; `pick answers` is a group of its own, as `pick` takes a folder."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that arguments name; earlier names still work, and tell people the new."""
        if args[:2] == ["pick", "answers"]:
            name, command, _ = super().resolve_command(ctx, args[1:])
            return f"pick {name}", command, args[2:]
        if args and args[0] in _MOVED and sys.stderr.isatty():
            streams.say(f"nima {args[0]} is now: nima {_MOVED[args[0]]}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="nima",
    cls=Commands,
    help="Score and rank photos by quality, on your own machine.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all went well; 1 something failed, or the answer is no (a photo that "
    "cannot be read, a model that is not better); 2 wrong usage, nothing was done; 130 "
    "interrupted.",
)

_PHOTOS, _TASTE = "Photos", "Your own taste"
_TRAINING, _MODELS = "Training and judging models", "Model files"

for name, panel, command in (
    ("score", _PHOTOS, score.score),
    ("rank", _PHOTOS, score.rank),
    ("features", _PHOTOS, features.features),
    ("bursts", _PHOTOS, curate.bursts),
    ("stars", _PHOTOS, curate.stars),
    ("report", _PHOTOS, curate.report),
    ("explain", _PHOTOS, curate.explain),
    ("crop", _PHOTOS, curate.crop),
    ("serve", _PHOTOS, serve.serve),
    ("pick", _TASTE, pick.pick),
    ("learn", _TASTE, learn.learn),
    ("train", _TRAINING, train.train),
    ("evaluate", _TRAINING, evaluate.evaluate),
):
    app.command(name, cls=Command, rich_help_panel=panel)(command)
app.add_typer(score.cache, name="cache", rich_help_panel=_PHOTOS)
app.add_typer(data.app, name="data", rich_help_panel=_TRAINING)
app.add_typer(models.app, name="models", rich_help_panel=_MODELS)
app.add_typer(answers.app, name="answers", hidden=True)
for name, command in (
    ("compare", evaluate.evaluate),
    ("import", models.import_),
    ("export", models.export),
    ("quantise", models.quantise),
):
    app.command(name, cls=Command, hidden=True)(command)


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
    streams.fit_streams()
    # Or else matplotlib keeps its list of fonts in folders of its own.
    with suppress(ConfigError):
        os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
    code = _run()
    if not streams.flush_streams():
        code = code or 1
    sys.exit(code)


def _run() -> int:
    """The exit code of the command."""
    try:
        # Patterns are for `find_photos`, which also knows names that look like patterns.
        app(windows_expand_args=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except (ConfigError, ViewError) as error:
        _say(str(error))
        return 2
    except NimaError as error:
        _say(str(error))
        return 1
    except MemoryError:
        _say("there is not enough memory; give fewer --workers, or smaller photos")
        return 1
    except OSError as error:
        if streams.is_broken_pipe(error):
            streams.drop_output()
            return 1
        # A folder that cannot be made, say: the system's words are as good as ours.
        place = "" if error.filename is None else f"{error.filename}: "
        _say(f"{place}{error.strerror or error}")
        return 1
    return 0


def _say(error: str) -> None:
    """An error as lines that a terminal shows and does not obey, whatever a file is called."""
    streams.say("nima: " + "\n".join(map(printable, error.split("\n"))))
