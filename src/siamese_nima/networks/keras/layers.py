"""The layers of Keras' own networks, by name and in order, and the timm module each stands for.

Keras identifies weights by layer names and by the order of `model.layers`; the origin's freeze
points are indices into that order. Both follow from the graph, so the graph is written down here
once, in the order in which Keras creates its layers. The weights of a layer, in Keras' order and
with its order of axes, and torch's names and order, follow from its class.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BackboneKind = Literal["inception_resnet_v2", "mobilenet", "mobilenet_v2"]

KERAS_EPSILON = 1e-3  # of batch norm, in all of Keras' networks

# Per class, in the order in which Keras lists and loads them.
WEIGHT_ORDER = {
    "Conv2D": ("kernel", "bias"),
    "DepthwiseConv2D": ("kernel",),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Dense": ("kernel", "bias"),
}
TORCH_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_AXES_TO_TORCH = {
    "Conv2D": (3, 2, 0, 1),
    "DepthwiseConv2D": (2, 3, 0, 1),
    "Dense": (1, 0),
}
WEIGHTED = tuple(WEIGHT_ORDER)


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """One layer of a Keras network.

    Attributes:
        name: As Keras 2 names it in a fresh session.
        kind: Its Keras class.
        module: Path of the same weights in `NIMA`; None where there are none.
        inputs: Names of the layers that it reads.
    """

    name: str
    kind: str
    module: str | None
    inputs: tuple[str, ...]


class _Graph:
    """Layers in order of creation; unnamed ones are numbered per class as Keras does."""

    def __init__(self) -> None:
        self.layers: dict[str, KerasLayer] = {}
        self._counts: Counter[str] = Counter()

    def add(
        self, kind: str, *inputs: str, name: str | None = None, module: str | None = None
    ) -> str:
        if name is None:
            self._counts[kind] += 1
            name = f"{_AUTOMATIC_NAMES[kind]}_{self._counts[kind]}"
        self.layers[name] = KerasLayer(name, kind, module, inputs)
        return name

    def conv_norm_act(self, source: str, module: str, name: str | None = None) -> str:
        """Inception's block; in timm one module holds convolution and batch norm."""
        conv = self.add("Conv2D", source, name=name, module=f"{module}.conv")
        norm = self.add(
            "BatchNormalization", conv, name=name and f"{name}_bn", module=f"{module}.bn"
        )
        return self.add("Activation", norm, name=name and f"{name}_ac")

    def chain(self, source: str, *modules: str) -> str:
        for module in modules:
            source = self.conv_norm_act(source, module)
        return source

    def head(self, source: str) -> str:
        pooled = self.add("GlobalAveragePooling2D", source)
        return self.add("Dense", self.add("Dropout", pooled), module="head")


_AUTOMATIC_NAMES = {
    "InputLayer": "input",
    "Conv2D": "conv2d",
    "BatchNormalization": "batch_normalization",
    "Activation": "activation",
    "MaxPooling2D": "max_pooling2d",
    "AveragePooling2D": "average_pooling2d",
    "GlobalAveragePooling2D": "global_average_pooling2d",
    "Dropout": "dropout",
    "Dense": "dense",
}


def keras_layers(backbone: BackboneKind, *, padding: str = "keras2") -> tuple[KerasLayer, ...]:
    """The layers of a Keras backbone with NIMA's head, in the order of `model.layers`.

    Args:
        backbone: Which of Keras' networks.
        padding: Of MobileNets, as in `BackboneOptions`: it decides which padding layers stand
            between the others.
    """
    graph = _Graph()
    match backbone:
        case "inception_resnet_v2":
            output = graph.head(_inception_resnet_v2(graph))
        case "mobilenet":
            output = graph.head(_mobilenet(graph, padding))
        case "mobilenet_v2":
            output = graph.head(_mobilenet_v2(graph, padding))
    return _in_model_order(graph.layers, output)


