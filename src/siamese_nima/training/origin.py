"""One call of `SiameseNIMA.train`: the origin's way to train, as a preset of the one stage.

Contrastive pairs by bucket, one optimiser, a checkpoint per epoch. What differs from the origin:
each photo of a batch goes through the network once, however many pairs it is in; augmentation
cannot tear pairs and labels apart; frozen batch norms keep their statistics; and the signed
objectives can take the place of the contrastive one.
"""

from __future__ import annotations

import inspect
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from numpy.typing import NDArray

from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.contamination import PHOTO_PRINTS, record_of
from siamese_nima.datasets.rating_table import file_hash
from siamese_nima.errors import ConfigError, PhotoError, TableError, did_you_mean
from siamese_nima.networks.conversion import export_weights
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy, Views
from siamese_nima.ratings import RatingScale, distribution_from_mos
from siamese_nima.training.augmentation import augmentation_from_keras
from siamese_nima.training.batches import Photos, load_batches
from siamese_nima.training.config import StageConfig
from siamese_nima.training.figures import Figures
from siamese_nima.training.fit import StageLog, make_trainer, quiet_lightning
from siamese_nima.training.optimizers import optimizer_maker
from siamese_nima.training.samplers import InOrder
from siamese_nima.training.stage import Stage

CheckpointFormat = Literal["safetensors", "h5"]

# The origin's names, of Keras.
_NAMES = {"epoch": "epoch", "train_loss": "loss", "train_accuracy": "accuracy"}
_KINDS = {"safetensors": "safetensors", "h5": "keras-h5"}
_SUFFIX = "-siamese"
# What people bring along from Keras' fit_generator, and what it is called here.
_HONOURED = {
    "steps_per_epoch": "limit_train_batches",
    "validation_steps": "limit_val_batches",
    "validation_freq": "check_val_every_n_epoch",
    "initial_epoch": "initial_epoch",
    "verbose": "enable_progress_bar",
}
_IGNORED = ("workers", "use_multiprocessing", "max_queue_size")
_REFUSED = {
    "validation_data": "give val_raw",
    "class_weight": "pairs of one and of two buckets are equally many as it is",
    "shuffle": "pairs are drawn anew each epoch",
}


def train_as_origin(
    build: Callable[[], tuple[NIMA, ModelCard, ViewPolicy]],
    train_raw: Any,
    val_raw: Any,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Any,
    callback: Any,
    augmentation_args: Mapping[str, Any] | None,
    objective: str | StageConfig,
    checkpoint_format: CheckpointFormat,
    checkpoints: Path | None,
    seed: int,
    weights: Any,
    frozen: str | int | None,
    arguments: Mapping[str, Any],
) -> tuple[ModelCard, list[Figures]]:
    """Check all options, build the network, read the photos, train; see `SiameseNIMA.train`.

    `build` gives the network with its frozen parameters, its card, and how photos are shown; the
    network is trained in place, and ends on the CPU, in inference mode, with the weights of the
    last epoch. `weights` is the file that it is from and `frozen` what is frozen, for the card,
    `checkpoints` a folder, and `arguments` are of Lightning's Trainer or of Keras' `fit_generator`.

    Returns:
        The card of the trained network, and the figures of each epoch.
    """
    if checkpoint_format not in _KINDS:
        known = ", ".join(get_args(CheckpointFormat))
        raise ConfigError(f"checkpoint_format must be one of {known}, got {checkpoint_format!r}")
    chosen = _trainer_arguments(arguments)
    first_epoch = int(chosen.pop("initial_epoch", 0))
    config = _config(objective, epochs, batch_size)
    augmentation = augmentation_from_keras(augmentation_args)
    make_optimizer = optimizer_maker(optimizer)
    callbacks, functions = _callbacks(callback, chosen.pop("callbacks", None))
    # The caller's random numbers go on undisturbed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nima, card, view = build()
    train, paths = read_photos(train_raw, view, card.scale, config)
    val = None
    if val_raw is not None and len(val_raw) == 2:
        val, _ = read_photos(val_raw, view, card.scale, config)
    if config.sampler != "bucket":
        config = config.changed(batch_size=min(config.batch_size, len(train)))
    training = {
        "by": "SiameseNIMA.train",
        **record_of([*map(file_hash, dict.fromkeys(paths))], None if weights is None else card),
        "stages": [config.entries()],
        "augmentation": asdict(augmentation),
        "seed": seed,
        "layer_to_freeze": frozen,
        "before": {name: said for name, said in card.training.items() if name != PHOTO_PRINTS},
    }
    trained = replace(
        card,
        name=card.name.removesuffix(_SUFFIX) + _SUFFIX,
        training=training,
        metrics={},
        # Measured on the scores of another network.
        population=None,
        golden=None,
        parent=None if weights is None else file_hash(Path(weights)),
    )
    if checkpoints is not None:
        write = partial(_write_checkpoint, checkpoints, nima, trained, checkpoint_format)
        functions = [write, *functions]

    def report(epochs: list[Figures]) -> None:
        figures = _named(epochs[-1])
        number = int(figures.pop("epoch"))
        for function in functions:
            function(number, figures)

    log, prepare = StageLog(report), PixelNormalisation(card.normalisation)
    stage = Stage(nima, prepare, train, config, val=val, seed=seed, make_optimizer=make_optimizer)
    defaults = {
        "max_epochs": epochs,
        "accelerator": "auto",
        "devices": 1,
        "enable_progress_bar": True,
        # Lightning refuses its own checkpoint callback without it, and adds one with it.
        "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in callbacks),
    }
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        trainer = make_trainer([log, *callbacks], **(defaults | chosen))
        stage.draws.start_epoch(first_epoch)
        progress: Any = trainer.fit_loop.epoch_progress.current
        progress.ready = progress.processed = progress.completed = first_epoch
        trainer.fit(
            stage,
            load_batches(train, stage.draws, config, augmentation=augmentation),
            None if val is None else load_batches(val, InOrder(len(val), config.batch_size)),
        )
    nima.cpu().eval()
    history = [_named(figures) for figures in log.epochs]
    return replace(trained, metrics=_metrics(history[-1] if history else {})), history


