"""One call of `SiameseNIMA.train`: the origin's way to train, as a preset of the one stage.

Contrastive pairs by bucket, one optimiser, a checkpoint per epoch. What differs from the origin:
each photo of a batch goes through the network once, however many pairs it is in; augmentation
cannot tear pairs and labels apart; frozen batch norms keep their statistics; and the signed
objectives can take the place of the contrastive one.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from siamese_nima.atomic_write import clear_away
from siamese_nima.card import ModelCard
from siamese_nima.datasets.contamination import PHOTO_PRINTS, training_record
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import ConfigError
from siamese_nima.networks.conversion import export_weights
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale, distribution_from_mos
from siamese_nima.training.augmentation import Augmentation, augmentation_from_keras
from siamese_nima.training.batches import Photos, plain_batches, train_batches
from siamese_nima.training.config import StageConfig
from siamese_nima.training.fit import (
    EpochHistory,
    Figures,
    figures_of,
    make_trainer,
    quiet_lightning,
)
from siamese_nima.training.labelled_photos import LabelledPhotos, read_labelled_photos
from siamese_nima.training.optimizers import MakeOptimizer, optimizer_maker
from siamese_nima.training.stage import Stage

CheckpointFormat = Literal["safetensors", "h5"]
EpochFunction = Callable[[int, Figures], object]

NAMES = {"train_loss": "loss", "train_accuracy": "accuracy"}  # the origin's, of Keras
_KINDS = {"safetensors": "safetensors", "h5": "keras-h5"}
_SUFFIX = "-siamese"
# What people bring along from Keras' fit_generator, and what it is called here.
_HONOURED = {
    "steps_per_epoch": "limit_train_batches",
    "validation_steps": "limit_val_batches",
    "validation_freq": "check_val_every_n_epoch",
}
_REFUSED = {
    "validation_data": "give val_raw",
    "class_weight": "pairs of one and of two buckets are equally many as it is",
    "shuffle": "pairs are drawn anew each epoch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRun:
    """The options of a run, checked before any weight or photo is read.

    Attributes:
        config: How it trains.
        augmentation: Of training photos.
        make_optimizer: From the parameters to train.
        callbacks: Lightning's, or functions of epoch and figures.
        checkpoint_format: Of the checkpoint of each epoch.
        first_epoch: The number of the first epoch that is trained, from 0 on.
        seed: Of pairs, order, dropout and augmentation.
        trainer_arguments: For Lightning's Trainer.
    """

    config: StageConfig
    augmentation: Augmentation
    make_optimizer: MakeOptimizer
    callbacks: tuple[Callback | EpochFunction, ...]
    checkpoint_format: CheckpointFormat
    first_epoch: int
    seed: int
    trainer_arguments: Mapping[str, Any]

    @classmethod
    def checked(
        cls,
        *,
        epochs: int,
        batch_size: int,
        optimizer: Any,
        callback: Any,
        augmentation_args: Mapping[str, Any] | None,
        objective: str | StageConfig,
        checkpoint_format: CheckpointFormat,
        seed: int,
        trainer_arguments: Mapping[str, Any],
    ) -> OriginRun:
        """The options as `SiameseNIMA.train` takes them.

        Raises:
            ConfigError: An option that is unknown or impossible.
        """
        check_format(checkpoint_format)
        arguments = trainer_arguments_of(trainer_arguments)
        if isinstance(objective, str):
            objective = StageConfig(kind="siamese", objective=objective, emd_weight=0.0)
        contrastive = objective.objective == "contrastive"
        return cls(
            config=objective.changed(
                epochs=epochs,
                batch_size=batch_size,
                sampler="bucket" if contrastive else objective.sampler,
                # The origin draws as many pairs of one bucket as of two.
                balanced=not contrastive,
                update_batch_norm=True,
                average_decay=0.0,
                dropout=None,
            ),
            augmentation=augmentation_from_keras(augmentation_args),
            make_optimizer=optimizer_maker(optimizer),
            callbacks=_callbacks(callback),
            checkpoint_format=checkpoint_format,
            first_epoch=int(arguments.pop("initial_epoch", 0)),
            seed=seed,
            trainer_arguments=arguments,
        )

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Random weights follow the run's seed; the caller's random numbers go on undisturbed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            yield

    def train(
        self,
        nima: NIMA,
        card: ModelCard,
        train_raw: Any,
        val_raw: Any,
        *,
        view: ViewPolicy,
        checkpoints: Path | None,
        weights: Any,
        frozen: str | int | None,
    ) -> tuple[ModelCard, list[Figures]]:
        """Read the photos and train `nima` in place.

        Args:
            nima: With its frozen parameters. Ends on the CPU, in inference mode, with the weights
                of the last epoch.
            card: Of `nima` before training.
            train_raw: (paths, labels).
            val_raw: (paths, labels), or None, or as the origin has it without labels.
            view: How photos are shown.
            checkpoints: Folder for them; None writes none.
            weights: The file that `nima` is from, or None.
            frozen: What was frozen, for the card.

        Returns:
            The card of the trained network, and the figures of each epoch: epoch, loss, accuracy,
            and with validation photos val_loss, val_accuracy and what else `figures.val_figures`
            says.

        Raises:
            ConfigError: Labels that make no pairs or, where the earth mover's distance is used, lie
                outside the rating scale.
        """

        def fitted() -> tuple[ModelCard, list[Figures]]:
            labelled = _read(train_raw, view, folder / "train.npy")
            train = _photos(labelled, card.scale, self.config)
            val = None
            if val_raw is not None and len(val_raw) == 2:
                read = _read(val_raw, view, folder / "val.npy")
                val = _photos(read, card.scale, self.config)
            trained = self._card(card, labelled.paths, weights=weights, frozen=frozen)
            callbacks = list(self.callbacks)
            if checkpoints is not None:
                callbacks.insert(
                    0, NimaCheckpoints(checkpoints, nima, trained, self.checkpoint_format)
                )
            return trained, self._fit(nima, trained, train, val, callbacks)

        folder = Path(tempfile.mkdtemp())
        try:
            trained, epochs = fitted()  # whose variables keep files of views mapped into memory
        finally:
            if problem := clear_away(folder):
                warnings.warn(problem, stacklevel=3)
        last = epochs[-1] if epochs else {}
        return replace(trained, metrics=validation_metrics(last)), epochs

    def _fit(
        self,
        nima: NIMA,
        card: ModelCard,
        train: Photos,
        val: Photos | None,
        callbacks: Sequence[Callback | EpochFunction],
    ) -> list[Figures]:
        config = self.config
        if config.sampler != "bucket":
            config = config.changed(batch_size=min(config.batch_size, len(train)))
        draws = train.draws(config, self.seed)
        stage = Stage(
            nima,
            PixelNormalisation(card.normalisation),
            card.scale,
            config,
            total_steps=1,
            seed=self.seed,
            draws=draws,
            val=val,
            make_optimizer=self.make_optimizer,
        )
        loader = train_batches(train, config, draws, augmentation=self.augmentation)
        checking = None if val is None else plain_batches(val, config.batch_size)
        history = EpochHistory(names=NAMES)
        with quiet_lightning(), torch.random.fork_rng(devices=[]):
            trainer = self._trainer([history, *callbacks])
            draws.start_epoch(self.first_epoch)
            progress: Any = trainer.fit_loop.epoch_progress.current
            progress.ready = progress.processed = progress.completed = self.first_epoch
            trainer.fit(stage, loader, checking)
        nima.cpu().eval()
        return history.epochs

    def _trainer(self, callbacks: Sequence[Callback | EpochFunction]) -> lightning.Trainer:
        chosen = dict(self.trainer_arguments)
        verbose = bool(chosen.pop("verbose", True))
        given = chosen.pop("callbacks", None) or []
        every = [*callbacks, *(given if isinstance(given, Sequence) else [given])]
        defaults: dict[str, Any] = {
            "max_epochs": self.config.epochs,
            "accelerator": "auto",
            "devices": 1,
            # Lightning refuses its own checkpoint callback without it, and adds one with it.
            "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in every),
            "enable_progress_bar": verbose,
        }
        wrapped = [
            one if isinstance(one, Callback) else EpochFunctionCallback(one) for one in every
        ]
        return make_trainer(wrapped, **(defaults | chosen))

    def _card(
        self,
        card: ModelCard,
        photos: Sequence[Path],
        *,
        weights: str | os.PathLike[str] | None,
        frozen: str | int | None,
    ) -> ModelCard:
        paths = tuple(dict.fromkeys(photos))
        table = RatingTable(paths=paths, mos=np.zeros(len(paths)), scale=RatingScale(0, 1))
        return replace(
            card,
            name=card.name.removesuffix(_SUFFIX) + _SUFFIX,
            training={
                "by": "SiameseNIMA.train",
                **training_record(table, None if weights is None else card),
                "stages": [self.config.entries()],
                "augmentation": asdict(self.augmentation),
                "seed": self.seed,
                "layer_to_freeze": frozen,
                "before": {k: v for k, v in card.training.items() if k != PHOTO_PRINTS},
            },
            metrics={},
            # Measured on the scores of another network.
            population=None,
            golden=None,
            parent=None if weights is None else _sha256(Path(weights)),
        )


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
    """Writes the NIMA network, without its twin, after each epoch.

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
        figures = figures_of(trainer, NAMES)
        name = checkpoint_name(trainer.current_epoch + 1, figures)
        self.folder.mkdir(parents=True, exist_ok=True)
        card = replace(self.card, metrics=validation_metrics(figures))
        export_weights(self.nima, card, self.folder / f"{name}.{self.kind}", _KINDS[self.kind])