def _in_model_order(layers: dict[str, KerasLayer], output: str) -> tuple[KerasLayer, ...]:
    """Sort as Keras does: farthest from the output first, then as met on the way back from it."""
    met: dict[str, int] = {}
    pending = [output]
    while pending:
        name = pending.pop()
        if name not in met:
            met[name] = len(met)
            pending.extend(reversed(layers[name].inputs))
    depth = dict.fromkeys(layers, 0)
    for layer in reversed(layers.values()):
        for source in layer.inputs:
            depth[source] = max(depth[source], depth[layer.name] + 1)
    return tuple(sorted(layers.values(), key=lambda layer: (-depth[layer.name], met[layer.name])))


def _inception_resnet_v2(graph: _Graph) -> str:
    backbone = "backbone"
    x = graph.chain(
        graph.add("InputLayer"), *(f"{backbone}.conv2d_{stage}" for stage in ("1a", "2a", "2b"))
    )
    x = graph.add("MaxPooling2D", x)
    x = graph.chain(x, f"{backbone}.conv2d_3b", f"{backbone}.conv2d_4a")
    x = graph.add("MaxPooling2D", x)
    x = _mixed(graph, x, "mixed_5b", (1, 2, 3), pool="AveragePooling2D")
    for index in range(10):
        x = _residual(graph, x, f"block35_{index + 1}", f"{backbone}.repeat.{index}", (1, 2, 3))
    x = _mixed(graph, x, "mixed_6a", (1, 3), pool="MaxPooling2D")
    for index in range(20):
        x = _residual(graph, x, f"block17_{index + 1}", f"{backbone}.repeat_1.{index}", (1, 3))
    x = _mixed(graph, x, "mixed_7a", (2, 2, 3), pool="MaxPooling2D")
    for index in range(9):
        x = _residual(graph, x, f"block8_{index + 1}", f"{backbone}.repeat_2.{index}", (1, 3))
    x = _residual(graph, x, "block8_10", f"{backbone}.block8", (1, 3), activation=False)
    return graph.conv_norm_act(x, f"{backbone}.conv2d_7b", "conv_7b")


def _branches(graph: _Graph, source: str, path: str, lengths: tuple[int, ...]) -> list[str]:
    """Parallel chains of convolutions; timm does not number inside a branch of length one."""
    ends = []
    for branch, length in enumerate(lengths):
        module = f"{path}.branch{branch}"
        steps = [module] if length == 1 else [f"{module}.{step}" for step in range(length)]
        ends.append(graph.chain(source, *steps))
    return ends


def _mixed(graph: _Graph, source: str, name: str, lengths: tuple[int, ...], *, pool: str) -> str:
    path = f"backbone.{name}"
    ends = _branches(graph, source, path, lengths)
    pooled = graph.add(pool, source)
    if pool == "AveragePooling2D":
        pooled = graph.chain(pooled, f"{path}.branch{len(lengths)}.1")
    return graph.add("Concatenate", *ends, pooled, name=name)


def _residual(
    graph: _Graph,
    source: str,
    name: str,
    path: str,
    lengths: tuple[int, ...],
    *,
    activation: bool = True,
) -> str:
    ends = _branches(graph, source, path, lengths)
    mixed = graph.add("Concatenate", *ends, name=f"{name}_mixed")
    up = graph.add("Conv2D", mixed, name=f"{name}_conv", module=f"{path}.conv2d")
    x = graph.add("Lambda", source, up, name=name)
    return graph.add("Activation", x, name=f"{name}_ac") if activation else x


def _conv_norm(graph: _Graph, source: str, conv: str, norm: str, *, kind: str = "Conv2D") -> str:
    """MobileNet's block before its ReLU6; `conv` and `norm` are 'Keras name = timm path'."""
    conv_name, conv_module = conv.split("=")
    norm_name, norm_module = norm.split("=")
    x = graph.add(kind, source, name=conv_name, module=f"backbone.{conv_module}")
    return graph.add("BatchNormalization", x, name=norm_name, module=f"backbone.{norm_module}")


