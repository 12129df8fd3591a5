"""A stage of training as Lightning runs it: distributions, and where asked pairs, of rated photos.

Every stage is this one. The NIMA stage has the weight 0 for pairs; the Siamese stage learns from
pairs of the photos of a batch, each of which goes through the network once; the origin's draws its
pairs by bucket and has no earth mover's distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import lightning
import torch
from timm.optim._optim_factory import create_optimizer_v2
from timm.optim._param_groups import param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from siamese_nima.errors import ConfigError
from siamese_nima.networks.nima import NIMA
from siamese_nima.training.batches import Batch, Photos
from siamese_nima.training.config import StageConfig
from siamese_nima.training.figures import same_bucket_accuracy, val_figures
from siamese_nima.training.objectives import StageLoss, stage_loss
from siamese_nima.training.samplers import this_process


class Stage(lightning.LightningModule):
    """One stage.

    Args:
        nima: Trained in place: parameters with `requires_grad` False stay as they are (see
            `networks.freezing`), and so do their batch norms' statistics. Its backbone may be the
            upper part of one (see `trunk`).
        prepare: From batches of inputs (N, V, H, W, C) to what `nima` takes.
        photos: To learn from.
        config: How to train.
        val: The validation photos, of each of which variant 0 is used; None for none.
        seed: Of order, variants and dropout.
        make_optimizer: From the parameters that are not frozen; None for AdamW with a rate for the
            head and one for the backbone, as `config` says.

    Attributes:
        draws: Of the training photos.
        total_steps: Steps of the optimiser in all.

    Raises:
        ConfigError: Fewer training photos than a batch holds.
    """

    grades: Tensor

    def __init__(
        self,
        nima: NIMA,
        prepare: nn.Module,
        photos: Photos,
        config: StageConfig,
        *,
        val: Photos | None = None,
        seed: int = 0,
        make_optimizer: Callable[[list[nn.Parameter]], Optimizer] | None = None,
    ) -> None:
        super().__init__()
        self.nima = nima
        self.prepare = prepare
        self.photos = photos
        self.draws = photos.draws(config, seed)
        self.total_steps = config.epochs * -(-len(self.draws) // config.accumulate)
        self.config = config.fitted_to(self.total_steps)
        self.val = val
        self.seed = seed
        self.make_optimizer = make_optimizer
        grades = torch.tensor(photos.scale.grades, dtype=torch.float32)
        self.register_buffer("grades", grades, persistent=False)
        self.validated: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        """Rating distributions (N, K), single precision, of cached inputs (N, V, H, W, C)."""
        distributions: Tensor = self.nima(self.prepare(inputs))
        return distributions

    def on_fit_start(self) -> None:
        """Switch to training mode, which Lightning leaves as it is."""
        if self.config.dropout is not None:
            self.nima.dropout.p = self.config.dropout
        self.nima.train()
        if self.config.compile:
            self.nima.compile()

    def on_train_epoch_start(self) -> None:
        """Fix the draws of this epoch, so that resuming repeats them."""
        self.draws.start_epoch(self.current_epoch)

    def on_train_batch_start(self, _: Any, batch_idx: int) -> None:
        """Fix the dropout of this batch, so that a resumed run repeats it; still the norms."""
        rank, processes = this_process()
        step = (self.current_epoch * 1_000_003 + batch_idx) * processes + rank
        torch.manual_seed(self.seed * 1_000_000_007 + step)
        if batch_idx == 0 or self.trainer.fit_loop.restarted_mid_epoch:
            self._still_norms()

    def _still_norms(self) -> None:
        for module in self.nima.modules():
            if isinstance(module, _BatchNorm):
                trains = any(parameter.requires_grad for parameter in module.parameters())
                module.train(trains and self.config.update_batch_norm)

    def batch_loss(self, batch: Batch) -> StageLoss:
        """The loss of a whole batch from one forward pass per photo.

        Several processes gather what each says of its share, and form all pairs together. The
        gradient of the gathered is that of the whole batch in every process, times their number,
        which Lightning's mean over processes takes off again.
        """
        predicted = self(batch.inputs)
        if this_process()[1] > 1:
            gathered = cast(Tensor, self.all_gather(predicted, sync_grads=True))
            predicted = gathered.flatten(0, 1)
        return stage_loss(self.config, predicted, batch.distributions, self.grades, batch.pairs)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The weighted loss of a batch."""
        loss = self.batch_loss(batch)
        figures = {"train_loss": loss.total, "train_emd": loss.emd}
        if self.config.weight:
            figures["train_pairs"] = loss.pairs
        if self.config.sampler == "bucket":
            gap = loss.gap.detach()
            figures["train_accuracy"] = same_bucket_accuracy(gap, batch.pairs.same_bucket)
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(batch.distributions))
        return loss.total

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep what the network says until the epoch ends."""
        self.validated.append(self(batch.inputs))

    def on_validation_epoch_end(self) -> None:
        """Log the figures over all validation photos."""
        assert self.val is not None
        predicted = torch.cat(self.validated)
        self.validated.clear()
        if not bool(predicted.isfinite().all()):
            raise ConfigError(self._diverged())
        if this_process()[1] > 1:
            predicted = cast(Tensor, self.all_gather(predicted)).flatten(0, 1)
        predicted = predicted[: len(self.val)].float().cpu()
        self.log_dict(val_figures(predicted, self.val, self.config))

    def on_train_epoch_end(self) -> None:
        """Stop where the loss is no number any more."""
        if not math.isfinite(self.trainer.callback_metrics.get("train_loss", 0.0)):
            raise ConfigError(self._diverged())

    def _diverged(self) -> str:
        return (
            f"training diverged in epoch {self.current_epoch + 1}: the loss is no number any more. "
            "That is not the photos' fault: take smaller learning rates (head "
            f"{self.config.head_learning_rate:g}, backbone "
            f"{self.config.backbone_learning_rate:g}), or bound a step's gradient with clip = 1"
        )

    def configure_optimizers(self) -> Any:
        """AdamW with a rate for the head and one for the backbone; warm-up, then half a cosine."""
        if self.make_optimizer is not None:
            return self.make_optimizer([p for p in self.nima.parameters() if p.requires_grad])
        optimizer = create_optimizer_v2(self._parameter_groups(), opt="adamw")
        if self.config.schedule == "plateau":
            plateau = ReduceLROnPlateau(optimizer, factor=0.3, patience=1)
            schedule = {"scheduler": plateau, "interval": "epoch", "monitor": "val_emd"}
        else:
            schedule = {"scheduler": LambdaLR(optimizer, self.rate_factor), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Timm's groups, whose lists know what of a network must not decay."""
        config, backbone = self.config, self.nima.backbone
        kept = set(getattr(backbone, "no_weight_decay", set)())
        decay: dict[str, Any] = {"weight_decay": config.weight_decay, "no_weight_decay_list": kept}
        if config.layer_decay < 1:
            layers = param_groups_layer_decay(backbone, layer_decay=config.layer_decay, **decay)
        else:
            layers = param_groups_weight_decay(backbone, **decay)
        head = param_groups_weight_decay(self.nima.head, config.weight_decay)
        rates = ((head, config.head_learning_rate), (layers, config.backbone_learning_rate))
        return [
            group | {"lr": rate * group.get("lr_scale", 1.0)}
            for groups, rate in rates
            for group in groups
            if group["params"]
        ]

    def rate_factor(self, step: int) -> float:
        """The learning rates' share of their peak at a step, 0 to 1."""
        warmup = min(1.0, (step + 1) / ((self.config.warmup_steps or 0) + 1))
        if self.config.schedule == "constant":
            return warmup
        return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.total_steps)))
