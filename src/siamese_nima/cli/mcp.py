"""`nima mcp`: tools for assistants over folders that a person names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.cli import options
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.scoring.scorer import DEFAULT_MODEL


@grouped_options
def mcp(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of photos; no tool reaches any other.",
            metavar="FOLDERS",
            exists=True,
            file_okay=False,
        ),
    ],
    model: options.Models = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Let an assistant ask about the photos of some folders, over standard input and output.

    The assistant's program starts this command (Model Context Protocol). Tools score, rank, find
    bursts, explain and compare; stars and picks are planned, shown, and only then written.

    Example: nima mcp holiday/ wedding/
    """
    with options.needs_extra("mcp", "nima mcp"):
        from siamese_nima.web.assistant import assistant_server
    scorer = scoring.scorer(*options.named_models(model))
    assistant_server(folders, scorer).run("stdio")
