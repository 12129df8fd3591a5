"""One stage of a run: what is frozen, what it is fed, and the fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.origin import bucketize
from siamese_nima.datasets.view_cache import LiveViews, ViewCache
from siamese_nima.errors import ConfigError
from siamese_nima.networks.freezing import freeze, freeze_backbone, halfway_stage
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.ratings import Floats
from siamese_nima.training.batches import Inputs, Photos, plain_batches
from siamese_nima.training.config import (
    HALF,
    HEAD_ALONE,
    NOTHING,
    StageConfig,
)
from siamese_nima.training.data import SplitViews, first_process_first
from siamese_nima.training.figures import val_figures
from siamese_nima.training.fit import Figures, StageLog, best_of, train_stage
from siamese_nima.training.ladder_views import RUNGS, with_ladders
from siamese_nima.training.start import HEAD_STD
from siamese_nima.training.trunk import (
    ActivationScaling,
    SplitBackbone,
    build_trunk_cache,
    split_backbone,
)
from siamese_nima.training.watch import Watch

_SHARES = tuple(round(0.02 * step, 2) for step in range(51))


class StageRun:
    """A stage that is about to train.

    Args:
        nima: The whole network; its parameters are trained in place.
        cache: Folder for activations of frozen layers.
        device: Where the network rates val photos.
    """

    def __init__(
        self,
        number: int,
        nima: NIMA,
        card: ModelCard,
        config: StageConfig,
        splits: dict[str, SplitViews],
        cache: Path,
        watch: Watch,
        *,
        device: str,
    ) -> None:
        self._known: dict[str, Photos] = {}
        self.number = number
        self.nima = nima
        self.card = card
        self.config = config
        self.splits = splits
        self.cache = cache
        self.watch = watch
        self.device = device
        last_frozen = set_free(nima, config.freeze)
        self.live = any(isinstance(split.views, LiveViews) for split in splits.values())
        if self.live and config.cache_trunk:
            raise ConfigError(
                "cache_trunk = true keeps what frozen layers make of the cut photos, which are not "
                "kept here; raise cache_gb, or leave cache_trunk out"
            )
        self.trunk = None if self.live else _trunk(nima, last_frozen, config)
        self.network = nima
        self.prepare: nn.Module = PixelNormalisation(card.normalisation)
        if self.trunk is not None:
            self.network = NIMA(
                self.trunk.upper, grades=card.scale.size, group_sizes=nima.group_sizes
            )
            self.network.head = nima.head
            self.prepare = ActivationScaling()

    def fit(
        self,
        folder: Path,
        *,
        seed: int,
        workers: int | None,
        log: StageLog,
        trainer: Mapping[str, Any],
    ) -> list[Figures]:
        """Train, or go on; returns the figures of each epoch."""
        helpers = usable_cores() if workers is None else workers
        with _levels_alone(self.nima, seed) if self.config.reads == "levels" else nullcontext():
            return train_stage(
                self.network,
                self.prepare,
                self._photos("train"),
                self._photos("val"),
                folder,
                config=self.config,
                seed=seed,
                workers=helpers if self.live else 0,
                log=log,
                trainer=trainer,
            )

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        photos = len(self.splits["train"].table)
        if self.splits["train"].ladders is not None and self.config.weight:
            photos += RUNGS * len(self.splits["train"].ladders.photos)
        return photos // self.config.batch_size

    def rated(self) -> Floats:
        """Rating distributions (N, K) of val photos by the network as it is now."""
        rated: Floats = self._rated()[: len(self.splits["val"].table)].double().numpy()
        return rated

    def _rated(self) -> Tensor:
        """Those of the photos, then those of the rungs of their ladders."""
        network, prepare = self.network.to(self.device).eval(), self.prepare.to(self.device)
        with torch.inference_mode():
            rated = [
                network(prepare(batch.inputs.to(self.device))).cpu()
                for batch in plain_batches(self._photos("val"), self.config.batch_size, whole=True)
            ]
        network.cpu()
        return torch.cat(rated)

    def figures(self) -> Figures:
        """The figures on val photos of the network as it is now."""
        val = self._photos("val")
        rated = self._rated()
        return val_figures(rated, val.distributions, val.labels, self.config, val.scale)

    def blend(self, before: Mapping[str, Tensor]) -> tuple[float, Figures]:
        """Mix the weights with earlier ones; returns the best share of the new, and figures.

        Args:
            before: The whole network's, as `state_dict` gives them.
        """
        after = {name: tensor.clone() for name, tensor in self.nima.state_dict().items()}
        found = {}
        for share in _SHARES:
            self._mix(before, after, share)
            found[share] = self.figures()
        share = best_of(found, self.config.monitor)
        self._mix(before, after, share)
        return share, found[share]

    def _mix(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float) -> None:
        mixed = {
            name: torch.lerp(before[name], new, share) if new.is_floating_point() else new
            for name, new in after.items()
        }
        self.nima.load_state_dict(mixed)

    def _inputs(self, views: ViewCache | LiveViews, what: str) -> Inputs:
        if self.trunk is None or not isinstance(views, ViewCache):
            return views
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

    def _photos(self, name: str) -> Photos:
        if name not in self._known:
            self._known[name] = self._read_photos(name)
        return self._known[name]

    def _read_photos(self, name: str) -> Photos:
        split, scale = self.splits[name], self.card.scale
        means = split.table.means(scale)
        photos = Photos(
            inputs=self._inputs(split.views, f"{name} photos"),
            distributions=split.table.distributions(scale),
            means=means,
            scale=scale,
            standard_errors=split.table.standard_errors(scale),
            # A class per rating point, as the origin's labels are.
            buckets=bucketize(means, np.arange(scale.low + 1, scale.high).tolist()),
            scenes=split.table.scenes,
        )
        if split.ladders is None or not self.config.weight:
            return photos
        inputs = self._inputs(split.ladders.views, f"{name} ladders")
        return with_ladders(photos, inputs, split.ladders.photos)


@contextmanager
def _levels_alone(nima: NIMA, seed: int) -> Iterator[None]:
    """Begin the head anew for the channel means of early blocks; other weights are and stay 0."""
    backbone, head = nima.backbone, nima.head
    assert isinstance(backbone, LevelPooling)
    means = sum(backbone.level_features)
    kept = torch.zeros(len(nima.group_sizes), backbone.num_features)
    kept[:, :means] = 1
    generator = torch.Generator().manual_seed(seed)
    drawn = HEAD_STD * torch.randn(head.weight.shape, generator=generator)
    with torch.no_grad():
        head.weight.copy_(drawn * kept.flatten())
        head.bias.zero_()
    hook = head.weight.register_hook(  # type: ignore[no-untyped-call]
        lambda slope: slope * kept.flatten().to(slope.device)
    )
    try:
        yield
    finally:
        hook.remove()


def set_free(nima: NIMA, frozen: str | int) -> str | None:
    """Freeze what a plan says; returns the last frozen stage where it has a name.

    Raises:
        ConfigError: The backbone has no such stage.
    """
    match frozen:
        case "backbone":
            freeze_backbone(nima)
            return HEAD_ALONE
        case "nothing":
            freeze(nima, None)
            return None
        case "half":
            frozen = halfway_stage(nima)
    freeze(nima, frozen)
    return frozen if isinstance(frozen, str) else None


def _trunk(nima: NIMA, last_frozen: str | None, config: StageConfig) -> SplitBackbone | None:
    """The backbone cut after its frozen part, where its results can be kept and shall be."""
    if config.cache_trunk is False:
        return None
    try:
        if last_frozen is None:
            raise ConfigError(f"freeze = {config.freeze!r} leaves no named part to run once")
        return split_backbone(nima.backbone, last_frozen)
    except ConfigError:
        if config.cache_trunk:
            raise
        return None


def describe_stage(number: int, config: StageConfig) -> str:
    """A stage's name for people."""
    frozen = {
        HEAD_ALONE: "the head alone",
        NOTHING: "all layers",
        HALF: "the upper half",
    }.get(str(config.freeze), f"layers after {config.freeze}")
    kind = "NIMA stage" if config.kind == "nima" else f"Siamese stage ({config.objective})"
    return f"stage {number}: {kind}, {frozen}"
