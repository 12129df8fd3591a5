"""`nima cache`: what earlier runs left for later ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.scoring.result_cache import ResultCache, cache_path

app = typer.Typer()

CacheFile = Annotated[
    Path | None, typer.Option("--cache", help="Cache file; by default the usual one.")
]


def chosen_cache(cache: Path | None, *, no_cache: bool) -> Path | None:
    """The cache file that `--cache` and `--no-cache` ask for."""
    return None if no_cache else cache or cache_path()


@app.callback(invoke_without_command=True)
def show(context: typer.Context, cache: CacheFile = None) -> None:
    """Show where results of earlier runs are kept, and how many; or clear them.

    Example: nima cache
    """
    if context.invoked_subcommand is not None:
        return
    path = cache or cache_path()
    if not path.exists():
        typer.echo(f"{path}: no result is kept yet")
        return
    with ResultCache(path) as kept:
        counts = kept.counts()
    typer.echo(
        f"{path}: {counts['distributions']} results, {counts['files']} files known by their "
        f"state, {counts['bytes'] / 1e6:.1f} MB"
    )


@app.command("clear")
def clear(cache: CacheFile = None) -> None:
    """Forget all results of earlier runs.

    Example: nima cache clear
    """
    path = cache or cache_path()
    if path.exists():
        with ResultCache(path) as kept:
            kept.clear()
    typer.echo(f"{path}: empty")
