"""`nima explain` and `nima crop`: one photo, looked at closer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.cli import options
from siamese_nima.cli.run import progress_bar
from siamese_nima.cli.streams import say, tell
from siamese_nima.curation.crops import (
    Crop,
    CropRule,
    check_new_picture,
    save_new_picture,
    suggest_crops,
    write_crop,
)
from siamese_nima.curation.explain import describe_explanation, draw_explanation, explain_photo
from siamese_nima.pair_error import PairError
from siamese_nima.photos.find import local_path
from siamese_nima.photos.read import read_photo
from siamese_nima.scoring.detail import try_detail
from siamese_nima.scoring.scorer import DEFAULT_MODEL, Scorer, ScorerOptions

Photo = Annotated[Path, typer.Argument(help="One photo.", metavar="PHOTO", parser=local_path)]


def _open_in_float(model: str, view: str | None, workers: int | None, device: str) -> Scorer:
    """A scorer of one photo's parts, whose scores differ by less than 8 bits move them."""
    wanted = ScorerOptions(
        view=view, batch_size=1, workers=workers, device=device, eight_bits=False
    )
    return options.open_scorer(model, options=wanted)


def explain(
    photo: Photo,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Picture to write: .png, .jpg or .webp.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print all regions and their effects as JSON.")
    ] = False,
    model: options.Model = DEFAULT_MODEL,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
) -> None:
    """Show which parts of a photo its score rests on, by hiding one after another.

    Example: nima explain photo.jpg --out why.png
    """
    if out:
        check_new_picture(out, photo)
    scorer = _open_in_float(model, view, workers, device)
    with progress_bar("hiding") as progress:
        explanation = explain_photo(scorer, photo, report=progress)
    detail = try_detail(photo, faces=True)
    lines = describe_explanation(explanation, scorer.card.pair_error, detail)
    if json_:
        typer.echo(json.dumps(explanation.to_json()))
    else:
        tell("\n".join(lines))
    if out:
        save_new_picture(draw_explanation(explanation, read_photo(photo), lines), out, photo)
        say(f"wrote {out}")


def crop(
    photo: Photo,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the best crop: .jpg, .png or .webp."),
    ] = None,
    ratio: Annotated[
        str, typer.Option(help="Shapes, joined by commas; own is the photo's.")
    ] = "own,1:1,4:3,16:9",
    smallest: Annotated[
        float, typer.Option(help="Side of the smallest crop, as a share of the largest.")
    ] = 0.6,
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="Crops to print.")] = 5,
    model: options.Model = DEFAULT_MODEL,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
) -> None:
    """Suggest crops of a photo by score; the original is only ever read.

    Example: nima crop photo.jpg --ratio 1:1 --out square.jpg
    """
    rule = CropRule(ratios=tuple(ratio.split(",")), smallest=smallest)
    if out:
        check_new_picture(out, photo)
    scorer = _open_in_float(model, view, workers, device)
    with progress_bar("cropping") as progress:
        found = suggest_crops(scorer, photo, rule=rule, report=progress)
    pair_error = scorer.card.pair_error
    typer.echo(f"score {found.score:.2f} uncropped; the best of {found.tried} crops:")
    typer.echo(" score   gain  left,top to right,bottom  ratio")
    for suggested in found.crops[:top]:
        typer.echo(_line(suggested, found.score, pair_error))
    if pair_error is None:
        say("Nobody has measured which gains of this model are too close to call.")
    if out and found.crops:
        say(f"wrote {write_crop(photo, found.crops[0].box, out)}")


def _line(crop: Crop, whole: float, pair_error: PairError | None) -> str:
    gain = crop.score - whole
    left, top, right, bottom = crop.box
    box = f"{left},{top} to {right},{bottom}"
    close = pair_error is not None and pair_error.too_close(gain)
    return (
        f"{crop.score:6.2f} {gain:+6.2f}  {box:24}  {crop.ratio}"
        f"{'  too close to call' if close else ''}"
    )
