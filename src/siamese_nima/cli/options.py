"""Options that several commands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Photos = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders (searched recursively), globs, or - for a list on standard input.",
        metavar="PHOTOS...",
        show_default=False,
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
BatchSize = Annotated[int, typer.Option(min=1, help="Photos that one worker takes at a time.")]
Host = Annotated[
    str, typer.Option(help="Address to listen at; other machines never reach 127.0.0.1.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads; by default one per usable core.")
]
View = Annotated[
    str | None,
    typer.Option(
        help="View policy in place of the model's own: native, warp:224, pad:224, "
        "centre:224@256, five:224@512, or groups joined by +."
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, openvino or coreml.")]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="Read large photos in full: slower."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps results for the next run; 'nima cache' shows the usual one."
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Score every photo again, and remember nothing.")
]