def validation_metrics(figures: Mapping[str, float]) -> dict[str, Any]:
    """The figures that validation photos gave, as the card stores them."""
    measured = {name: round(value, 4) for name, value in figures.items() if name.startswith("val_")}
    return {"validation photos of SiameseNIMA.train": measured} if measured else {}


class EpochFunctionCallback(Callback):
    """A plain function as a callback: it gets the epoch's number, from 0 on, and its figures."""

    def __init__(self, function: EpochFunction) -> None:
        self.function = function

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Call the function."""
        del pl_module
        if trainer.is_global_zero:
            self.function(trainer.current_epoch, figures_of(trainer, NAMES))


def trainer_arguments_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for Lightning's Trainer, from such and from those of Keras' `fit_generator`.

    `verbose` is as Keras has it: 0 hides the progress bar. `initial_epoch` is the number of the
    first epoch. What only steers execution there is ignored, with a warning that names it.

    Raises:
        ConfigError: One that neither has, or that would change the result and cannot be honoured.
    """
    known = [*inspect.signature(lightning.Trainer.__init__).parameters][1:]
    arguments = without_steering(given)
    for name in list(arguments):
        if name in _HONOURED:
            arguments[_HONOURED[name]] = arguments.pop(name)
        elif name in _REFUSED:
            raise ConfigError(f"train has no {name}: {_REFUSED[name]}")
        elif name not in (*known, "verbose", "initial_epoch"):
            close = difflib.get_close_matches(name, [*known, *_HONOURED], n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"neither train nor Lightning's Trainer has an argument {name}{hint}")
    return arguments


