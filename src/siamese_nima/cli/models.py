"""`nima models`: the model files there are, and new ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from siamese_nima.atomic_write import check_output, remove_file
from siamese_nima.card import PAIR_ERROR, SCENE_PAIR_ERROR, ModelCard
from siamese_nima.cli import options
from siamese_nima.cli.commands import App
from siamese_nima.cli.streams import shell_quoted, tell
from siamese_nima.cores import fast_in_bytes
from siamese_nima.datasets.contamination import PHOTO_PRINTS
from siamese_nima.errors import ConfigError, NimaError, WeightsError, did_you_mean
from siamese_nima.pair_error import PairError
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.catalogue import (
    eight_bit_form,
    embedded_models,
    find_model,
    installed_models,
    models_folder,
)
from siamese_nima.scoring.model import INT8, ModelFile, read_card
from siamese_nima.scoring.published import PUBLISHED, download

app = App()

_INTERVAL = {"value", "low", "high"}


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List models, show their cards, import, export, quantise, download and remove them.

    Example: nima models
    """
    if context.invoked_subcommand is None:
        list_models()


@app.command("list", hidden=True)
def list_models() -> None:
    """List models, as 'nima models' does.

    Example: nima models list
    """
    for title, found in (
        ("embedded", embedded_models()),
        (f"installed in {models_folder()}", installed_models()),
    ):
        typer.echo(f"{title}:")
        for name, path in found.items():
            tell(f"  {name:30} {_summary(path)}", indent=33)
        if not found:
            typer.echo("  none")
    typer.echo("published by others ('nima models get NAME' downloads and converts):")
    for entry in PUBLISHED.values():
        tell(f"  {entry.name:30} {entry.licence}; {entry.description}", indent=33)


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(help="Name or file of a model.", metavar="MODEL")],
) -> None:
    """Show a model's card.

    Example: nima models show quality
    """
    model_file = ModelFile(find_model(model))
    tell(describe(model_file.card), indent=4)
    typer.echo(f"file         {model_file.path}\nsha256       {model_file.digest}")
    if form := eight_bit_form(model):
        eight_bits = ModelFile(form)
        moved = eight_bits.card.metrics[INT8]["mean_absolute"]
        here = "scores with it" if fast_in_bytes() else "scores in float"
        typer.echo(
            f"in 8 bits    {eight_bits.model_id}: scores move by {moved:.3f} on average; this "
            f"processor {here}\nfile         {form}\nsha256       {eight_bits.digest}"
        )


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="Name from 'nima models'.", metavar="NAME")],
    folder: Annotated[
        Path | None, typer.Option(help="Models folder to use in place of the user's.")
    ] = None,
) -> None:
    """Download published weights and make a model file of them.

    Example: nima models get idealo-aesthetic
    """
    if name not in PUBLISHED:
        raise ConfigError(
            f"no published weights named {name!r}{did_you_mean(name, PUBLISHED)}; there are "
            f"{', '.join(PUBLISHED)}"
        )
    target = folder or models_folder()
    progress = Progress(
        TextColumn(name),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with progress:
        task = progress.add_task(name, total=None)
        weights = download(
            PUBLISHED[name],
            target,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    typer.echo(f"downloaded {weights}")
    if PUBLISHED[name].git_blob is None:
        typer.echo("its publisher states no hash, so only its structure is checked")
    import_weights(weights, target / f"{name}.onnx", name=name)


@app.command("remove")
def remove(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a model in your models folder.",
            metavar="NAME",
            autocompletion=lambda incomplete: options.beginning(incomplete, installed_models()),
        ),
    ],
) -> None:
    """Remove a model from your models folder.

    Example: nima models remove my-taste
    """
    installed = installed_models()
    if name not in installed:
        if name in embedded_models():
            raise ConfigError(f"{name} is embedded in the package and cannot be removed")
        raise WeightsError(
            f"no model named {name!r} in {models_folder()}{did_you_mean(name, installed)}; there "
            f"are {', '.join(installed) or 'none'}"
        )
    remove_file(installed[name])
    typer.echo(f"removed {installed[name]}")


def describe(card: ModelCard) -> str:
    """A card as readable text."""
    lines = [
        f"{card.name} {card.version}",
        card.description,
        "",
        f"licence      {card.licence}",
        f"backbone     {card.backbone}",
        *_lines(card.backbone_options),
        f"scale        {card.scale}, higher is better",
        f"view         {card.view}",
    ]
    if card.population:
        count = len(card.population.means)
        lines.append(f"percentiles  against {card.population.name} ({count} photos)")
    lines.append(f"order        {_about_pairs(card.pair_error)}")
    if SCENE_PAIR_ERROR in card.metrics:
        lines.append(f"in a scene   {_about_pairs(card.scene_pair_error)}")
    shown = set(card.metrics) - {PAIR_ERROR, SCENE_PAIR_ERROR}
    metrics = {name: value for name, value in card.metrics.items() if name in shown}
    for title, values in (("training", card.training), ("metrics", metrics)):
        lines += [f"{title}:", *_lines(values)]
    for title, texts in (("credits", card.credits), ("limits", card.limits)):
        lines += [f"{title}:"] + [f"  - {text}" for text in texts]
    return "\n".join(lines)


