"""The Siamese stage: a network that can rate learns from pairs of photos to rank them better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from siamese_nima.errors import ConfigError
from siamese_nima.networks.nima import NIMA
from siamese_nima.ratings import RatingScale
from siamese_nima.training.fitting import Figures, Machine, fit_stage
from siamese_nima.training.nima_stage import NimaStage, NimaStageConfig
from siamese_nima.training.objectives import SiameseLoss, SiameseObjective, siamese_loss
from siamese_nima.training.pair_figures import Validated, pair_figures
from siamese_nima.training.pair_loader import (
    PairBatch,
    PairedViews,
    pair_loader,
    plain_pair_loader,
)
from siamese_nima.training.pair_samplers import SamplerKind, pair_draws
from siamese_nima.training.pairs import PhotoLabels, all_pairs, label_pairs
from siamese_nima.training.processes import of_all_processes, this_process

Monitor = Literal["val_srcc", "val_pair_accuracy", "val_scene_accuracy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiameseStageConfig:
    """How the Siamese stage trains.

    Attributes:
        objective: What is asked of pairs, and the weight of the earth mover's distance beside it.
        sampler: Which photos share a batch: "random", "scene" (or ladder), or "hard".
        learning: Epochs, batch size, the two learning rates and so on, as in the NIMA stage.
        monitor: The figure whose best epoch is kept; higher is better.
    """

    objective: SiameseObjective = field(default_factory=SiameseObjective)
    sampler: SamplerKind = "random"
    learning: NimaStageConfig = field(default_factory=NimaStageConfig)
    monitor: Monitor = "val_pair_accuracy"

    def __post_init__(self) -> None:
        for name, kinds in (("sampler", SamplerKind), ("monitor", Monitor)):
            if getattr(self, name) not in get_args(kinds):
                wanted = ", ".join(get_args(kinds))
                raise ConfigError(f"{name} must be one of {wanted}, got {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """The configuration as the model card stores it."""
        return asdict(self)


class EpochStarter(Protocol):
    """A sampler whose draw depends on the number of the epoch."""

    def start_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draw comes next."""


