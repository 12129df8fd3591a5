"""One stage of a run: what is frozen, what it is fed, and the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from siamese_nima.card import ModelCard
from siamese_nima.datasets.origin import bucketize
from siamese_nima.datasets.view_cache import ViewCache
from siamese_nima.errors import ConfigError
from siamese_nima.networks.freezing import (
    freeze,
    freeze_backbone,
    halfway_stage,
    stage_names,
)
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.training.fitting import Figures, Machine
from siamese_nima.training.ladder_views import RUNGS, with_ladders
from siamese_nima.training.nima_stage import NimaStageConfig, train_nima_stage
from siamese_nima.training.pair_loader import PairedViews
from siamese_nima.training.pairs import UNKNOWN
from siamese_nima.training.photo_loader import Inputs, RatedViews
from siamese_nima.training.run_config import HALF, HEAD_ALONE, NOTHING, StagePlan
from siamese_nima.training.run_data import SplitViews, first_process_first
from siamese_nima.training.siamese_stage import SiameseStageConfig, train_siamese_stage
from siamese_nima.training.trunk import (
    ActivationScaling,
    SplitBackbone,
    build_trunk_cache,
    split_backbone,
)
from siamese_nima.training.watch import Watch


class StageRun:
    """A stage that is about to train.

    Args:
        number: Of the stage, from 1 on.
        nima: The whole network; its parameters are trained in place.
        card: Of it: scale and normalisation.
        plan: How.
        splits: Photos, cut.
        cache: Folder for activations of frozen layers.
        watch: Hears how far these are.
    """

    def __init__(
        self,
        number: int,
        nima: NIMA,
        card: ModelCard,
        plan: StagePlan,
        splits: dict[str, SplitViews],
        cache: Path,
        watch: Watch,
    ) -> None:
        self.number = number
        self.card = card
        self.plan = plan
        self.splits = splits
        self.cache = cache
        self.watch = watch
        last_frozen = set_free(nima, plan.freeze)
        self.trunk = _trunk(nima, last_frozen, plan)
        self.network = nima
        self.prepare: nn.Module = PixelNormalisation(card.normalisation)
        if self.trunk is not None:
            self.network = NIMA(
                self.trunk.upper, grades=card.scale.size, group_sizes=nima.group_sizes
            )
            self.network.head = nima.head
            self.prepare = ActivationScaling()

    def fit(
        self, folder: Path, *, seed: int, callbacks: Sequence[Callback], machine: Machine
    ) -> list[Figures]:
        """Train, or go on; returns the figures of each epoch."""
        settings = self.plan.with_learning(seed=seed).settings
        common = {"callbacks": callbacks, "machine": machine}
        if isinstance(settings, SiameseStageConfig):
            return train_siamese_stage(
                self.network,
                self.prepare,
                self._paired("train"),
                self._paired("val"),
                folder,
                config=settings,
                **common,  # type: ignore[arg-type]
            )
        return train_nima_stage(
            self.network,
            self.prepare,
            self._rated("train"),
            self._rated("val"),
            folder,
            scale=self.card.scale,
            config=settings,
            **common,  # type: ignore[arg-type]
        )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        photos = len(self.splits["train"].table)
        ladders = self.splits["train"].ladders
        if ladders is not None and self.plan.kind == "siamese":
            photos += RUNGS * len(ladders.rows)
        return photos // self.plan.learning.batch_size

    def _inputs(self, views: ViewCache, what: str) -> Inputs:
        if self.trunk is None:
            return views.pixels
        with self.watch.progress(f"running frozen layers on {what}") as report:
            build = partial(
                build_trunk_cache,
                views,
                self.trunk.trunk,
                self.card.normalisation,
                self.cache,
                report=report,
            )
            what = f"frozen layers of stage {self.number} on {what}"
            return first_process_first(self.cache, what, views.key, build)

    def _rated(self, name: str) -> RatedViews:
        split, scale = self.splits[name], self.card.scale
        inputs = self._inputs(split.views, f"{name} photos")
        return RatedViews(inputs, split.table.distributions(scale), split.table.means(scale))

    def _paired(self, name: str) -> PairedViews:
        split, scale = self.splits[name], self.card.scale
        rated = self._rated(name)
        errors = split.table.standard_errors(scale)
        # A class per rating point, as the origin's labels are.
        buckets = bucketize(rated.means, np.arange(scale.low + 1, scale.high).tolist())
        plain = PairedViews(
            rated=rated,
            scale=scale,
            standard_errors=errors,
            buckets=buckets,
            scenes=split.table.scenes,
        )
        if split.ladders is None:
            return plain
        inputs = self._inputs(split.ladders.views.views, f"{name} ladders")
        joined = with_ladders(rated, split.table, inputs, split.ladders.rows, scale)
        rows = np.repeat(split.ladders.rows, RUNGS)
        clean = np.tile(np.arange(RUNGS) == 0, len(split.ladders.rows))
        return replace(
            joined,
            standard_errors=None if errors is None else np.concatenate([errors, errors[rows]]),
            buckets=np.concatenate([buckets, np.where(clean, buckets[rows], UNKNOWN)]),
        )


def set_free(nima: NIMA, frozen: str | int) -> str | None:
    """Freeze what a plan says; returns the last frozen stage where it has a name.

    Raises:
        ConfigError: The backbone has no such stage.
    """
    match frozen:
        case "backbone":
            freeze_backbone(nima)
            return stage_names(nima)[-1]
        case "nothing":
            freeze(nima, None)
            return None
        case "half":
            frozen = halfway_stage(nima)
    freeze(nima, frozen)
    return frozen if isinstance(frozen, str) else None


def _trunk(nima: NIMA, last_frozen: str | None, plan: StagePlan) -> SplitBackbone | None:
    """The backbone cut after its frozen part, where its results can be kept and shall be."""
    if plan.cache_trunk is False:
        return None
    try:
        if last_frozen is None:
            raise ConfigError(f"freeze = {plan.freeze!r} leaves no named part to run once")
        return split_backbone(nima.backbone, last_frozen)
    except ConfigError:
        if plan.cache_trunk:
            raise
        return None


def chosen_precision(wanted: str, machine: Machine) -> str:
    """Lightning's name for a precision; "auto" is half on CUDA, where it is twice as fast."""
    if wanted != "auto":
        return wanted
    cuda = machine.device in ("auto", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if cuda else "32-true"


def describe_stage(number: int, plan: StagePlan) -> str:
    """A stage's name for people."""
    frozen = {
        HEAD_ALONE: "the head alone",
        NOTHING: "all layers",
        HALF: "the upper half",
    }.get(str(plan.freeze), f"layers after {plan.freeze}")
    settings: NimaStageConfig | SiameseStageConfig = plan.settings
    kind = "NIMA stage"
    if isinstance(settings, SiameseStageConfig):
        kind = f"Siamese stage ({settings.objective.kind})"
    return f"stage {number}: {kind}, {frozen}"