def without_steering(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without those of Keras that only say how the work is done, with one warning."""
    steering = ("workers", "use_multiprocessing", "max_queue_size")
    ignored = [
        name for name in given if name in steering or (name == "shuffle" and given[name] is True)
    ]
    if ignored:
        warnings.warn(
            f"{', '.join(ignored)}: ignored, the result does not depend on it", stacklevel=4
        )
    return {name: value for name, value in given.items() if name not in ignored}


def _read(raw: Any, view: ViewPolicy, store: Path) -> LabelledPhotos:
    photos = read_labelled_photos(raw, view, store)
    if photos.unreadable:
        count = len(photos.unreadable)
        listed = "\n".join(f"  {error}" for error in photos.unreadable)
        warnings.warn(f"{count} photos are left out of training:\n{listed}", stacklevel=4)
    return photos


def _photos(photos: LabelledPhotos, scale: RatingScale, config: StageConfig) -> Photos:
    labels = photos.labels.astype(np.float64)
    distributions = np.full((len(labels), scale.size), np.nan)
    if config.emd_weight > 0 or config.labels == "votes":
        if labels.min() < scale.low or labels.max() > scale.high:
            raise ConfigError(
                f"labels run from {labels.min():g} to {labels.max():g}; the earth mover's distance "
                f"needs mean opinion scores on the model's scale {scale}. Give such, or set "
                "emd_weight=0."
            )
        distributions = distribution_from_mos(labels, scale)
    return Photos(
        inputs=photos.views[np.newaxis],
        distributions=distributions,
        means=labels,
        scale=scale,
        # Class labels numbered from 0; the same label is the same number.
        buckets=np.unique(photos.labels, return_inverse=True)[1].astype(np.int64),
    )


def _callbacks(callback: Any) -> tuple[Callback | EpochFunction, ...]:
    given = callback if isinstance(callback, Sequence) else [callback]
    chosen = [one for one in given if one is not None]
    for one in chosen:
        if not isinstance(one, Callback) and not callable(one):
            raise ConfigError(
                "callback is a Lightning callback or a function of epoch and figures, or a list of "
                f"them; got {type(one).__name__}"
            )
    return tuple(chosen)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
