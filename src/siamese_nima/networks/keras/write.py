"""NIMA to Keras weight files, without Keras."""

from __future__ import annotations

import os

import numpy as np
from torch import nn

from siamese_nima.atomic_write import replacing
from siamese_nima.card import ModelCard
from siamese_nima.errors import WeightsError
from siamese_nima.networks.backbones import BackboneOptions, Padding
from siamese_nima.networks.keras.applications import require_trainable
from siamese_nima.networks.keras.file import Tensors, write_keras_file
from siamese_nima.networks.keras.layers import (
    KERAS_EPSILON,
    TORCH_NAMES,
    WEIGHT_ORDER,
    WEIGHTED,
    BackboneKind,
    KerasLayer,
    keras_layers,
    to_keras,
)
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.side_by_side import SideBySide

# A Keras that pads so; files carry the version of their writer.
_VERSIONS: dict[Padding, str] = {
    "same": "2.1.4",
    "timm": "2.1.6",
    "keras2": "2.2.4",
    "keras3": "3.0.0",
}


def write_keras_h5(path: str | os.PathLike[str], nima: NIMA, card: ModelCard) -> None:
    """Write weights that Keras 2 and 3 load into the same network with `load_weights`.

    Keras has no batch-norm scale in InceptionResNetV2 and one epsilon for all; what differs is
    folded into the neighbouring weights, so that Keras computes the same distributions.

    Args:
        path: Should end in `.h5`, and not in `.weights.h5`, which Keras 3 takes for its own format.
        nima: Its backbone must be one that Keras has.
        card: Card of the network; Keras files hold none, so it is not stored.

    Raises:
        WeightsError: Keras has no such network, or the file cannot be written.
    """
    require_trainable(nima.backbone, card.backbone)
    _require_plain(card, nima)
    kind = _keras_kind(card, nima)
    options = BackboneOptions.from_dict(card.backbone_options)
    layers = keras_layers(kind, padding=options.padding)
    tensors: Tensors = {}
    for layer in layers:
        if layer.kind in WEIGHTED:
            module = nima.get_submodule(str(layer.module))
            tensors |= _layer_tensors(layer, module)
    if kind == "inception_resnet_v2":
        tensors = _without_gamma(layers, tensors)
    with replacing(path, WeightsError) as temporary:
        write_keras_file(temporary, layers, tensors, _VERSIONS[options.padding])


def _require_plain(card: ModelCard, nima: NIMA) -> None:
    match nima.backbone:
        case SideBySide():
            what = "it has two backbones side by side"
        case LevelPooling():
            what = "its features are of several depths, or its views are enlarged inside"
        case _:
            return
    raise WeightsError(
        f"{card.name}: {what}, which none of Keras' networks can hold. Export to ONNX instead."
    )


def _keras_kind(card: ModelCard, nima: NIMA) -> BackboneKind:
    if len(nima.group_sizes) > 1:
        raise WeightsError(
            f"{card.name}: its head reads {len(nima.group_sizes)} groups of views side by side, "
            "which a Keras file of one network cannot hold. Export to ONNX instead."
        )
    if card.backbone == "inception_resnet_v2":
        return "inception_resnet_v2"
    if card.backbone == "mobilenetv1_100":
        return "mobilenet"
    if card.backbone in (
        "mobilenetv2_035",
        "mobilenetv2_050",
        "mobilenetv2_075",
        "mobilenetv2_100",
        "mobilenetv2_140",
    ):
        return "mobilenet_v2"
    raise WeightsError(
        f"{card.name}: Keras has no {card.backbone}; only inception_resnet_v2, mobilenetv1_100 and "
        "mobilenetv2_* can be written for it. Export to ONNX instead."
    )


def _layer_tensors(layer: KerasLayer, module: nn.Module) -> Tensors:
    tensors: Tensors = {}
    for weight in WEIGHT_ORDER[layer.kind]:
        value = getattr(module, TORCH_NAMES[weight])
        if value is not None:
            tensors[layer.name, weight] = to_keras(layer.kind, value)
    if isinstance(module, nn.BatchNorm2d):
        # Keras adds its own epsilon to the variance.
        shift = np.float32(module.eps - KERAS_EPSILON)
        tensors[layer.name, "moving_variance"] = tensors[layer.name, "moving_variance"] + shift
    return tensors


def _without_gamma(layers: tuple[KerasLayer, ...], tensors: Tensors) -> Tensors:
    """Move each batch norm's scale into the convolution before it."""
    folded = dict(tensors)
    for layer in layers:
        gamma = folded.pop((layer.name, "gamma"), None)
        if gamma is not None:
            convolution = (layer.inputs[0], "kernel")
            folded[convolution] = folded[convolution] * gamma
            mean = (layer.name, "moving_mean")
            folded[mean] = folded[mean] * gamma
    return folded
