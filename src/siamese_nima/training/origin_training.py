"""The origin's training loop: contrastive pairs by bucket, one optimiser, a checkpoint per epoch.

What differs from the origin: each photo of a batch goes through the network once, however many
pairs it is in; augmentation cannot tear pairs and labels apart; frozen batch norms keep their
statistics; and the signed objectives can take the place of the contrastive one.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from siamese_nima.card import ModelCard
from siamese_nima.errors import ConfigError
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.ratings import RatingScale, distribution_from_mos
from siamese_nima.training.augmentation import Augmentation
from siamese_nima.training.bucket_pairs import same_bucket_accuracy
from siamese_nima.training.fitting import EpochHistory, Figures, quiet_lightning
from siamese_nima.training.labelled_photos import LabelledPhotos
from siamese_nima.training.nima_stage import NimaStageConfig
from siamese_nima.training.objectives import SiameseObjective
from siamese_nima.training.optimizers import MakeOptimizer
from siamese_nima.training.pair_figures import Validated, pair_figures
from siamese_nima.training.pair_loader import (
    PairBatch,
    PairedViews,
    bucket_pair_loader,
    pair_loader,
    plain_pair_loader,
)
from siamese_nima.training.pair_samplers import BucketPairDraws, PairDraws
from siamese_nima.training.photo_loader import RatedViews
from siamese_nima.training.siamese_stage import SiameseStage, SiameseStageConfig

EpochFunction = Callable[[int, Figures], object]

# What people bring along from Keras' fit_generator.
_KERAS_ARGUMENTS = {
    "steps_per_epoch": "give limit_train_batches",
    "validation_steps": "give limit_val_batches",
    "validation_freq": "give check_val_every_n_epoch",
    "validation_data": "give val_raw",
    "class_weight": "pairs of one and of two buckets are equally many as it is",
    "initial_epoch": "go on from a checkpoint with nima_weight_path",
    "shuffle": "pairs are drawn anew each epoch",
    "workers": "photos are decoded once, before the first epoch",
    "use_multiprocessing": "photos are decoded once, before the first epoch",
    "max_queue_size": "photos are decoded once, before the first epoch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginTrainingConfig:
    """How `SiameseNIMA.train` trains.

    Attributes:
        epochs: Passes over the pairs, or photos.
        batch_size: Pairs per step for the contrastive objective, photos for the others, which
            learn from all pairs of a batch.
        objective: What is asked of pairs.
        augmentation: Of training photos.
        seed: Of pairs, order, dropout and augmentation.
    """

    epochs: int = 20
    batch_size: int = 64
    objective: SiameseObjective = SiameseObjective(  # noqa: RUF009
        kind="contrastive", emd_weight=0.0, balanced=False
    )
    augmentation: Augmentation = Augmentation()  # noqa: RUF009
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


class OriginStage(SiameseStage):
    """The Siamese stage with the origin's optimiser and the names of its figures."""

    def __init__(
        self,
        nima: NIMA,
        card: ModelCard,
        config: OriginTrainingConfig,
        optimizer: MakeOptimizer,
        draws: PairDraws | BucketPairDraws,
    ) -> None:
        learning = NimaStageConfig(
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            update_batch_norm=True,
            average_decay=0,
        )
        super().__init__(
            nima,
            PixelNormalisation(card.normalisation),
            card.scale,
            SiameseStageConfig(objective=config.objective, learning=learning),
            total_steps=1,
            pair_draws=draws,
        )
        self.make_optimizer = optimizer

    def training_step(self, batch: PairBatch, _: int) -> Tensor:  # type: ignore[override]
        """The loss of a batch; logs it and the origin's accuracy on the batch's pairs."""
        loss = self.pair_loss(batch)
        figures: dict[str, Any] = {"loss": loss.total}
        first, second = batch.labels.buckets[batch.places]
        if len(first) == len(loss.gap) > 0:
            gap = loss.gap.detach().cpu().numpy()
            figures["accuracy"] = same_bucket_accuracy(gap, (first == second).cpu().numpy())
        self.log_dict(
            figures, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.inputs)
        )
        return loss.total

    def on_validation_epoch_end(self) -> None:
        """Log the figures over all validation photos."""
        validated = Validated.joined(self.seen)
        self.seen.clear()
        # Among all pairs those of one bucket are few; the origin draws as many of either.
        balanced = replace(self.objective, balanced=True)
        self.log_dict(pair_figures(validated, balanced, self.scale), prog_bar=True)

    def configure_optimizers(self) -> Optimizer:
        """The caller's optimiser over the parameters that are not frozen."""
        return self.make_optimizer([p for p in self.nima.parameters() if p.requires_grad])


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
            self.function(trainer.current_epoch, _figures(trainer))


