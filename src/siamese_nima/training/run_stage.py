"""What a stage of a run trains and is fed: frozen layers, their results kept, mixed weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from siamese_nima.card import ModelCard
from siamese_nima.datasets.origin import bucketize
from siamese_nima.datasets.view_cache import LiveViews, ViewCache
from siamese_nima.errors import ConfigError
from siamese_nima.networks.freezing import freeze, freeze_backbone, halfway_stage
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.ratings import Floats
from siamese_nima.training.batches import Inputs, Photos, load_batches
from siamese_nima.training.config import HALF, HEAD_ALONE, NOTHING, StageConfig, TrainConfig
from siamese_nima.training.data import SplitViews
from siamese_nima.training.figures import Figures, best_of, val_figures
from siamese_nima.training.pairs import UNKNOWN
from siamese_nima.training.samplers import InOrder
from siamese_nima.training.stage import Stage
from siamese_nima.training.start import HEAD_STD
from siamese_nima.training.trunk import (
    ActivationScaling,
    UpperLayers,
    build_trunk_cache,
    split_backbone,
)
from siamese_nima.training.watch import Watch

_SHARES = tuple(round(0.02 * step, 2) for step in range(51))


def prepare_stage(
    run: TrainConfig,
    number: int,
    nima: NIMA,
    card: ModelCard,
    splits: Mapping[str, SplitViews],
    folder: Path,
    watch: Watch,
) -> Stage:
    """What a stage trains: what it wants frozen is, and runs once where its results can be kept.

    Args:
        run: The configuration.
        number: Of the stage, from 1 on.
        nima: The whole network; its parameters are those of the stage's.
        card: Of it.
        splits: The photos.
        folder: For results of frozen layers.
        watch: Hears how far they are.

    Raises:
        ConfigError: Nothing can be kept that shall be, or there are too few photos for a batch.
    """
    config = run.stage[number - 1]
    live = any(isinstance(split.views, LiveViews) for split in splits.values())
    if live and config.cache_trunk:
        raise ConfigError(
            "cache_trunk = true keeps what frozen layers make of the cut photos, which are not "
            "kept here; raise cache_gb, or leave cache_trunk out"
        )
    cut, network = _frozen(nima, config), nima
    halves = None if live else cut
    if halves is not None:
        network = NIMA(halves[1], grades=card.scale.size, group_sizes=nima.group_sizes)
        network.head = nima.head

    def inputs(views: ViewCache | LiveViews, what: str) -> Inputs:
        if halves is None or not isinstance(views, ViewCache):
            return views
        with watch.progress(f"running frozen layers on {what}") as report:
            return build_trunk_cache(views, halves[0], card.normalisation, folder, report=report)

    def photos(name: str) -> Photos:
        split, scale = splits[name], card.scale
        means = split.table.means(scale)
        found = Photos(
            inputs=inputs(split.views, f"{name} photos"),
            distributions=split.table.distributions(scale),
            means=means,
            scale=scale,
            standard_errors=split.table.standard_errors(scale),
            # A class per rating point, as the origin's labels are.
            buckets=bucketize(means, np.arange(scale.low + 1, scale.high).tolist()),
            scenes=split.table.scenes,
        )
        if split.ladders is None or not config.weight:
            return found
        on_ladders = inputs(split.ladders, f"{name} ladders")
        return found.with_ladders(on_ladders, split.ladder_rows)

    prepare = PixelNormalisation(card.normalisation) if halves is None else ActivationScaling()
    train, val, seed = photos("train"), photos("val"), run.seed + number
    return Stage(network, prepare, train, config, val=val, seed=seed)


def require_stages(nima: NIMA, stages: Sequence[StageConfig]) -> None:
    """Stop where a stage wants frozen, or run once, what the network does not have.

    Raises:
        ConfigError: Names the stage.
    """
    for number, config in enumerate(stages, start=1):
        try:
            _frozen(nima, config)
        except ConfigError as error:
            raise ConfigError(f"[[stage]] {number}: {error}") from None


def _frozen(nima: NIMA, config: StageConfig) -> tuple[Module, UpperLayers] | None:
    """Freeze what a stage wants frozen; the backbone cut after it, where that can be and shall."""
    last = halfway_stage(nima) if config.freeze == HALF else config.freeze
    if last == HEAD_ALONE:
        freeze_backbone(nima)
    else:
        freeze(nima, None if last == NOTHING else last)
    if config.cache_trunk is False:
        return None
    try:
        if last == NOTHING or not isinstance(last, str):
            raise ConfigError(f"freeze = {config.freeze!r} leaves no named part to run once")
        return split_backbone(nima.backbone, last)
    except ConfigError:
        if config.cache_trunk:
            raise
        return None


def measure(stage: Stage, device: str) -> tuple[Floats, Figures]:
    """Rating distributions (N, K) of the validation photos as it is now, and their figures.

    Rungs of ladders count in the figures alone.
    """
    assert stage.val is not None
    stage.to(device).eval()
    in_order = InOrder(len(stage.val), stage.config.batch_size, whole=True)
    with torch.inference_mode():
        batches = load_batches(stage.val, in_order)
        parts = [stage(batch.inputs.to(device)).cpu() for batch in batches]
    stage.cpu()
    rated = torch.cat(parts)
    photos = rated[stage.val.labels.ladders == UNKNOWN]
    return photos.double().numpy(), val_figures(rated, stage.val, stage.config)


def blend(
    nima: NIMA, before: Mapping[str, Tensor], stage: Stage, device: str
) -> tuple[float, Figures]:
    """Mix a network's weights with earlier ones, as is best by the stage's `monitor`.

    Args:
        nima: The whole network, of which the stage trained a part; ends with the mixed weights.
        before: Its state before.
        stage: Measures it.
        device: Where.

    Returns:
        The share of the new weights, and figures.
    """
    after = {name: tensor.clone() for name, tensor in nima.state_dict().items()}

    def mixed(share: float) -> Figures:
        nima.load_state_dict(
            {
                name: torch.lerp(before[name], new, share) if new.is_floating_point() else new
                for name, new in after.items()
            }
        )
        return measure(stage, device)[1]

    share = best_of({share: mixed(share) for share in _SHARES}, stage.config.monitor)
    return share, mixed(share)


@contextmanager
def levels_alone(nima: NIMA, seed: int) -> Iterator[None]:
    """Begin the head anew for the channel means of early blocks; other weights are and stay 0."""
    backbone, head = nima.backbone, nima.head
    assert isinstance(backbone, LevelPooling)
    kept = torch.zeros(len(nima.group_sizes), backbone.num_features)
    kept[:, : sum(backbone.level_features)] = 1
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


def describe_stage(number: int, config: StageConfig) -> str:
    """A stage's name for people."""
    words = {HEAD_ALONE: "the head alone", NOTHING: "all layers", HALF: "the upper half"}
    frozen = words.get(str(config.freeze), f"layers after {config.freeze}")
    kind = "NIMA stage" if config.kind == "nima" else f"Siamese stage ({config.objective})"
    return f"stage {number}: {kind}, {frozen}"
