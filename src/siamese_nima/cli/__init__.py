"""The command `nima`: the library, spoken aloud."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from siamese_nima import __version__
from siamese_nima.cli import streams
from siamese_nima.cli.commands import Command, Group
from siamese_nima.errors import ConfigError, NimaError, ViewError
from siamese_nima.printable import printable
from siamese_nima.user_folders import cache_folder

_MOVED = {
    "import": "models import",
    "export": "models export",
    "quantise": "models quantise",
    "compare": "evaluate",
    "answers": "pick answers",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command is: the module beside this one, the function or group in it."""

    module: str
    function: str
    panel: str | None = None


_PHOTOS, _TASTE = "Photos", "Your own taste"
_TRAINING, _MODELS = "Training and judging models", "Model files"
_PLACES = {
    "score": _Place("score", "score", _PHOTOS),
    "rank": _Place("score", "rank", _PHOTOS),
    "features": _Place("features", "features", _PHOTOS),
    "bursts": _Place("curate", "bursts", _PHOTOS),
    "stars": _Place("stars", "stars", _PHOTOS),
    "report": _Place("curate", "report", _PHOTOS),
    "explain": _Place("explain", "explain", _PHOTOS),
    "crop": _Place("explain", "crop", _PHOTOS),
    "cull": _Place("serve", "cull", _PHOTOS),
    "serve": _Place("serve", "serve", _PHOTOS),
    "mcp": _Place("serve", "mcp", _PHOTOS),
    "pick": _Place("pick", "pick", _TASTE),
    "learn": _Place("learn", "learn", _TASTE),
    "train": _Place("train", "train", _TRAINING),
    "evaluate": _Place("evaluate", "evaluate", _TRAINING),
    "cache": _Place("score", "cache", _PHOTOS),
    "data": _Place("data", "app", _TRAINING),
    "models": _Place("models", "app", _MODELS),
    "answers": _Place("pick", "answers_app"),
    "compare": _Place("evaluate", "evaluate"),
    "import": _Place("models", "import_"),
    "export": _Place("models", "export"),
    "quantise": _Place("models", "quantise"),
}


class _Loaded(MutableMapping[str, Any]):
    """Commands by name, each imported when it is asked for: one command waits for no other's."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, _PLACES[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


def _load(name: str, place: _Place) -> Any:
    module = importlib.import_module(f"{__name__}.{place.module}")
    if not gc.isenabled():  # by `__main__`, until the command is there
        gc.freeze()
        gc.enable()
    found = getattr(module, place.function)
    around = typer.Typer(add_completion=False)
    around.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name, rich_help_panel=place.panel, hidden=not place.panel)
    else:
        around.command(name, cls=Command, rich_help_panel=place.panel, hidden=not place.panel)(
            found
        )
    return typer.main.get_group(around).commands[name]


class Commands(Group):
    """All commands; `pick answers` is a group of its own, as `pick` takes a folder."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loaded()

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


@app.callback()
def nima(
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


_NO_MEMORY = "there is not enough memory; give fewer --workers, or smaller photos"


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
        _say(_NO_MEMORY)
        return 1
    except ImportError as error:
        # What the system's loader says where a library does not fit into the memory allowed.
        if "failed to map" not in str(error):
            raise
        _say(_NO_MEMORY)
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