class SiameseStage(NimaStage):
    """The Siamese stage as Lightning runs it: one forward pass per photo, any number of pairs.

    Optimiser, schedule, frozen batch norms and seeds are those of the NIMA stage.

    Args:
        nima: Trained in place.
        prepare: From batches of inputs (N, V, H, W, C) to what `nima` takes.
        scale: The rating scale.
        config: How to train.
        total_steps: Steps in all, for the schedule.
        pair_draws: Told each epoch's number; None where nothing is drawn.
    """

    def __init__(
        self,
        nima: NIMA,
        prepare: nn.Module,
        scale: RatingScale,
        config: SiameseStageConfig,
        total_steps: int,
        pair_draws: EpochStarter | None = None,
    ) -> None:
        super().__init__(nima, prepare, scale, config.learning, total_steps)
        self.scale = scale
        self.pair_draws = pair_draws
        self.objective = config.objective
        self.seen: list[Validated] = []

    def on_train_epoch_start(self) -> None:
        """Fix pairs and order of this epoch, so that resuming repeats them."""
        if self.pair_draws is not None:
            self.pair_draws.start_epoch(self.current_epoch)
        super().on_train_epoch_start()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Fix the dropout of this step.

        By step, not by epoch: a resumed run makes its data iterator at another moment, and making
        one draws a random number.
        """
        del batch, batch_idx
        torch.manual_seed(self.config.seed * 1_000_003 + self.global_step)

    def pair_loss(self, batch: PairBatch) -> SiameseLoss:
        """The loss of a batch from one forward pass; several processes form all pairs together."""
        labels, places, distributions = batch.labels, batch.places, batch.distributions
        predicted = of_all_processes(self(batch.inputs))
        if this_process().total > 1:
            labels = PhotoLabels(*map(of_all_processes, labels))
            distributions = of_all_processes(distributions)
            places = all_pairs(len(predicted), device=predicted.device)
        pairs = label_pairs(
            places,
            labels,
            self.scale,
            kind=self.objective.labels,
            doubt=self.objective.doubt,
            distributions=distributions,
        )
        return siamese_loss(self.objective, predicted, distributions, self.grades, pairs)

    def training_step(self, batch: PairBatch, _: int) -> Tensor:  # type: ignore[override]
        """The weighted loss of a batch."""
        loss = self.pair_loss(batch)
        figures = {"train_loss": loss.total, "train_pairs": loss.pairs, "train_emd": loss.emd}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(batch.inputs))
        return loss.total * this_process().total

    def validation_step(self, batch: PairBatch, _: int) -> None:  # type: ignore[override]
        """Keep what the network says and what people said until the epoch ends."""
        self.seen.append(Validated(self(batch.inputs), batch.distributions, batch.labels))

    def on_validation_epoch_end(self) -> None:
        """Log the figures over all validation photos."""
        validated = Validated.joined(self.seen)
        self.seen.clear()
        self.log_dict(pair_figures(validated, self.objective, self.scale))


def train_siamese_stage(
    nima: NIMA,
    prepare: nn.Module,
    train: PairedViews,
    val: PairedViews,
    folder: Path,
    *,
    config: SiameseStageConfig,
    report: Callable[[Figures], None] | None = None,
    callbacks: Sequence[Callback] = (),
    machine: Machine | None = None,
) -> list[Figures]:
    """Train in place, or go on from the last finished epoch where an earlier call was stopped.

    Parameters with `requires_grad` False stay as they are (see `networks.freezing`), and so do
    their batch norms' statistics.

    Args:
        nima: From a checkpoint of the NIMA stage, as a rule. Ends with the weights of the epoch
            that was best by `config.monitor`.
        prepare: From inputs (N, V, H, W, C) to what `nima` takes.
        train: Training photos.
        val: Validation photos; variant 0 of each is used.
        folder: Holds the checkpoints, the log and nothing else; a finished stage found there is
            loaded, not trained again.
        config: How to train.
        report: Called after each epoch with its figures.
        callbacks: As `fitting.fit_stage` takes them.
        machine: As `fitting.fit_stage` takes it.

    Returns:
        The figures of each epoch: epoch, train_loss, train_pairs, train_emd, and those of
        `pair_figures.pair_figures`.

    Raises:
        ConfigError: Fewer training photos than a batch holds, or `val` lacks what
            `config.monitor` needs.
    """
    learning = config.learning
    draws = pair_draws(
        config.sampler,
        means=train.rated.means,
        scenes=train.groups(),
        variants=train.rated.inputs.shape[0],
        batch_size=learning.batch_size,
        seed=learning.seed,
    )
    loader = pair_loader(train, draws)
    _require_monitor(config, val)
    steps = learning.epochs * len(loader)
    stage = SiameseStage(nima, prepare, train.scale, config, steps, draws)
    epochs = fit_stage(
        stage,
        loader,
        plain_pair_loader(val, learning.batch_size),
        folder,
        epochs=learning.epochs,
        precision=learning.precision,
        average_decay=stage.config.average_decay or 0.0,
        monitor=config.monitor,
        patience=learning.patience,
        report=report,
        callbacks=callbacks,
        machine=machine,
    )
    nima.eval()
    return epochs


def _require_monitor(config: SiameseStageConfig, val: PairedViews) -> None:
    target = torch.tensor(val.rated.distributions, dtype=torch.float32)
    perfect = Validated(target.nan_to_num(1 / target.shape[1]), target, val.labels())
    possible = pair_figures(perfect, config.objective, val.scale)
    if config.monitor not in possible:
        raise ConfigError(
            f"the {len(val)} validation photos give no {config.monitor} to choose the best epoch "
            f"by; they give {', '.join(possible)}"
        )