def _named(figures: Figures) -> Figures:
    known = {name: value for name, value in figures.items() if name.startswith("val_")}
    return {new: figures[old] for old, new in _NAMES.items() if old in figures} | known


def read_photos(
    raw: Any, policy: ViewPolicy, scale: RatingScale, config: StageConfig
) -> tuple[Photos, tuple[Path, ...]]:
    """Photos beside labels, cut to views once and kept for all epochs; and their paths.

    Photos that cannot be read are left out with a warning that names them.

    Raises:
        TableError: `raw` is something else, or no photo can be read.
        ConfigError: Labels outside the scale where the earth mover's distance is used.
    """
    paths, labels = _checked(raw)

    def cut(path: Path) -> Views | PhotoError:
        try:
            # Decoded in full, as `SiameseNIMA.predict` does.
            return policy.views(read_photo(path))
        except PhotoError as error:
            return error

    shape = (1, len(paths), sum(policy.group_sizes), *(policy.view_size or ()), 3)
    with tempfile.TemporaryFile() as file:  # which is gone when nobody maps it any more
        views = np.memmap(file, np.uint8, "w+", shape=shape)
    unreadable: list[PhotoError] = []
    kept: list[int] = []
    for row, found in enumerate(map_in_order(cut, paths, workers=usable_cores())):
        if isinstance(found, PhotoError):
            unreadable.append(found)
        else:
            views[0, len(kept)] = found
            kept.append(row)
    if not kept:
        raise TableError(f"none of the {len(paths)} photos can be read; the first: {unreadable[0]}")
    if unreadable:
        listed = "\n".join(f"  {error}" for error in unreadable)
        warnings.warn(f"{len(unreadable)} photos are left out of training:\n{listed}", stacklevel=4)
    means = labels[kept].astype(np.float64)
    distributions = np.full((len(means), scale.size), np.nan)
    if config.emd_weight > 0 or config.labels == "votes":
        if means.min() < scale.low or means.max() > scale.high:
            raise ConfigError(
                f"labels run from {means.min():g} to {means.max():g}; the earth mover's distance "
                f"needs mean opinion scores on the model's scale {scale}. Give such, or set "
                "emd_weight=0."
            )
        distributions = distribution_from_mos(means, scale)
    # Class labels numbered from 0; the same label is the same number.
    buckets = np.unique(means, return_inverse=True)[1]
    photos = Photos(views[:, : len(kept)], distributions, means, scale, buckets=buckets)
    return photos, tuple(paths[row] for row in kept)


