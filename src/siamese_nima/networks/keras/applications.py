"""Every network of `keras.applications` with a rating head, rebuilt by Keras on its torch backend.

For the networks that timm does not compute as Keras does. What they become is a model file, which
needs neither Keras nor torch; they cannot be trained on here.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from siamese_nima.card import Normalisation
from siamese_nima.errors import MissingExtraError, WeightsError, name_some
from siamese_nima.networks.keras.file import KerasFile, WeightKey

PREFIX = "keras:"  # of the backbone on a card

# Side of the photos that Keras' documentation gives, and number of weights without a head.
_APPLICATIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "ConvNeXtTiny": (224, 27_820_128),
        "ConvNeXtSmall": (224, 49_454_688),
        "ConvNeXtBase": (224, 87_566_464),
        "ConvNeXtLarge": (224, 196_230_336),
        "ConvNeXtXLarge": (224, 348_147_968),
        "DenseNet121": (224, 7_037_504),
        "DenseNet169": (224, 12_642_880),
        "DenseNet201": (224, 18_321_984),
        "EfficientNetB0": (224, 4_049_571),
        "EfficientNetB1": (240, 6_575_239),
        "EfficientNetB2": (260, 7_768_569),
        "EfficientNetB3": (300, 10_783_535),
        "EfficientNetB4": (380, 17_673_823),
        "EfficientNetB5": (456, 28_513_527),
        "EfficientNetB6": (528, 40_960_143),
        "EfficientNetB7": (600, 64_097_687),
        "EfficientNetV2B0": (224, 5_919_312),
        "EfficientNetV2B1": (240, 6_931_124),
        "EfficientNetV2B2": (260, 8_769_374),
        "EfficientNetV2B3": (300, 12_930_622),
        "EfficientNetV2S": (384, 20_331_360),
        "EfficientNetV2M": (480, 53_150_388),
        "EfficientNetV2L": (480, 117_746_848),
        "InceptionV3": (299, 21_802_784),
        "MobileNetV3Small": (224, 939_120),
        "MobileNetV3Large": (224, 2_996_352),
        "NASNetMobile": (224, 4_269_716),
        "NASNetLarge": (331, 84_887_922),
        "ResNet50": (224, 23_587_712),
        "ResNet101": (224, 42_658_176),
        "ResNet152": (224, 58_370_944),
        "ResNet50V2": (224, 23_564_800),
        "ResNet101V2": (224, 42_626_560),
        "ResNet152V2": (224, 58_331_648),
        "VGG16": (224, 14_714_688),
        "VGG19": (224, 20_024_384),
        "Xception": (299, 20_861_480),
    }
)
_NUMBERED = re.compile(
    r"(conv2d|depthwise_conv2d|separable_conv2d|batch_normalization|normalization|dense"
    r"|layer_normalization|layer_scale)(?:_(\d+))?"
)
# ResNet50 as Keras had it until 2.2: other names, and another epsilon.
_OLD_RESNET = re.compile(r"(res|bn)(\d)([a-f])_branch(1|2a|2b|2c)")
_OLD_BRANCHES = {"1": 0, "2a": 1, "2b": 2, "2c": 3}
_OLD_EPSILON = 1e-3
_IMAGENET_SPREAD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_DENSE = ("kernel", "bias")
_HEAD = "head"


class KerasBackbone(nn.Module):
    """A network of Keras in inference mode, from normalised pixels to pooled features.

    Attributes:
        num_features: F.
        one_size: That it works at the size it was rebuilt for alone, for the ONNX exporter.
    """

    one_size = True

    def __init__(self, model: Any, *, reversed_channels: bool) -> None:
        super().__init__()
        self.model = model
        self.reversed_channels = reversed_channels
        self.num_features = int(model.output_shape[-1])
        self.requires_grad_(False)

    def forward(self, views: Tensor) -> Tensor:
        """From (N, 3, H, W), in the order red, green, blue, to (N, F)."""
        pixels = views.permute(0, 2, 3, 1)
        if self.reversed_channels:
            pixels = pixels.flip(-1)
        features: Tensor = self.model(pixels, training=False)
        return features

    def __deepcopy__(self, memo: Any) -> KerasBackbone:
        """Itself: nothing changes its weights, and Keras' layers do not copy."""
        return self


