"""The NIMA stage: rating distributions learnt photo by photo, by the earth mover's distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from siamese_nima.errors import ConfigError
from siamese_nima.evaluation.metrics import plcc, srcc
from siamese_nima.networks.nima import NIMA
from siamese_nima.ratings import RatingScale
from siamese_nima.training.fitting import Figures, Machine, fit_stage
from siamese_nima.training.losses import emd, squared_emd
from siamese_nima.training.photo_loader import (
    Batch,
    EpochDraws,
    RatedViews,
    plain_loader,
    train_loader,
)
from siamese_nima.training.processes import SharedDropout

Schedule = Literal["cosine", "plateau", "constant"]

_PLATEAU_FACTOR, _PLATEAU_EPOCHS = 0.3, 2
_LOSSES = {"emd": emd, "squared_emd": squared_emd}
_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class NimaStageConfig:
    """How one stage trains.

    Attributes:
        epochs: Passes over the training photos.
        batch_size: Photos per step.
        head_learning_rate: Peak rate of the head, which starts from random weights.
        backbone_learning_rate: Peak rate of the unfrozen backbone layers; 0 trains the head alone.
        weight_decay: Decoupled decay of convolution and head weights (not of biases, not of batch
            norms).
        warmup_steps: Steps over which the rates rise from 0; None for a tenth of all steps, at most
            100. Not for the schedule "plateau".
        schedule: What the rates do after that: "cosine", fall as half a cosine to 0 at the last
            epoch; "plateau", fall to .3 of themselves after two epochs without a better val EMD;
            "constant".
        patience: Stop after so many epochs without a better one; 0 never does.
        average_decay: Decay of the moving average of weights that is validated and kept; 0 keeps
            the last weights themselves. None averages over about the last tenth of all steps, at
            most 200 (.995).
        dropout: Share of features that the head does not see in a step; None leaves the network's
            (NIMA's is .75).
        update_batch_norm: Whether unfrozen batch norms go on measuring their statistics.
        precision: As Lightning names it; "bf16-mixed" is twice as fast on CPUs that have it.
        seed: Of order, variants and dropout.
        monitor: The figure whose best epoch is kept: "val_srcc", or "val_emd", which says more on a
            few dozen val photos, where an order is mostly chance.
        loss: "emd" is NIMA's, with the root: it hears each photo alike and settles near the middle
            of conflicting labels. "squared_emd" gives way to the photos that are furthest off and
            settles at their mean.
    """

    epochs: int = 8
    batch_size: int = 32
    head_learning_rate: float = 1e-3
    backbone_learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    warmup_steps: int | None = 100
    schedule: Schedule = "cosine"
    patience: int = 0
    average_decay: float | None = 0.995
    dropout: float | None = None
    update_batch_norm: bool = False
    precision: str = "32-true"
    seed: int = 0
    monitor: Literal["val_srcc", "val_emd"] = "val_srcc"
    loss: Literal["emd", "squared_emd"] = "emd"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in (
            "head_learning_rate",
            "backbone_learning_rate",
            "weight_decay",
            "warmup_steps",
            "patience",
        ):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.average_decay is not None and not 0 <= self.average_decay < 1:
            raise ConfigError(f"average_decay must be in [0, 1), got {self.average_decay}")
        if self.schedule not in get_args(Schedule):
            wanted = ", ".join(get_args(Schedule))
            raise ConfigError(f"schedule must be one of {wanted}, got {self.schedule!r}")
        if self.monitor not in ("val_srcc", "val_emd"):
            raise ConfigError(f"monitor must be val_srcc or val_emd, got {self.monitor!r}")
        if self.loss not in _LOSSES:
            raise ConfigError(f"loss must be one of {sorted(_LOSSES)}, got {self.loss!r}")
        if self.precision not in _PRECISIONS:
            raise ConfigError(f"precision must be one of {_PRECISIONS}, got {self.precision!r}")

    def fitted_to(self, steps: int) -> NimaStageConfig:
        """The same with numbers where `warmup_steps` or `average_decay` is None.

        A moving average over 200 steps would, in a run of 60, mostly hold the weights before it.
        """
        warmup, decay = self.warmup_steps, self.average_decay
        return replace(
            self,
            warmup_steps=min(100, steps // 10) if warmup is None else warmup,
            average_decay=max(0.0, min(0.995, 1 - 10 / steps)) if decay is None else decay,
        )


class NimaStage(lightning.LightningModule):
    """The NIMA stage as Lightning runs it.

    Args:
        nima: Trained in place. Its backbone may be the upper part of one (see `trunk`).
        prepare: From batches of inputs (N, V, H, W, C) to what `nima` takes.
        scale: The rating scale.
        config: Learning rates and so on.
        total_steps: Steps in all, for the schedule.
        draws: Told each epoch's number, or None when the loader sees to that itself.
    """

    grades: Tensor

    def __init__(
        self,
        nima: NIMA,
        prepare: nn.Module,
        scale: RatingScale,
        config: NimaStageConfig,
        total_steps: int,
        draws: EpochDraws | None = None,
    ) -> None:
        super().__init__()
        self.nima = nima
        self.prepare = prepare
        self.config = config.fitted_to(total_steps)
        self.total_steps = total_steps
        self.draws = draws
        self.register_buffer(
            "grades", torch.tensor(scale.grades, dtype=torch.float32), persistent=False
        )
        self.validated: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        """Rating distributions (N, K) of cached inputs (N, V, H, W, C)."""
        distributions: Tensor = self.nima(self.prepare(inputs))
        return distributions

    def on_fit_start(self) -> None:
        """Switch to training mode, which Lightning leaves as it is; share one dropout."""
        share = self.nima.dropout.p if self.config.dropout is None else self.config.dropout
        self.nima.dropout = SharedDropout(share)
        self.nima.train()

    def on_train_epoch_start(self) -> None:
        """Fix order and dropout of this epoch, so that resuming repeats them; still the norms."""
        if self.draws is not None:
            self.draws.start_epoch(self.current_epoch)
        torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch)
        for module in self.nima.modules():
            if isinstance(module, _BatchNorm):
                trains = any(parameter.requires_grad for parameter in module.parameters())
                module.train(trains and self.config.update_batch_norm)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Mean loss of a batch."""
        inputs, distributions = batch
        predicted = self(inputs)
        distance = emd(predicted.detach(), distributions).mean()
        self.log("train_emd", distance, on_step=False, on_epoch=True, sync_dist=True)
        return _LOSSES[self.config.loss](predicted, distributions).mean()

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep predicted and true means and the distance until the epoch ends."""
        inputs, distributions = batch
        predicted = self(inputs)
        self.validated.append(
            (
                emd(predicted, distributions),
                predicted @ self.grades,
                distributions @ self.grades,
            )
        )

    def on_validation_epoch_end(self) -> None:
        """Log the correlations over all validation photos."""
        distance, means, labels = (
            torch.cat(column).cpu().double().numpy() for column in zip(*self.validated, strict=True)
        )
        self.validated.clear()
        if len(means) > 1:
            self.log("val_srcc", srcc(means, labels))
            self.log("val_plcc", plcc(means, labels))
        self.log("val_emd", float(np.mean(distance)))

    def configure_optimizers(self) -> Any:
        """AdamW with a rate for the head and one for the backbone; warm-up, then half a cosine."""
        decay = self.config.weight_decay
        backbone = [p for p in self.nima.backbone.parameters() if p.requires_grad]
        head_rate, rate = self.config.head_learning_rate, self.config.backbone_learning_rate
        groups = [
            {"params": [self.nima.head.weight], "lr": head_rate, "weight_decay": decay},
            {"params": [self.nima.head.bias], "lr": head_rate, "weight_decay": 0.0},
            {"params": [p for p in backbone if p.ndim > 1], "lr": rate, "weight_decay": decay},
            {"params": [p for p in backbone if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
        if self.config.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=_PLATEAU_FACTOR, patience=_PLATEAU_EPOCHS - 1
            )
            chosen = {"scheduler": plateau, "interval": "epoch", "monitor": "val_emd"}
            return {"optimizer": optimizer, "lr_scheduler": chosen}
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def rate_factor(self, step: int) -> float:
        """The learning rates' share of their peak at a step, 0 to 1."""
        warmup = min(1.0, (step + 1) / ((self.config.warmup_steps or 0) + 1))
        if self.config.schedule == "constant":
            return warmup
        return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.total_steps)))


