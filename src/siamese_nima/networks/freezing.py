"""Freezing: which part of a network keeps its weights during fine-tuning."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import accumulate
from typing import SupportsIndex

from torch import nn

from siamese_nima.errors import ConfigError
from siamese_nima.networks.keras.layers import keras_layers
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.side_by_side import SideBySide


def freeze(nima: NIMA, until: str | SupportsIndex | None) -> None:
    """Freeze the first layers of `nima` and set all others free.

    Frozen layers keep their weights, and stay in inference mode even after `nima.train()`: their
    batch norms use and keep the stored statistics. Called again, only the last call counts.

    Args:
        nima: Changed in place.
        until: The last stage to freeze, by its path in the backbone: "mixed_7a", "blocks.3",
            "conv_stem" (see `stage_names`); of backbones side by side, "first.backbone.blocks.3"
            or, with all of the first one, "second.backbone.blocks.3". Or, for
            `inception_resnet_v2` only, a number of layers as the origin counts them: index into
            Keras' `model.layers`, of which `layers[:until]` are frozen; 618 is everything up to
            `mixed_7a`. Or None to freeze
            nothing.

    Raises:
        ConfigError: The backbone has no such stage, or layers cannot be counted in it.
    """
    match until:
        case None:
            frozen: list[nn.Module] = []
        case str():
            frozen = _up_to_stage(nima, until)
        case SupportsIndex():  # numpy's whole numbers, too
            frozen = _first_keras_layers(nima, until.__index__())
    kept = {id(parameter) for module in frozen for parameter in module.parameters(recurse=False)}
    for parameter in nima.parameters():
        parameter.requires_grad_(id(parameter) not in kept)
    # A module that also holds free ones must not be switched to inference as a whole.
    inside = set(frozen)
    nima.frozen_modules = tuple(m for m in frozen if inside.issuperset(m.modules()))
    nima.train(nima.training)


def freeze_backbone(nima: NIMA) -> None:
    """Freeze all but the head; see `freeze`."""
    freeze(nima, None)
    nima.backbone.requires_grad_(False)
    nima.frozen_modules = tuple(nima.backbone.modules())
    nima.train(nima.training)


def halfway_stage(nima: NIMA) -> str:
    """The stage up to which the backbone has nearly half of its weights, for `freeze`.

    The origin freezes InceptionResNetV2 to 57 % of its weights.
    """
    ends = [name for name in stage_names(nima) if not _has_stages_within(nima, name)]
    sizes = [
        sum(parameter.numel() for parameter in nima.backbone.get_submodule(name).parameters())
        for name in ends
    ]
    before = list(accumulate(sizes))
    return min(zip(ends, before, strict=True), key=lambda end: abs(end[1] - before[-1] / 2))[0]


def _has_stages_within(nima: NIMA, stage: str) -> bool:
    return any(name.startswith(f"{stage}.") for name in stage_names(nima))


def stage_names(nima: NIMA) -> list[str]:
    """The stages of the backbone in forward order, each a possible argument of `freeze`.

    Backbones side by side come one after the other.
    """
    return [
        f"{path}{name}"
        for path, network in _networks(nima.backbone)
        for name, module in network.named_modules()
        if name and any(True for _ in module.parameters()) and name.count(".") < 2
    ]


def _networks(backbone: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The networks of timm in a backbone, each with the beginning of its modules' paths."""
    match backbone:
        case LevelPooling():
            yield "backbone.", backbone.backbone
        case SideBySide():
            for side in ("first", "second"):
                for path, network in _networks(backbone.get_submodule(side)):
                    yield f"{side}.{path}", network
        case _:
            yield "", backbone


def _outermost(names: list[str]) -> list[str]:
    return [name for name in names if name.rpartition(".")[0] not in names]


def _up_to_stage(nima: NIMA, stage: str) -> list[nn.Module]:
    modules = dict(nima.backbone.named_modules())
    if not stage or stage not in modules:
        names = stage_names(nima)
        close = difflib.get_close_matches(stage, names, n=3, cutoff=0.5)
        outer = _outermost(names)
        raise ConfigError(
            f"the backbone has no stage {stage!r}"
            + (f"; did you mean {' or '.join(close)}?" if close else ".")
            + f" Its stages are {', '.join(outer)}, and parts of them such as {names[-1]}."
        )
    paths = list(modules)
    last = max(i for i, path in enumerate(paths) if path == stage or path.startswith(f"{stage}."))
    # timm defines modules in forward order. Those around the stage come before it, with the
    # parameters that they own themselves (position embeddings).
    return list(modules.values())[: last + 1]


def _first_keras_layers(nima: NIMA, count: int) -> list[nn.Module]:
    layers = keras_layers("inception_resnet_v2")
    paths = [layer.module for layer in layers if layer.module]
    modules = dict(nima.named_modules())
    if not set(paths) <= set(modules):
        raise ConfigError(
            f"freezing by a number of layers ({count}) follows Keras' InceptionResNetV2 and needs "
            "the backbone inception_resnet_v2. Name a stage of this backbone instead: "
            + ", ".join(_outermost(stage_names(nima)))
        )
    if not 0 <= count <= len(layers):
        raise ConfigError(
            f"the number of layers to freeze must be from 0 to {len(layers)}, got {count}"
        )
    frozen = [modules[layer.module] for layer in layers[:count] if layer.module]
    # A batch norm of timm holds its activation.
    return [part for module in frozen for part in module.modules()]
