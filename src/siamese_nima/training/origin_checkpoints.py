"""The checkpoints of `SiameseNIMA.train`: the NIMA part alone, after each epoch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, get_args

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback

from siamese_nima.card import ModelCard
from siamese_nima.datasets.contamination import PHOTO_PRINTS, training_record
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import ConfigError
from siamese_nima.networks.conversion import export_weights
from siamese_nima.networks.nima import NIMA
from siamese_nima.ratings import RatingScale
from siamese_nima.training.origin_training import OriginTrainingConfig

CheckpointFormat = Literal["safetensors", "h5"]

_KINDS = {"safetensors": "safetensors", "h5": "keras-h5"}
_SUFFIX = "-siamese"


def check_format(wanted: str) -> None:
    """Refuse a checkpoint format that is not one of `CheckpointFormat`.

    Raises:
        ConfigError: It is not.
    """
    if wanted not in get_args(CheckpointFormat):
        raise ConfigError(
            f"checkpoint_format must be one of {', '.join(get_args(CheckpointFormat))}, "
            f"got {wanted!r}"
        )


def checkpoint_name(epoch: int, figures: Mapping[str, float]) -> str:
    """The origin's name for the checkpoint of an epoch, counted from 1.

    >>> checkpoint_name(5, {"val_accuracy": 0.8119})
    'nima_weights05-0.812'
    >>> checkpoint_name(12, {})
    'nima_weights12'
    """
    accuracy = figures.get("val_accuracy")
    return f"nima_weights{epoch:02d}" + ("" if accuracy is None else f"-{accuracy:.3f}")


class NimaCheckpoints(Callback):
    """Writes the NIMA network after each epoch.

    Args:
        folder: Made if need be.
        nima: The network that is trained.
        card: Its card; see `trained_card`.
        kind: "safetensors", or "h5" for Keras, which has no place for the card.
    """

    def __init__(self, folder: Path, nima: NIMA, card: ModelCard, kind: CheckpointFormat) -> None:
        check_format(kind)
        self.folder = folder
        self.nima = nima
        self.card = card
        self.kind = kind

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write the checkpoint of this epoch."""
        del pl_module
        if not trainer.is_global_zero:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        name = checkpoint_name(trainer.current_epoch + 1, figures)
        self.folder.mkdir(parents=True, exist_ok=True)
        card = replace(self.card, metrics=validation_metrics(figures))
        export_weights(self.nima, card, self.folder / f"{name}.{self.kind}", _KINDS[self.kind])


def validation_metrics(figures: Mapping[str, float]) -> dict[str, Any]:
    """The figures that validation photos gave, as the card stores them."""
    measured = {name: round(value, 4) for name, value in figures.items() if name.startswith("val_")}
    return {"validation photos of SiameseNIMA.train": measured} if measured else {}


def trained_card(
    card: ModelCard,
    photos: Sequence[Path],
    config: OriginTrainingConfig,
    *,
    weights: str | os.PathLike[str] | None,
    frozen: str | int | None,
) -> ModelCard:
    """The card of a network that `SiameseNIMA.train` trains.

    Args:
        card: Of the network it started from.
        photos: Training photos, as often as they are in the table.
        config: How it is trained.
        weights: The file it started from; None for random weights.
        frozen: What `layer_to_freeze` was.
    """
    paths = tuple(dict.fromkeys(photos))
    table = RatingTable(paths=paths, mos=np.zeros(len(paths)), scale=RatingScale(0, 1))
    parent = None if weights is None else card
    return replace(
        card,
        name=card.name.removesuffix(_SUFFIX) + _SUFFIX,
        training={
            "stage": "Siamese, by SiameseNIMA.train",
            **training_record(table, parent),
            "objective": asdict(config.objective),
            "augmentation": asdict(config.augmentation),
            "epochs": config.epochs,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "layer_to_freeze": frozen,
            "before": {k: v for k, v in card.training.items() if k != PHOTO_PRINTS},
        },
        metrics={},
        # Measured on the scores of another network.
        population=None,
        golden=None,
        parent=None if weights is None else _sha256(Path(weights)),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