def require_trainable(backbone: nn.Module, name: str) -> None:
    """Refuse a network that Keras computes.

    Raises:
        WeightsError: It is one; its name on the card says which.
    """
    if isinstance(backbone, KerasBackbone):
        raise WeightsError(
            f"{name.removeprefix(PREFIX)} of Keras can rate photos, as a model file, but it cannot "
            "be trained on, nor be kept as a checkpoint or as Keras weights"
        )


def recognised_application(file: KerasFile) -> tuple[str, str] | None:
    """The network with so many weights, and the layer of the file that is its rating head."""
    sizes: Counter[str] = Counter()
    for (layer, _), value in file.tensors.items():
        sizes[layer] += value.size
    by_size = {weights: name for name, (_, weights) in _APPLICATIONS.items()}
    for (layer, _), value in file.tensors.items():
        if value.ndim == 2 and (name := by_size.get(sizes.total() - sizes[layer])):
            return name, layer
    return None


def usual_size_px(application: str) -> int:
    """Side of the photos that Keras' documentation gives for a network."""
    return _APPLICATIONS[application][0]


def read_application(
    source: Path, file: KerasFile, application: str, head: str, size_px: int
) -> tuple[KerasBackbone, nn.Linear, Normalisation]:
    """Rebuild a network with the weights of a file, each used exactly once.

    Args:
        source: The file, for messages.
        file: What it holds.
        application: Name in `keras.applications`.
        head: The layer of the file that rates.
        size_px: Side of the views; padding depends on it in some networks.

    Returns:
        The backbone and the head in inference mode, and Keras' own `preprocess_input`.

    Raises:
        MissingExtraError: Keras is not installed.
        WeightsError: Keras runs on another backend here, or tensors do not fit, with their names.
    """
    keras = _keras()
    with keras.device("cpu"):
        model = build_application(application, size_px)
    old = any(_OLD_RESNET.fullmatch(layer) for layer, _ in file.tensors)
    wanted = {_wanted_key(key, head, old_resnet=old): value for key, value in file.tensors.items()}
    names = _ranked(wanted)
    found = {(names[layer], weight): value for (layer, weight), value in wanted.items()}
    dense = {weight: found.pop((_HEAD, weight)) for layer, weight in wanted if layer == _HEAD}
    variables = dict(_variables(model, numbered=file.numbered))
    wrong = [
        f"{'/'.join(key)} is {found[key].shape}, wanted {tuple(variable.shape)}"
        for key, variable in variables.items()
        if key in found and found[key].shape != tuple(variable.shape)
    ]
    lists = {
        "missing": ["/".join(key) for key in variables if key not in found],
        "not used": ["/".join(key) for key in found if key not in variables],
        "of another shape": wrong,
        "not finite": [
            "/".join(key) for key, value in found.items() if not np.isfinite(value).all()
        ],
    }
    if problems := [
        f"  {len(names)} {problem}: {name_some(names)}" for problem, names in lists.items() if names
    ]:
        raise WeightsError(
            f"{source}: these tensors do not fit Keras' {application} with a rating head:\n"
            + "\n".join(problems)
        )
    for key, variable in variables.items():
        variable.assign(found[key])
    _settle(model, file, old_resnet=old)
    kernel, bias = (dense.get(name) for name in (("0", "1") if file.numbered else _DENSE))
    assert kernel is not None
    linear = nn.Linear(*kernel.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(kernel.T.copy()))
        linear.bias.copy_(torch.zeros(len(linear.bias)) if bias is None else torch.tensor(bias))
    normalisation, reversed_channels = _preprocessing(application)
    backbone = KerasBackbone(model, reversed_channels=reversed_channels)
    return backbone.eval(), linear.eval(), normalisation


def build_application(application: str, size_px: int | None) -> Any:
    """Keras' own network without its top, with random weights and average pooling."""
    keras = _keras()
    options: dict[str, Any] = {
        "input_shape": (size_px, size_px, 3),
        "include_top": False,
        "weights": None,
        "pooling": "avg",
    }
    if application == "NASNetMobile":
        # Keras refuses the name on torch, "due to an outstanding bug", and NASNetLarge not.
        nasnet = importlib.import_module("keras.src.applications.nasnet")
        return nasnet.NASNet(
            penultimate_filters=1056,
            num_blocks=4,
            stem_block_filters=32,
            skip_reduction=False,
            filter_multiplier=2,
            default_size=224,
            **options,
        )
    return getattr(keras.applications, application)(**options)


