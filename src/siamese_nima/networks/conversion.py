"""From weight files of every kind to the model file that scores."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from siamese_nima.card import ModelCard
from siamese_nima.datasets.rating_table import file_hash
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.checkpoint import load_checkpoint, save_checkpoint
from siamese_nima.networks.keras.read import read_keras_h5
from siamese_nima.networks.keras.write import write_keras_h5
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.networks.onnx_weights import read_onnx_weights
from siamese_nima.networks.torch_weights import read_torch_weights
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.catalogue import (
    CHECKPOINT_SUFFIX,
    KERAS_SUFFIXES,
    TORCH_SUFFIXES,
    WEIGHT_SUFFIXES,
    models_folder,
)

MODEL_SUFFIX = ".onnx"
EXPORT_FORMATS = {"onnx": MODEL_SUFFIX, "safetensors": CHECKPOINT_SUFFIX, "keras-h5": ".h5"}


def read_weights(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    view: ViewPolicy | None = None,
    keras_version: int | None = None,
) -> tuple[NIMA, ModelCard]:
    """Read a checkpoint (.safetensors), a model file (.onnx), or weights of another program.

    Those are of Keras (.h5, .hdf5) or of torch (.pth, .pt), see `torch_weights`.

    Args:
        path: The file.
        name: Name for the card in place of the file's own.
        view: View policy for the card in place of the usual one for such weights.
        keras_version: 2 or 3, for Keras files that do not say which version wrote them.

    Raises:
        WeightsError: The file is missing, of another kind, or does not fit any known network.
    """
    source = Path(path)
    if not source.is_file():
        raise WeightsError(f"{source}: no such weight file")
    if source.suffix == CHECKPOINT_SUFFIX:
        nima, card = load_checkpoint(source)
    elif source.suffix in KERAS_SUFFIXES:
        nima, card = read_keras_h5(source, keras_version=keras_version, view=view)
    elif source.suffix in TORCH_SUFFIXES:
        nima, card = read_torch_weights(source)
    elif source.suffix == MODEL_SUFFIX:
        nima, card = read_onnx_weights(source)
    else:
        raise WeightsError(
            f"{source}: weight files end in {', '.join(WEIGHT_SUFFIXES)} or {MODEL_SUFFIX}"
        )
    if name is not None:
        card = replace(card, name=name)
    if view is not None:
        card = replace(card, view=view)
    return nima, card


def export_weights(nima: NIMA, card: ModelCard, path: str | os.PathLike[str], kind: str) -> Path:
    """Write a network as one of `EXPORT_FORMATS`.

    Raises:
        ConfigError: The format is unknown.
        WeightsError: The format cannot hold this network, or the file cannot be written.
    """
    target = Path(path)
    match kind:
        case "onnx":
            export_onnx(nima, card, target)
        case "safetensors":
            save_checkpoint(target, nima, card)
        case "keras-h5":
            write_keras_h5(target, nima, card)
        case _:
            raise ConfigError(
                f"format {kind!r} is unknown; possible are {', '.join(EXPORT_FORMATS)}"
            )
    return target


def converted(path: str | os.PathLike[str], *, view: ViewPolicy | None = None) -> Path:
    """The model file for a weight file, made on first use and kept in the models folder.

    The name of the kept file is the weight file's SHA-256, so a changed file is converted anew.

    Raises:
        WeightsError: As `read_weights`.
    """
    source = Path(path)
    if not source.is_file():
        raise WeightsError(f"{source}: no such weight file")
    digest = file_hash(source)
    suffix = "" if view is None else "-" + hashlib.sha256(str(view).encode()).hexdigest()[:8]
    target = models_folder() / "converted" / f"{digest}{suffix}.onnx"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        nima, card = read_weights(source, view=view)
        export_onnx(nima, card, target)
    return target
