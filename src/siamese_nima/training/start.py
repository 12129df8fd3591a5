"""What training goes on from: an own model, weights of others, or ImageNet."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

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
from siamese_nima.ratings import RatingScale
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
        ConfigError: No such backbone; or for levels another class of backbone, no such block, or
            one that reads blocks already.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone, card, known, digest = _read(start)
        parent = None if known is None else card
        # What the parent's card says of its scores may not fit another scale.
        card = replace(card, population=None, golden=None, metrics={})
        own = card.view if card.view.view_size is not None else _TRAINING_VIEW
        card = replace(card, view=view or own, scale=scale or card.scale)
        nima, new_head = _with_head(backbone, card, known)
        if levels:
            options = BackboneOptions.from_dict(card.backbone_options)
            if options.levels or options.beside:
                raise ConfigError(f"levels: {card.backbone} reads several depths as it is")
            pooling = LevelPooling(backbone, levels=levels, enlarge=options.enlarge)
            options = replace(options, levels=pooling.levels)
            card = replace(card, backbone_options=options.to_dict())
            nima, _ = _with_head(pooling, card, None if new_head else nima)
    return Start(nima.eval(), card, parent, digest, new_head)


def _read(start: str) -> tuple[nn.Module, ModelCard, NIMA | None, str | None]:
    """A backbone, its card, the network that it is from if that has a head, and the file's hash."""
    for prefix, build in ((_IMAGENET, _pretrained), (_RANDOM, build_backbone)):
        if start.startswith(prefix):
            name = start.removeprefix(prefix)
            backbone = build(name)
            return backbone, _card_of(backbone, name), None, None
    path = _find(start)
    digest = file_hash(path)
    if path.suffix == ".tflite":
        return *_from_tflite(path), None, digest
    nima, card = read_weights(path)
    require_trainable(nima.backbone, card.backbone)
    return nima.backbone, card, nima, digest


def _with_head(backbone: nn.Module, card: ModelCard, known: NIMA | None) -> tuple[NIMA, bool]:
    """The network that a card describes, and whether its head is new.

    A head for the same grades and groups of views stays. Where the backbone has got more features
    before those that it reads, it gives them no weight yet: the network computes what it did.
    """
    nima = NIMA(backbone, grades=card.scale.size, group_sizes=card.view.group_sizes)
    head, groups = nima.head, len(nima.group_sizes)
    if known is None:
        # Even odds for all grades, so that the first steps are not spent on forgetting noise.
        nn.init.normal_(head.weight, std=HEAD_STD)
        nn.init.zeros_(head.bias)
        return nima, True
    if (known.head.out_features, len(known.group_sizes)) != (head.out_features, groups):
        return nima, True
    with torch.no_grad():
        head.weight.zero_()
        features = known.head.in_features // groups
        columns = head.weight.view(head.out_features, groups, -1)
        columns[..., -features:] = known.head.weight.view(head.out_features, groups, features)
        head.bias.copy_(known.head.bias)
    return nima, False


def _card_of(backbone: nn.Module, name: str, **more: Any) -> ModelCard:
    values: dict[str, Any] = {"normalisation": backbone_normalisation(backbone), **more}
    return ModelCard(name=name, backbone=name, view=usual_view(backbone), **values)


def _find(start: str) -> Path:
    path = Path(start)
    if path.suffix in (*WEIGHT_SUFFIXES, ".tflite", MODEL_SUFFIX) or len(path.parts) > 1:
        if not path.is_file():
            raise WeightsError(f"{start}: no such file to start from")
        return path
    return find_model(start)


def _from_tflite(path: Path) -> tuple[nn.Module, ModelCard]:
    weights = read_quantised_mobilenet(path)
    options, problems = KERAS_OPTIONS.to_dict(), []
    for name in get_args(MobileNetName):
        try:
            backbone = build_dequantised(name, weights)
        except WeightsError as error:
            problems.append(str(error))
        else:
            described = {"backbone_options": options, "normalisation": weights.normalisation}
            return backbone, _card_of(backbone, name, **described)
    raise WeightsError(f"{path}: {'; '.join(problems)}")


def _pretrained(name: str) -> nn.Module:
    build_backbone(name)  # refuses unknown names before anything is downloaded
    try:
        with warnings.catch_warnings(action="ignore"):
            return timm_network(name, pretrained=True)
    # The hub's client raises errors of many libraries, and timm one where there are no weights.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{_IMAGENET}{name}: timm's pretrained weights are neither on this machine nor could "
            f"they be downloaded ({reason}). Offline, start from 'quality' or a file."
        ) from error
