"""Which network a Keras weight file holds, which Keras wrote it, and which tensor is which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.backbones import Padding
from siamese_nima.networks.keras.file import KerasFile, WeightKey
from siamese_nima.networks.keras.layers import WEIGHT_ORDER, BackboneKind, KerasLayer

TITLES: dict[BackboneKind, str] = {
    "inception_resnet_v2": "InceptionResNetV2",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
}
SUPPORTED = "the networks of keras.applications, each with one Dense layer on top"
_CLASSES = {
    "conv2d": "Conv2D",
    "depthwise_conv2d": "DepthwiseConv2D",
    "batch_normalization": "BatchNormalization",
    "dense": "Dense",
}


@dataclass(frozen=True, slots=True)
class FoundTensor:
    """A tensor of the file, and its name there."""

    name: str
    value: NDArray[np.float32]


def recognised_backbone(source: Path, file: KerasFile) -> BackboneKind:
    """Which of Keras' networks the tensors are of.

    Raises:
        WeightsError: None of those that are supported.
    """
    names = {layer for layer, _ in file.tensors}
    depthwise = sum(name.startswith("depthwise_conv2d") for name in names)
    convolutions = sum(name.startswith("conv2d") for name in names)
    if {"conv_7b", "block35_1_conv"} & names or (file.numbered and convolutions > 200):
        return "inception_resnet_v2"
    if "conv_dw_1" in names or (file.numbered and depthwise == 13):
        return "mobilenet"
    if {"bn_Conv1", "expanded_conv_depthwise"} & names or (file.numbered and depthwise == 17):
        return "mobilenet_v2"
    raise WeightsError(
        f"{source}: unknown network of {len(names)} layers with weights, first "
        f"{', '.join(sorted(names)[:5]) or 'none'}. Supported are {SUPPORTED}."
    )


def recognised_padding(
    source: Path, file: KerasFile, kind: BackboneKind, keras_version: int | str | None
) -> Padding:
    """How the network that wrote the file pads, told by its padding layers or its version.

    Raises:
        WeightsError: The file does not tell, and neither does `keras_version`.
        ConfigError: `keras_version` is not a version.
    """
    if kind == "inception_resnet_v2":
        return "timm"
    if keras_version is not None:
        told = _padding_of_version(kind, str(keras_version))
        if told is None:
            raise ConfigError(f"keras_version must be like 2, 3 or '2.1.6', got {keras_version!r}")
        return told
    if file.numbered:
        return "keras3"
    names = set(file.layer_names)
    if {"conv1_pad", "Conv1_pad"} & names:
        return "timm" if "conv_pad_1" in names else "keras2"
    if {"conv_pad_2", "block_1_pad"} & names:
        return "keras3"
    if {"conv1_relu", "Conv1_relu"} & names:
        return "same"
    # Nested networks do not list their padding layers.
    padding = _padding_of_version(kind, file.keras_version or "")
    if padding is None:
        raise WeightsError(
            f"{source}: cannot tell which Keras wrote this {TITLES[kind]} (the file says "
            f"{file.keras_version!r} and lists no padding layers), and versions pad differently. "
            "Pass keras_version=2 or 3 (--keras-version)."
        )
    return padding


def _padding_of_version(kind: BackboneKind, version: str) -> Padding | None:
    """How a MobileNet pads in a version of Keras; None where TensorFlow's version decides.

    Read from the sources of Keras 2.0.8 to 3 and of keras-applications 1.0.2 to 1.0.8.
    """
    match = re.fullmatch(r"(\d+)(?:\.(\d+)(?:\.(\d+))?)?", version)
    if not match or int(match[1]) < 2:
        return None
    if int(match[1]) > 2:
        return "keras3"
    if match[2] is None:
        return "keras2"
    release = (int(match[2]), int(match[3] or 0))
    if release < (1, 5) or (kind == "mobilenet_v2" and release < (2, 1)):
        return "same"
    if release < (2, 1):
        return "timm"
    if release < (4, 0):
        return "keras2"
    return "keras3" if release >= (6, 0) else None


def tensors_by_layer(file: KerasFile, layers: list[KerasLayer]) -> dict[WeightKey, FoundTensor]:
    """The file's tensors under the names of `layers`; what has no place there keeps its own."""
    found = {key: FoundTensor("/".join(key), value) for key, value in file.tensors.items()}
    if file.numbered:
        return _from_numbered(found, layers)
    first: dict[str, int] = {}
    for layer, _ in found:
        stem, number = _split_number(layer)
        first[stem] = min(number, first.get(stem, number))
    dense = {
        layer
        for (layer, kind), tensor in found.items()
        if kind == "kernel" and tensor.value.ndim == 2
    }
    renamed = {}
    for (layer, kind), tensor in found.items():
        name = layer
        stem, number = _split_number(layer)
        if stem in ("conv2d", "batch_normalization"):
            # Keras numbers on within one session, so a network may start at any number.
            name = f"{stem}_{number - first[stem] + 1}"
        elif dense == {layer}:
            name = layers[-1].name
        renamed[name, kind] = tensor
    return renamed


def _split_number(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if stem and number.isdecimal() else (name, 0)


def _from_numbered(
    found: dict[WeightKey, FoundTensor], layers: list[KerasLayer]
) -> dict[WeightKey, FoundTensor]:
    positions: dict[str, list[str]] = {kind: [] for kind in _CLASSES.values()}
    for position in layers:
        positions[position.kind].append(position.name)
    has_gamma = any(layer.startswith("batch_normalization") and n == "3" for layer, n in found)
    renamed = {}
    for (layer, index), tensor in found.items():
        stem, number = _split_number(layer)
        kind = _CLASSES.get(stem, "")
        names, weights = positions.get(kind, []), WEIGHT_ORDER.get(kind, ())
        if kind == "BatchNormalization" and not has_gamma:
            weights = weights[1:]
        if number < len(names) and int(index) < len(weights):
            renamed[names[number], weights[int(index)]] = tensor
        else:
            renamed[layer, index] = tensor
    return renamed