def train_nima_stage(
    nima: NIMA,
    prepare: nn.Module,
    train: RatedViews,
    val: RatedViews,
    folder: Path,
    *,
    scale: RatingScale,
    config: NimaStageConfig,
    report: Callable[[Figures], None] | None = None,
    callbacks: Sequence[Callback] = (),
    machine: Machine | None = None,
) -> list[Figures]:
    """Train in place, or go on from the last finished epoch where an earlier call was stopped.

    Parameters with `requires_grad` False stay as they are, and so do their batch norms' statistics.

    Args:
        nima: Ends with the weights of the epoch that was best by `config.monitor`.
        prepare: From inputs (N, V, H, W, C) to what `nima` takes.
        train: Training photos.
        val: Validation photos; variant 0 of each is used.
        folder: Holds the checkpoints, the log and nothing else; a finished stage found there is
            loaded, not trained again.
        scale: The rating scale.
        config: How to train.
        report: Called after each epoch with its figures.
        callbacks: As `fitting.fit_stage` takes them.
        machine: As `fitting.fit_stage` takes it.

    Returns:
        The figures of each epoch: epoch, train_emd, val_emd, val_srcc, val_plcc.
    """
    variants, photos = train.inputs.shape[:2]
    draws = EpochDraws(photos, variants, config.seed)
    loader = train_loader(train, config.batch_size, draws)
    stage = NimaStage(nima, prepare, scale, config, config.epochs * len(loader), draws)
    epochs = fit_stage(
        stage,
        loader,
        plain_loader(val, config.batch_size),
        folder,
        epochs=config.epochs,
        precision=config.precision,
        average_decay=stage.config.average_decay or 0.0,
        monitor=config.monitor,
        patience=config.patience,
        report=report,
        callbacks=callbacks,
        machine=machine,
    )
    nima.eval()
    return epochs
