"""`nima report`: a page that shows photos with their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from siamese_nima.cli import options, run
from siamese_nima.cli.bursts import find_bursts
from siamese_nima.cli.progress import progress_bar
from siamese_nima.cli.scoring import Scoring, scoring_command
from siamese_nima.curation.bursts import FrameReader
from siamese_nima.curation.report import ThumbnailReader, write_report
from siamese_nima.scoring.scorer import DEFAULT_MODEL


@scoring_command
def report(
    photos: options.Photos,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page to write: .html.", dir_okay=False)
    ],
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Photos by score",
    model: options.Models = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Show scored photos on one HTML page: sort, filter, look closer, choose.

    Example: nima report holiday/ --out holiday.html
    """
    scorer = scoring.scorer(*run.named_models(model))
    frames, thumbnails = FrameReader(scorer.decode_px), ThumbnailReader()

    def look(path: str, photo: Image.Image) -> None:
        frames.look(path, photo)
        thumbnails.look(path, photo)

    with scoring.run(scorer, photos, look) as folder_run:
        results = list(folder_run.results())
    bursts = find_bursts(results, scorer, frames)
    with progress_bar("writing") as progress:
        page = write_report(
            out,
            results,
            scorer.card,
            bursts=bursts,
            thumbnails=thumbnails,
            title=title,
            report=progress,
        )
    typer.echo(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
    folder_run.end()
