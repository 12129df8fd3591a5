"""What training goes on from: an own model, weights of others, or ImageNet."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from siamese_nima.card import ModelCard
from siamese_nima.datasets.rating_table import file_hash
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.backbones import (
    BackboneOptions,
    backbone_normalisation,
    build_backbone,
    timm_network,
    usual_view,
)
from siamese_nima.networks.conversion import MODEL_SUFFIX, read_weights
from siamese_nima.networks.keras.applications import require_trainable
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.quantised_mobilenet import (
    KERAS_OPTIONS,
    MobileNetName,
    build_dequantised,
    read_quantised_mobilenet,
)
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE, RatingScale
from siamese_nima.scoring.catalogue import WEIGHT_SUFFIXES, find_model

_TRAINING_VIEW = ViewPolicy.parse("warp:224")
HEAD_STD = 0.01
_IMAGENET, _RANDOM = "imagenet:", "random:"


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A network before training.

    Attributes:
        nima: In inference mode on the CPU.
        card: What it is; its view has a fixed size.
        parent: Card of the network that it was read from; None for a backbone without a head.
        digest: SHA-256 of the file; None where there is none.
        new_head: Whether the head knows nothing yet.
    """

    nima: NIMA
    card: ModelCard
    parent: ModelCard | None
    digest: str | None
    new_head: bool


def read_start(
    start: str,
    *,
    view: ViewPolicy | None,
    scale: RatingScale | None,
    seed: int,
    levels: tuple[str, ...] = (),
) -> Start:
    """Read a network to go on from; see `TrainConfig.start` for its forms.

    Args:
        start: What to read.
        view: View policy to train with; None for the network's own.
        scale: Rating scale of the network; None for its own, or 1..10.
        seed: Of random weights, a new head's among them.
        levels: Blocks whose channel means the head reads too; see `TrainConfig.levels`.

    Raises:
        WeightsError: The weights are missing, damaged, or cannot be downloaded.
        ConfigError: No such backbone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = _read(start, view, scale)
        return _with_levels(found, levels) if levels else found


def _read(start: str, view: ViewPolicy | None, scale: RatingScale | None) -> Start:
    for prefix in (_IMAGENET, _RANDOM):
        if start.startswith(prefix):
            name = start.removeprefix(prefix)
            backbone = _pretrained(name) if prefix == _IMAGENET else build_backbone(name)
            return _without_head(backbone, name, BackboneOptions(), view, scale, None)
    path = _find(start)
    digest = file_hash(path)
    if path.suffix == ".tflite":
        return _from_tflite(path, digest, view, scale)
    nima, parent = read_weights(path)
    require_trainable(nima.backbone, parent.backbone)
    return _with_head(nima, parent, digest, view, scale)


def _with_levels(found: Start, levels: tuple[str, ...]) -> Start:
    """The same network with a head that reads the channel means of some blocks, too.

    A head that knows something keeps it: it gives the means no weight yet, so that the network
    computes what it did.

    Raises:
        ConfigError: Another class of backbone, no such block, or one that reads blocks already.
    """
    options = BackboneOptions.from_dict(found.card.backbone_options)
    if options.levels or options.beside:
        raise ConfigError(f"levels: {found.card.backbone} reads several depths as it is")
    backbone = LevelPooling(found.nima.backbone, levels=levels, enlarge=options.enlarge)
    options = replace(options, levels=backbone.levels)
    card = replace(found.card, backbone_options=options.to_dict())
    nima = NIMA(backbone, grades=card.scale.size, group_sizes=card.view.group_sizes)
    if found.new_head:
        nn.init.normal_(nima.head.weight, std=HEAD_STD)
        nn.init.zeros_(nima.head.bias)
    else:
        _keep_head(nima.head, found.nima.head, groups=len(nima.group_sizes))
    return replace(found, nima=nima.eval(), card=card)


def _keep_head(wide: nn.Linear, known: nn.Linear, *, groups: int) -> None:
    """Give a head that reads more features per group of views what one of the last of them knew."""
    with torch.no_grad():
        wide.weight.zero_()
        last = known.in_features // groups
        columns = wide.weight.view(wide.out_features, groups, -1)
        columns[..., -last:] = known.weight.view(known.out_features, groups, last)
        wide.bias.copy_(known.bias)


def _find(start: str) -> Path:
    path = Path(start)
    if path.suffix in (*WEIGHT_SUFFIXES, ".tflite", MODEL_SUFFIX) or len(path.parts) > 1:
        if not path.is_file():
            raise WeightsError(f"{start}: no such file to start from")
        return path
    return find_model(start)


def _with_head(
    nima: NIMA,
    parent: ModelCard,
    digest: str,
    view: ViewPolicy | None,
    scale: RatingScale | None,
) -> Start:
    own = parent.view if parent.view.view_size is not None else _TRAINING_VIEW
    # What the parent's card says of its scores may not fit another scale.
    known = replace(parent, population=None, golden=None, metrics={})
    card = replace(known, view=view or own, scale=scale or parent.scale)
    same_head = card.scale.size == parent.scale.size and len(card.view.group_sizes) == len(
        nima.group_sizes
    )
    rebuilt = NIMA(nima.backbone, grades=card.scale.size, group_sizes=card.view.group_sizes)
    if same_head:
        rebuilt.head = nima.head
    return Start(rebuilt.eval(), card, parent, digest, not same_head)


def _without_head(
    backbone: nn.Module,
    name: str,
    options: BackboneOptions,
    view: ViewPolicy | None,
    scale: RatingScale | None,
    digest: str | None,
) -> Start:
    scale = scale or AVA_SCALE
    card = ModelCard(
        name=name,
        backbone=name,
        backbone_options=options.to_dict(),
        scale=scale,
        view=view or usual_view(backbone),
        normalisation=backbone_normalisation(backbone),
    )
    nima = NIMA(backbone, grades=scale.size, group_sizes=card.view.group_sizes)
    # Even odds for all grades, so that the first steps are not spent on forgetting noise.
    nn.init.normal_(nima.head.weight, std=HEAD_STD)
    nn.init.zeros_(nima.head.bias)
    return Start(nima.eval(), card, None, digest, new_head=True)


def _from_tflite(
    path: Path, digest: str, view: ViewPolicy | None, scale: RatingScale | None
) -> Start:
    weights = read_quantised_mobilenet(path)
    problems = []
    for name in get_args(MobileNetName):
        try:
            backbone = build_dequantised(name, weights)
        except WeightsError as error:
            problems.append(str(error))
            continue
        start = _without_head(backbone, name, KERAS_OPTIONS, view, scale, digest)
        return replace(start, card=replace(start.card, normalisation=weights.normalisation))
    raise WeightsError(f"{path}: {'; '.join(problems)}")


def _pretrained(name: str) -> nn.Module:
    build_backbone(name)  # refuses unknown names before anything is downloaded
    try:
        with _quiet():
            backbone = timm_network(name, pretrained=True)
    # The hub's client raises errors of many libraries, and timm one where there are no weights.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"{_IMAGENET}{name}: timm's pretrained weights are neither on this machine nor could "
            f"they be downloaded ({reason}). Offline, start from 'quality' or a file."
        ) from error
    return backbone


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
