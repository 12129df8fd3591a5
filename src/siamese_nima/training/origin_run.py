"""One call of `SiameseNIMA.train`: options checked first, then photos read, then trained."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from siamese_nima.card import ModelCard
from siamese_nima.errors import ConfigError
from siamese_nima.networks.nima import NIMA
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.training.augmentation import augmentation_from_keras
from siamese_nima.training.fitting import Figures
from siamese_nima.training.labelled_photos import LabelledPhotos, read_labelled_photos
from siamese_nima.training.objectives import SiameseObjective
from siamese_nima.training.optimizers import MakeOptimizer, optimizer_maker
from siamese_nima.training.origin_checkpoints import (
    CheckpointFormat,
    NimaCheckpoints,
    check_format,
    trained_card,
    validation_metrics,
)
from siamese_nima.training.origin_training import (
    EpochFunction,
    OriginTrainingConfig,
    check_trainer_arguments,
    train_as_origin,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOrigin:
    """What came out of a run.

    Attributes:
        card: Of the trained network.
        epochs: The figures of each epoch.
    """

    card: ModelCard
    epochs: list[Figures]


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRun:
    """The options of a run, checked before any weight or photo is read."""

    config: OriginTrainingConfig
    make_optimizer: MakeOptimizer
    callbacks: tuple[Callback | EpochFunction, ...]
    checkpoint_format: CheckpointFormat
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
        objective: str | SiameseObjective,
        checkpoint_format: CheckpointFormat,
        seed: int,
        trainer_arguments: Mapping[str, Any],
    ) -> OriginRun:
        """The options as `SiameseNIMA.train` takes them.

        Raises:
            ConfigError: An option that is unknown or impossible.
        """
        check_format(checkpoint_format)
        check_trainer_arguments(trainer_arguments)
        if isinstance(objective, str):
            objective = SiameseObjective(
                kind=objective,  # type: ignore[arg-type]
                emd_weight=0.0,
                balanced=False,
            )
        return cls(
            config=OriginTrainingConfig(
                epochs=epochs,
                batch_size=batch_size,
                objective=objective,
                augmentation=augmentation_from_keras(augmentation_args),
                seed=seed,
            ),
            make_optimizer=optimizer_maker(optimizer),
            callbacks=_callbacks(callback),
            checkpoint_format=checkpoint_format,
            trainer_arguments=trainer_arguments,
        )

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Random weights follow the run's seed; the caller's random numbers go on undisturbed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
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
    ) -> TrainedOrigin:
        """Read the photos and train `nima` in place.

        Args:
            nima: With its frozen parameters.
            card: Of `nima` before training.
            train_raw: (paths, labels).
            val_raw: (paths, labels), or None, or as the origin has it without labels.
            view: How photos are shown.
            checkpoints: Folder for them; None writes none.
            weights: The file that `nima` is from, or None.
            frozen: What was frozen, for the card.
        """
        with tempfile.TemporaryDirectory() as folder:
            train = _read(train_raw, view, Path(folder, "train.npy"))
            val = None
            if val_raw is not None and len(val_raw) == 2:
                val = _read(val_raw, view, Path(folder, "val.npy"))
            card = trained_card(card, train.paths, self.config, weights=weights, frozen=frozen)
            callbacks = list(self.callbacks)
            if checkpoints is not None:
                callbacks.insert(
                    0, NimaCheckpoints(checkpoints, nima, card, self.checkpoint_format)
                )
            epochs = train_as_origin(
                nima,
                card,
                train,
                val,
                config=self.config,
                optimizer=self.make_optimizer,
                callbacks=callbacks,
                trainer_arguments=self.trainer_arguments,
            )
        last = epochs[-1] if epochs else {}
        return TrainedOrigin(card=replace(card, metrics=validation_metrics(last)), epochs=epochs)


def _read(raw: Any, view: ViewPolicy, store: Path) -> LabelledPhotos:
    photos = read_labelled_photos(raw, view, store)
    if photos.unreadable:
        count = len(photos.unreadable)
        listed = "\n".join(f"  {error}" for error in photos.unreadable)
        warnings.warn(f"{count} photos are left out of training:\n{listed}", stacklevel=4)
    return photos


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