def _mobilenet(graph: _Graph, padding: str) -> str:
    x = graph.add("InputLayer")
    if padding in ("keras2", "timm"):
        x = graph.add("ZeroPadding2D", x, name="conv1_pad")
    x = _conv_norm(graph, x, "conv1=conv_stem", "conv1_bn=bn1")
    x = graph.add("ReLU", x, name="conv1_relu")
    for index, path in enumerate(_paths((1, 2, 2, 6, 2)), start=1):
        # Keras 2.1.5 to 2.2.0 pads before every depthwise convolution, others at stride 2.
        if padding == "timm" or (padding != "same" and index in (2, 4, 6, 12)):
            x = graph.add("ZeroPadding2D", x, name=f"conv_pad_{index}")
        dw, pw = f"conv_dw_{index}", f"conv_pw_{index}"
        conv, norm = f"{dw}={path}.conv_dw", f"{dw}_bn={path}.bn1"
        x = _conv_norm(graph, x, conv, norm, kind="DepthwiseConv2D")
        x = graph.add("ReLU", x, name=f"{dw}_relu")
        x = _conv_norm(graph, x, f"{pw}={path}.conv_pw", f"{pw}_bn={path}.bn2")
        x = graph.add("ReLU", x, name=f"{pw}_relu")
    return x


def _mobilenet_v2(graph: _Graph, padding: str) -> str:
    x = graph.add("InputLayer")
    if padding == "keras2":
        x = graph.add("ZeroPadding2D", x, name="Conv1_pad")
    x = _conv_norm(graph, x, "Conv1=conv_stem", "bn_Conv1=bn1")
    x = graph.add("ReLU", x, name="Conv1_relu")
    for index, path in enumerate(_paths((1, 2, 3, 4, 3, 3, 1))):
        name = f"block_{index}" if index else "expanded_conv"
        strided = index in (1, 3, 6, 13) and padding in ("keras2", "keras3")
        end = _inverted_residual(graph, x, name, path, expand=index > 0, pad=strided)
        # All but the first block of a stage add their input.
        x = end if path.endswith(".0") else graph.add("Add", x, end, name=f"{name}_add")
    x = _conv_norm(graph, x, "Conv_1=conv_head", "Conv_1_bn=bn2")
    return graph.add("ReLU", x, name="out_relu")


def _inverted_residual(
    graph: _Graph, x: str, name: str, path: str, *, expand: bool, pad: bool
) -> str:
    if expand:
        conv, norm = f"{name}_expand={path}.conv_pw", f"{name}_expand_BN={path}.bn1"
        x = graph.add("ReLU", _conv_norm(graph, x, conv, norm), name=f"{name}_expand_relu")
    if pad:
        x = graph.add("ZeroPadding2D", x, name=f"{name}_pad")
    first = 2 if expand else 1
    conv, norm = f"{name}_depthwise={path}.conv_dw", f"{name}_depthwise_BN={path}.bn{first}"
    x = _conv_norm(graph, x, conv, norm, kind="DepthwiseConv2D")
    x = graph.add("ReLU", x, name=f"{name}_depthwise_relu")
    # timm calls the last convolution of the block without expansion conv_pw.
    conv = f"{name}_project={path}.conv_pw{'l' if expand else ''}"
    return _conv_norm(graph, x, conv, f"{name}_project_BN={path}.bn{first + 1}")


def _paths(depths: tuple[int, ...]) -> list[str]:
    return [f"blocks.{stage}.{i}" for stage, depth in enumerate(depths) for i in range(depth)]


def to_torch(kind: str, value: NDArray[np.float32]) -> Tensor:
    """A weight of a Keras layer of class `kind` with torch's order of axes."""
    axes = _AXES_TO_TORCH[kind] if value.ndim > 1 else (0,)
    return torch.from_numpy(value.transpose(axes).copy())


def to_keras(kind: str, value: Tensor) -> NDArray[np.float32]:
    """The inverse of `to_torch`."""
    array: NDArray[np.float32] = value.detach().cpu().float().numpy()
    if array.ndim == 1:
        return array
    return np.ascontiguousarray(array.transpose(np.argsort(_AXES_TO_TORCH[kind])))
