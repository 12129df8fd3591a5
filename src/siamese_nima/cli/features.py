"""`nima features`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.atomic_write import check_output
from siamese_nima.cli import options, run
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.find import find_photos
from siamese_nima.scoring.features import open_feature_table
from siamese_nima.scoring.scorer import DEFAULT_MODEL


@grouped_options
def features(
    photos: options.Photos,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Parquet file to write.", dir_okay=False)
    ],
    model: options.Model = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Write what the network sees in each photo, the numbers before its last layer (float16).

    Example: nima features holiday/ --out features.parquet
    """
    if scoring.cache:
        raise ConfigError("--cache keeps scores, no features; leave it out")
    scorer = options.open_scorer(model, options=scoring.options())
    found = find_photos(photos)
    if not found.names:
        raise PhotoError(f"no photo found in {', '.join(photos)}{run.skipped_text(found)}")
    check_output(out, "a table of features", [".parquet"], found.names)
    failures = run.Failures()
    vectors = scorer.features(found.names)
    with open_feature_table(out) as table, closing(vectors), run.progress_bar("reading") as report:
        for done, vector in enumerate(vectors, start=1):
            table.write(vector)
            if vector.error:
                failures.add(vector.error, vector.path)
            report(done, len(found.names))
    failures.end()