def _checked(raw: Any) -> tuple[list[Path], NDArray[Any]]:
    if not isinstance(raw, (tuple, list)) or len(raw) != 2:
        raise TableError(
            "training data are (paths, labels), as load_data returns them for the columns "
            f"file_name and label; got {type(raw).__name__}"
            + (f" of length {len(raw)}" if isinstance(raw, Sequence) else "")
        )
    paths = [Path(os.fspath(path)) for path in raw[0]]
    labels = np.asarray(raw[1])
    if not paths:
        raise TableError("the table has no photos")
    if labels.shape != (len(paths),) or labels.dtype.kind not in "iufb":
        raise TableError(
            f"{len(paths)} photos need as many labels that are numbers, got shape {labels.shape} "
            f"of {labels.dtype}"
        )
    if not np.all(np.isfinite(labels)):
        raise TableError("a label is not a finite number")
    return paths, labels


def _config(objective: str | StageConfig, epochs: int, batch_size: int) -> StageConfig:
    if isinstance(objective, str):
        objective = StageConfig(kind="siamese", objective=objective, emd_weight=0.0)
    contrastive = objective.objective == "contrastive"
    return objective.changed(
        epochs=epochs,
        batch_size=batch_size,
        sampler="bucket" if contrastive else objective.sampler,
        # The origin draws as many pairs of one bucket as of two.
        balanced=not contrastive,
        update_batch_norm=True,
        average_decay=0.0,
        dropout=None,
    )


def _write_checkpoint(
    folder: Path, nima: NIMA, card: ModelCard, kind: str, epoch: int, figures: Figures
) -> None:
    """Write the NIMA network, without its twin; Keras' files have no place for the card."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"nima_weights{epoch + 1:02d}"  # the origin's
    if "val_accuracy" in figures:
        name += f"-{figures['val_accuracy']:.3f}"
    card = replace(card, metrics=_metrics(figures))
    export_weights(nima, card, folder / f"{name}.{kind}", _KINDS[kind])


def _metrics(figures: Mapping[str, float]) -> dict[str, Any]:
    """The figures that validation photos gave, as the card stores them."""
    measured = {name: round(value, 4) for name, value in figures.items() if name.startswith("val_")}
    return {"validation photos of SiameseNIMA.train": measured} if measured else {}


def _callbacks(*given: Any) -> tuple[list[Callback], list[Callable[[int, Figures], object]]]:
    """Lightning's callbacks, and functions of epoch and figures."""
    callbacks, functions = [], []
    for one in (one for some in given for one in (some if isinstance(some, Sequence) else [some])):
        if isinstance(one, Callback):
            callbacks.append(one)
        elif callable(one):
            functions.append(one)
        elif one is not None:
            raise ConfigError(
                "callback is a Lightning callback or a function of epoch and figures, or a list of "
                f"them; got {type(one).__name__}"
            )
    return callbacks, functions


def _trainer_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for Lightning's Trainer, from such and from those of Keras' `fit_generator`.

    And `initial_epoch`, the number of the first. What only steers execution there is ignored, with
    one warning that names it.
    """
    known = [*inspect.signature(lightning.Trainer.__init__).parameters][1:]
    arguments: dict[str, Any] = {}
    ignored = []
    for name, value in given.items():
        if name in _IGNORED or (name == "shuffle" and value is True):
            ignored.append(name)
        elif name in _REFUSED:
            raise ConfigError(f"train has no {name}: {_REFUSED[name]}")
        elif name in (*_HONOURED, *known):
            arguments[_HONOURED.get(name, name)] = bool(value) if name == "verbose" else value
        else:
            hint = did_you_mean(name, [*known, *_HONOURED])
            raise ConfigError(f"neither train nor Lightning's Trainer has an argument {name}{hint}")
    if ignored:
        said = f"{', '.join(ignored)}: ignored, the result does not depend on it"
        warnings.warn(said, stacklevel=4)
    return arguments
