"""Where models are: embedded in the package, or downloaded into the user's data folder."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from siamese_nima.errors import ConfigError, WeightsError, did_you_mean
from siamese_nima.user_folders import data_folder

MODELS_FOLDER_VARIABLE = "SIAMESE_NIMA_MODELS"

KERAS_SUFFIXES = (".h5", ".hdf5")
CHECKPOINT_SUFFIX = ".safetensors"
TORCH_SUFFIXES = (".pth", ".pt")
WEIGHT_SUFFIXES = (*KERAS_SUFFIXES, *TORCH_SUFFIXES, CHECKPOINT_SUFFIX)


def embedded_models() -> dict[str, Path]:
    """Models that ship with the package, by name."""
    folder = Path(str(files("siamese_nima") / "models"))
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def eight_bit_form(model: str | os.PathLike[str]) -> Path | None:
    """The file of an embedded model that computes in 8 bits; None for all other models.

    Args:
        model: As `find_model` takes it; a path means that very file.
    """
    known = embedded_models()
    if str(model) not in known or str(model) in installed_models():
        return None
    path = known[str(model)]
    form = path.parent / "8bit" / path.name
    return form if form.is_file() else None


def models_folder() -> Path:
    """Where downloaded and imported models live.

    The environment variable SIAMESE_NIMA_MODELS, or else the platform's folder for user data.
    """
    if chosen := os.environ.get(MODELS_FOLDER_VARIABLE):
        return Path(chosen)
    return data_folder() / "models"


def installed_models() -> dict[str, Path]:
    """Model files in the user's models folder, by name."""
    try:
        folder = models_folder()
    except ConfigError:  # no home folder, so nothing is in it
        return {}
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def find_model(model: str | os.PathLike[str]) -> Path:
    """The model file for a name or a path.

    A path is anything with a folder in it or with the ending of a weight file. Names of the user's
    models folder come before embedded ones.

    Raises:
        WeightsError: No such model; or a weight file that must be imported first.
    """
    path = Path(model)
    if path.suffix in WEIGHT_SUFFIXES:
        raise WeightsError(
            f"{path}: a weight file, not a model file; make one with 'nima models import "
            f"{path}', then give {path.stem!r} as the model"
        )
    if path.suffix == ".onnx" or len(path.parts) > 1:
        return path
    known = embedded_models() | installed_models()
    if path.name not in known:
        raise WeightsError(
            f"no model named {path.name!r}{did_you_mean(path.name, known)}; "
            f"there are {', '.join(sorted(known)) or 'none'}. "
            "'nima models' lists them, 'nima models get NAME' downloads published weights."
        )
    return known[path.name]