def check_trainer_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that Lightning's Trainer does not have, saying what to do instead.

    `verbose` is accepted as Keras has it: 0 hides the progress bar.

    Raises:
        ConfigError: There is one.
    """
    known = [*inspect.signature(lightning.Trainer.__init__).parameters][1:]
    for name in arguments:
        if name in _KERAS_ARGUMENTS:
            raise ConfigError(f"train has no {name}: {_KERAS_ARGUMENTS[name]}")
        if name not in (*known, "verbose"):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"neither train nor Lightning's Trainer has an argument {name}{hint}")


def _trainer(
    config: OriginTrainingConfig,
    callbacks: Sequence[Callback | EpochFunction],
    arguments: Mapping[str, Any],
) -> lightning.Trainer:
    check_trainer_arguments(arguments)
    chosen = dict(arguments)
    verbose = bool(chosen.pop("verbose", True))
    given = chosen.pop("callbacks", None) or []
    every = [*callbacks, *(given if isinstance(given, Sequence) else [given])]
    defaults: dict[str, Any] = {
        "max_epochs": config.epochs,
        "accelerator": "auto",
        "devices": 1,
        "logger": False,
        # Lightning refuses its own checkpoint callback without it, and adds one with it.
        "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in every),
        "enable_model_summary": False,
        "enable_progress_bar": verbose,
        "num_sanity_val_steps": 0,
    }
    wrapped = [one if isinstance(one, Callback) else EpochFunctionCallback(one) for one in every]
    return lightning.Trainer(**(defaults | chosen), callbacks=wrapped)


def train_as_origin(
    nima: NIMA,
    card: ModelCard,
    train: LabelledPhotos,
    val: LabelledPhotos | None,
    *,
    config: OriginTrainingConfig,
    optimizer: MakeOptimizer,
    callbacks: Sequence[Callback | EpochFunction] = (),
    trainer_arguments: Mapping[str, Any] | None = None,
) -> list[Figures]:
    """Train in place; parameters with `requires_grad` False stay as they are.

    Args:
        nima: Ends on the CPU, in inference mode, with the weights of the last epoch.
        card: Of `nima`: rating scale and normalisation.
        train: Training photos and labels.
        val: Validation photos and labels, or None.
        config: How to train.
        optimizer: Makes the optimiser from the parameters to train.
        callbacks: Lightning callbacks, or functions of epoch and figures.
        trainer_arguments: For Lightning's Trainer.

    Returns:
        The figures of each epoch: epoch, loss, accuracy, and with validation photos val_loss,
        val_accuracy and what else `pair_figures.pair_figures` says.

    Raises:
        ConfigError: Labels that make no pairs or, where the earth mover's distance is used, lie
            outside the rating scale; or an unknown trainer argument.
    """
    views = _paired(train, card.scale, config.objective)
    loader, draws = _loader(views, config)
    checking = None
    if val is not None:
        checking = plain_pair_loader(_paired(val, card.scale, config.objective), config.batch_size)
    stage = OriginStage(nima, card, config, optimizer, draws)
    history = EpochHistory()
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        trainer = _trainer(config, [history, *callbacks], trainer_arguments or {})
        trainer.fit(stage, loader, checking)
    nima.cpu().eval()
    return history.epochs


def _loader(
    views: PairedViews, config: OriginTrainingConfig
) -> tuple[DataLoader[PairBatch], PairDraws | BucketPairDraws]:
    if config.objective.kind == "contrastive":
        pairs = BucketPairDraws(views.labels().buckets.numpy(), config.batch_size, config.seed)
        return bucket_pair_loader(views, pairs, augmentation=config.augmentation), pairs
    draws = PairDraws(len(views), 1, min(config.batch_size, len(views)), config.seed)
    return pair_loader(views, draws, augmentation=config.augmentation), draws


def _paired(photos: LabelledPhotos, scale: RatingScale, objective: SiameseObjective) -> PairedViews:
    labels = photos.labels.astype(np.float64)
    distributions = np.full((len(labels), scale.size), np.nan)
    if objective.emd_weight > 0 or objective.labels == "votes":
        if labels.min() < scale.low or labels.max() > scale.high:
            raise ConfigError(
                f"labels run from {labels.min():g} to {labels.max():g}; the earth mover's distance "
                f"needs mean opinion scores on the model's scale {scale}. Give such, or set "
                "emd_weight=0."
            )
        distributions = distribution_from_mos(labels, scale)
    rated = RatedViews(photos.views[np.newaxis], distributions, labels)
    return PairedViews(rated=rated, scale=scale, buckets=_classes(photos.labels))


def _classes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Class labels numbered from 0; the same label is the same number."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _figures(trainer: lightning.Trainer) -> Figures:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
