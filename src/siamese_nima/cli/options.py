"""Options that several commands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _of_scoring(help: str, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Scoring", **limits)


Photos = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders (searched recursively), globs, or - for a list on standard input.",
        metavar="PHOTOS",
    ),
]
Model = Annotated[
    str,
    typer.Option("--model", "-m", help="Name ('nima models' lists them) or file of a model."),
]
Models = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="Name or file of a model; several, joined by commas, each rate."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write a table: .csv, .jsonl or .parquet.", dir_okay=False),
]
BatchSize = Annotated[int, _of_scoring("Photos that one worker takes at a time.", min=1)]
Host = Annotated[
    str, typer.Option(help="Address to listen at; other machines never reach 127.0.0.1.")
]
Workers = Annotated[int | None, _of_scoring("Threads; by default one per usable core.", min=1)]
View = Annotated[
    str | None,
    _of_scoring(
        "View policy in place of the model's own: native, warp:224, pad:224, "
        "centre:224@256, five:224@512, or groups joined by +."
    ),
]
Device = Annotated[str, _of_scoring("cpu, cuda, openvino or coreml.")]
Exact = Annotated[bool, _of_scoring("Read large photos in full: slower.", "--exact")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")]
Cache = Annotated[
    Path | None,
    _of_scoring("File that keeps results for the next run; 'nima cache' shows the usual one."),
]
NoCache = Annotated[
    bool, _of_scoring("Score every photo again, and remember nothing.", "--no-cache")
]
