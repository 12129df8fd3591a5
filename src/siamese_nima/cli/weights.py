"""`nima import` and `nima export`: between weight files and model files."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from siamese_nima.errors import MissingExtraError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.catalogue import find_model, models_folder


def import_(
    weights: Annotated[
        Path,
        typer.Argument(help="Keras .h5 or .hdf5, or a .safetensors checkpoint.", metavar="WEIGHTS"),
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

    Example: nima import nima_weights_pre_trained.h5 --name origin
    """
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
    conversion = conversion_part()
    policy = None if view is None else ViewPolicy.parse(view)
    nima, card = conversion.read_weights(
        weights, name=name, view=policy, keras_version=keras_version
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    conversion.export_weights(nima, card, target, "onnx")
    usable = target.stem if target.parent == models_folder() else target
    typer.echo(f"wrote {target} ({card.backbone}, view {card.view})")
    typer.echo(f"use it: nima score PHOTOS --model {shlex.quote(str(usable))}")


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
        str, typer.Option("--format", "-f", help="onnx, safetensors or keras-h5.")
    ] = "onnx",
) -> None:
    """Write weights in another format.

    Example: nima export nima_weights05-0.812.safetensors --format keras-h5
    """
    conversion = conversion_part()
    is_name = not weights.suffix and len(weights.parts) == 1
    nima, card = conversion.read_weights(find_model(weights) if is_name else weights)
    suffix = conversion.EXPORT_FORMATS.get(kind, "")
    written = conversion.export_weights(nima, card, out or weights.with_suffix(suffix), kind)
    typer.echo(f"wrote {written}")


def conversion_part() -> ModuleType:
    """The conversion module, which needs torch.

    Raises:
        MissingExtraError: The training extra is not installed.
    """
    try:
        from siamese_nima.networks import conversion
    except ImportError as error:
        raise MissingExtraError.of_import(error, "reading weight files", "train") from error
    return conversion
