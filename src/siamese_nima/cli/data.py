"""`nima data`: look at a data set before anything is trained or judged with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.atomic_write import check_output, write_whole
from siamese_nima.cli.commands import App
from siamese_nima.cli.options import grouped_options, needs_extra
from siamese_nima.cli.run import progress_bar
from siamese_nima.cli.streams import say, tell
from siamese_nima.cores import usable_cores
from siamese_nima.csv_rows import csv_text
from siamese_nima.datasets.sources import (
    RatedSource,
    describe_ratings,
    parse_columns,
    read_source,
)
from siamese_nima.errors import ConfigError
from siamese_nima.printable import printable
from siamese_nima.ratings import RatingScale

app = App(
    help="Check data sets, and split them by scene.\n\nExample: nima data check holiday/",
    no_args_is_help=True,
)

Source = Annotated[
    str,
    typer.Argument(
        help="A CSV, or a published set as NAME:FOLDER such as biq2021:data/BIQ2021.",
        metavar="SOURCE",
    ),
]
Splits = Annotated[
    Path | None, typer.Option(help="Splits file (see 'nima data split') in place of the set's.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How a source of ratings is understood, as the options of a command say."""

    photos: Annotated[
        Path | None, typer.Option(help="Folder of the photos that a CSV names; default: its own.")
    ] = None
    scale: Annotated[str | None, typer.Option(help="Scale of a CSV's scores, such as 1..5.")] = None
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            help="What a CSV's columns hold, such as votes=v1..v5, grades=ann,bob or path=photo; "
            "once for each.",
            metavar="WHAT=COLUMNS",
        ),
    ] = None
    raters: Annotated[
        int | None,
        typer.Option(min=1, help="People who rated each photo, where no column says so."),
    ] = None

    def of(self, source: str, splits: Path | None = None) -> RatedSource:
        """A source, understood so."""
        return RatedSource(
            source,
            photos=self.photos,
            scale=RatingScale.parse(self.scale) if self.scale else None,
            splits=splits,
            columns=parse_columns(self.columns or ()),
            raters=self.raters,
        )


@app.command("check")
@grouped_options
def check(
    source: Source,
    splits: Splits = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write all crossing pairs as CSV.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Print so many crossing pairs.")
    ] = 20,
    show: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
    *,
    understood: SourceOptions,
) -> None:
    """Say how ratings are understood; find broken photos, and near-copies that cross splits.

    SOURCE can also be a folder, whose subfolders are then the splits.

    Example: nima data check biq2021:data/BIQ2021
    """
    with needs_extra("train", "checking a data set"):
        from siamese_nima.datasets.checks import (
            CROSSING_COLUMNS,
            check_set,
            crossing_lines,
            table_of_folder,
        )
    rated = True
    if Path(source).is_dir():
        table = table_of_folder(Path(source))
    else:
        reading = read_source(understood.of(source, splits))
        for line in describe_ratings(reading):
            tell(printable(line))
        table, rated = reading.table, reading.table.ratings_differ
    if out:
        inputs: list[str | Path] = [source, *([splits] if splits else []), *table.paths]
        check_output(out, "a table of pairs", (".csv",), inputs)
    with progress_bar("reading") as report:
        result = check_set(table, threads=usable_cores(), report=report)
    tell(result.describe())
    for line in crossing_lines(result.crossing, limit if show is None else show):
        tell("  " + printable(line), indent=4)
    if out:
        text = csv_text([CROSSING_COLUMNS, *result.crossing])
        write_whole(out, text.encode("utf-8", "surrogateescape"))
    if not (result.passed and rated):
        raise typer.Exit(1)


@app.command("split")
@grouped_options
def split(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="Splits file to write.")],
    fractions: Annotated[
        str, typer.Option(help="Shares of the photos for train, val and test.")
    ] = ".7,.1,.2",
    seed: Annotated[int, typer.Option(help="Seed of the order in which scenes are dealt out.")] = 0,
    *,
    understood: SourceOptions,
) -> None:
    """Divide a data set into train, val and test, near-copies always on the same side.

    Example: nima data split biq2021:data/BIQ2021 --out splits.csv
    """
    with needs_extra("train", "splitting a data set"):
        from siamese_nima.datasets.checks import near_copies
        from siamese_nima.datasets.splits import split_by_scene, splits_text, with_scenes
        from siamese_nima.photos.similarity import read_signatures
    table = read_source(understood.of(source)).table
    check_output(out, "a splits file", (".csv",), (source, *table.paths))
    with progress_bar("reading") as report:
        signatures = read_signatures(table.paths, threads=usable_cores(), report=report)
    grouped = with_scenes(table, near_copies(signatures))
    result = split_by_scene(grouped, parse_fractions(fractions), seed=seed)
    write_whole(out, splits_text(result).encode("utf-8", "surrogateescape"))
    counts = ", ".join(f"{result.splits.count(name)} {name}" for name in ("train", "val", "test"))
    typer.echo(f"wrote {out}: {counts}; {len(set(result.scenes))} scenes")
    for _, reason in signatures.unreadable:
        say(f"not compared: {printable(reason)}")
    if signatures.unreadable:
        raise typer.Exit(1)


def parse_fractions(text: str) -> dict[str, float]:
    """Shares of train, val and test from text such as ".7,.1,.2"; a share of 0 leaves one out.

    Raises:
        ConfigError: Not three shares that add up to 1.
    """
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"fractions {text!r}: wanted three numbers such as .7,.1,.2") from error
    shares = {"train": train, "val": val, "test": test}
    if not (all(0 <= share <= 1 for share in shares.values()) and isclose(sum(shares.values()), 1)):
        raise ConfigError(f"fractions {text!r}: wanted shares of 0 to 1 that add up to 1")
    return {name: share for name, share in shares.items() if share}