def _keras() -> Any:
    """Keras on torch; its settings go to a folder that is thrown away."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        with tempfile.TemporaryDirectory() as folder:
            os.environ.setdefault("KERAS_HOME", folder)
            try:
                importlib.import_module("keras")
            except ImportError as error:
                raise MissingExtraError.of("reading this network of Keras", "keras") from error
            finally:
                if os.environ["KERAS_HOME"] == folder:
                    del os.environ["KERAS_HOME"]
    keras: Any = sys.modules["keras"]
    if keras.config.backend() != "torch":
        raise WeightsError(
            f"Keras runs on {keras.config.backend()} here, and only on torch it can be exported: "
            "set the environment variable KERAS_BACKEND to torch"
        )
    return keras


def _preprocessing(application: str) -> tuple[Normalisation, bool]:
    """What Keras' `preprocess_input` does: as a normalisation, and whether it gives blue first."""
    keras = _keras()
    module = importlib.import_module(getattr(keras.applications, application).__module__)
    probe = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], dtype=np.float32)
    black, white, red = module.preprocess_input(probe, data_format="channels_last")[0].astype(float)
    reversed_channels = bool(red[2] != black[2])
    std = 255 / (white - black)
    mean = -black * std
    if reversed_channels:
        mean, std = mean[::-1], std[::-1]
    return Normalisation(mean=_three(mean), std=_three(std)), reversed_channels


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 4) + 0.0 for value in values)
    return red, green, blue


def _wanted_key(key: WeightKey, head: str, *, old_resnet: bool) -> WeightKey:
    """The file's name of a weight as Keras 3 has it."""
    layer, weight = key
    if layer == head:
        return _HEAD, weight
    name = layer.lower().replace("/batchnorm", "_bn").replace("/", "_")
    # titu1994's NASNet, from which Keras' is.
    name = name.replace("_reduction_1_", "_reduction_right1_")
    if old_resnet:
        name = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn"}.get(name, name)
        if old := _OLD_RESNET.fullmatch(name):
            part = "conv" if old[1] == "res" else "bn"
            block = "abcdef".index(old[3]) + 1
            name = f"conv{old[2]}_block{block}_{_OLD_BRANCHES[old[4]]}_{part}"
    return name, _kind(weight)


def _kind(weight: str) -> str:
    """What a weight is; the scale of ConvNeXt's layers has a number for a name."""
    kind = weight.lower().removeprefix("depthwise_")
    return "gamma" if re.fullmatch(r"variable(_\d+)?", kind) else kind


def _ranked(keys: Mapping[WeightKey, Any]) -> dict[str, str]:
    """Layers by name; those that Keras numbers, which goes on within a session, count from 0."""
    names = {layer: layer for layer, _ in keys}
    stems: dict[str, list[tuple[int, str]]] = {}
    for layer in names:
        if numbered := _NUMBERED.fullmatch(layer):
            stems.setdefault(numbered[1], []).append((int(numbered[2] or 0), layer))
    for stem, layers in stems.items():
        names |= {layer: f"{stem}#{place}" for place, (_, layer) in enumerate(sorted(layers))}
    return names


def _variables(model: Any, *, numbered: bool) -> Iterator[tuple[WeightKey, Any]]:
    """All variables by the names that `read_application` gives those of a file."""
    layers = [layer for layer in _flat(model) if layer.weights]
    if not numbered:
        keys = {
            (layer.name.lower(), _kind(weight.name)): weight
            for layer in layers
            for weight in layer.weights
        }
        names = _ranked(keys)
        yield from (((names[layer], weight), value) for (layer, weight), value in keys.items())
        return
    counts: Counter[str] = Counter()
    for layer in layers:
        stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        for place, weight in enumerate(layer.weights):
            yield (f"{stem}#{counts[stem]}", str(place)), weight
        counts[stem] += 1


def _flat(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _flat(layer)
        else:
            yield layer


def _settle(model: Any, file: KerasFile, *, old_resnet: bool) -> None:
    """What is not a weight of its own but differs between files of one network."""
    for layer in _flat(model):
        kind = type(layer).__name__
        if kind == "BatchNormalization" and old_resnet:
            layer.epsilon = _OLD_EPSILON
        if kind == "Normalization" and layer.weights:
            mean, variance, *_ = layer.weights
            # Those that began with ImageNet weights divide by the root of the spread once more.
            listed = [name for name in file.layer_names if name.startswith("rescaling")]
            again = len(listed) > 1 if listed else bool(abs(np.asarray(mean.numpy())).max() > 0)
            if again:
                variance.assign(np.asarray(variance.numpy()) * _IMAGENET_SPREAD)
            layer.finalize_state()