def _lines(values: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    """One value per line, parts of a value further in."""
    for name, value in values.items():
        if name == PHOTO_PRINTS:
            yield f"{indent}{name}: in the file, for the check of photos that are judged"
        elif isinstance(value, Mapping) and set(value) != _INTERVAL:
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_text(value)}"


def _text(value: Any) -> str:
    match value:
        case {"value": figure, "low": low, "high": high}:
            return f"{figure} [{low}, {high}]"
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _about_pairs(pair_error: PairError | None) -> str:
    """From which gap of scores on the order of two photos is sure."""
    if pair_error is None:
        return "unknown how sure it is: nobody has measured the pair error"
    gap = pair_error.closest_call()
    measured = f"(8 of 10 right, measured on {pair_error.pairs} pairs)"
    if gap is None:
        return f"too close to call at every gap of scores {measured}"
    return f"too close to call below a gap of {gap:.2f} points {measured}"


def _summary(path: Path) -> str:
    try:
        card = read_card(path)
    except NimaError as error:
        return f"UNUSABLE: {error}"
    # Both may go on at length: what matters comes first, and 'nima models show' has it all.
    return f"{card.licence.split(',')[0]}; {card.description.split('. ')[0].rstrip('.')}"


@app.command("import")
def import_(
    weights: Annotated[
        Path,
        typer.Argument(
            help="Keras .h5, torch .pth, or a .safetensors checkpoint.", metavar="WEIGHTS"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Model file; by default in the user's models folder."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model; default: the file's.")
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="View policy, such as native or warp:224/nearest.")
    ] = None,
    keras_version: Annotated[
        int | None,
        typer.Option(min=2, max=3, help="Keras that wrote the file, where it does not say."),
    ] = None,
) -> None:
    """Make a model file of weights, Keras weights without Keras included.

    Example: nima models import nima_weights_pre_trained.h5 --name origin
    """
    if out:
        check_output(out, "a model file", [".onnx"], [weights])
    target = out or models_folder() / f"{name or weights.stem}.onnx"
    import_weights(weights, target, name=name, view=view, keras_version=keras_version)


def import_weights(
    weights: Path,
    target: Path,
    *,
    name: str | None = None,
    view: str | None = None,
    keras_version: int | None = None,
) -> None:
    """Make a model file of weights and say how to use it."""
    with options.needs_extra("train", "reading weight files"):
        from siamese_nima.networks import conversion
    policy = None if view is None else ViewPolicy.parse(view)
    nima, card = conversion.read_weights(
        weights, name=name, view=policy, keras_version=keras_version
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    conversion.export_weights(nima, card, target, "onnx")
    usable = target.stem if target.parent == models_folder() else target
    typer.echo(f"wrote {target} ({card.backbone}, view {card.view})")
    typer.echo(f"use it: nima score PHOTOS --model {shell_quoted(str(usable))}")


@app.command("export")
def export(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors checkpoint, Keras .h5, or a model: its name or file.",
            metavar="WEIGHTS",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="By default beside the weights.")
    ] = None,
    kind: Annotated[
        str,
        options.one_of(
            ("onnx", "safetensors", "keras-h5"),
            "onnx, safetensors or keras-h5.",
            "--format",
            "-f",
            metavar="FORMAT",
        ),
    ] = "onnx",
) -> None:
    """Write weights in another format.

    Example: nima models export nima_weights05-0.812.safetensors --format keras-h5
    """
    with options.needs_extra("train", "reading weight files"):
        from siamese_nima.networks import conversion
    is_name = not weights.suffix and len(weights.parts) == 1
    nima, card = conversion.read_weights(find_model(weights) if is_name else weights)
    suffix = conversion.EXPORT_FORMATS.get(kind, "")
    target = out or weights.with_suffix(suffix)
    check_output(target, "the file", [suffix] if suffix else (), [weights])
    written = conversion.export_weights(nima, card, target, kind)
    typer.echo(f"wrote {written}")


@app.command("quantise")
def quantise(
    model: Annotated[str, typer.Argument(help="Name or file (.onnx) of a model.", metavar="MODEL")],
    photos: options.Photos,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Model file; by default in the user's models folder."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=4, help="Photos used of those given, evenly spread.")
    ] = 200,
) -> None:
    """Make a model file that computes in 8 bits: faster, with scores moved a little.

    Half of the photos set it up, the others tell how far scores move: give a hundred or more.

    Example: nima models quantise quality holiday/
    """
    with options.needs_extra("quantise", "quantising models"):
        from siamese_nima.networks.quantise import quantise_model, spread_evenly
    source = find_model(model)
    paths = find_photos(photos).paths
    if out:
        check_output(out, "a model file", [".onnx"], [source, *paths])
    target = out or models_folder() / f"{source.stem}-int8.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    cost = quantise_model(source, spread_evenly(paths, limit), target)
    typer.echo(f"wrote {target}")
    tell(
        f"on {cost.photos} other photos scores move by {cost.mean_absolute:.3f} on average and by "
        f"{cost.largest:.3f} at most; rank correlation with {source.stem} {cost.rank_correlation}"
    )
    usable = target.stem if target.parent == models_folder() else target
    typer.echo(f"use it: nima score PHOTOS --model {shell_quoted(str(usable))}")
