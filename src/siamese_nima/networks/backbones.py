"""Backbones: timm networks that give features, one or several, built as their weights expect."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models.efficientnet import EfficientNet, _gen_mobilenet_v1
from torch import Tensor, nn
from torch.nn import functional

from siamese_nima.card import Normalisation
from siamese_nima.errors import ConfigError
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.side_by_side import SideBySide
from siamese_nima.networks.vgg import VGG_NAMES, VGG16Features
from siamese_nima.photos.views import ViewPolicy

Padding = Literal["timm", "same", "keras2", "keras3"]

MOBILENET_PREFIXES = ("mobilenetv1_", "mobilenetv2_")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneOptions:
    """What a backbone needs beside its name so that given weights compute what they should.

    Attributes:
        bn_epsilon: Epsilon of every batch norm; None keeps timm's. Weights born in Keras need 1e-3.
        padding: How MobileNet v1 and v2 pad at their 3 x 3 convolutions of stride 2.
            "timm": one pixel on all sides. "keras2": one pixel below and right, which equals
            TensorFlow's 'same' at even sizes. "same": TensorFlow's 'same', which depends on the
            size. "keras3": 'same' in the stem, below and right in all others.
        width: Channel multiplier; other than 1 for `mobilenetv1_100` only.
        bn_scale: Whether batch norms learn a scale (gamma). Keras' InceptionResNetV2 has none: with
            False it stays 1 and is not counted as a parameter.
        levels: Blocks of a MobileNet or EfficientNet whose channel means are features too; see
            `LevelPooling`.
        pooled: Whether the features at the network's end count. With False, those of `levels` are
            all, and what comes after the last of them is not built.
        enlarge: Whole factor by which such a network enlarges the views it is given.
        beside: A second backbone, whose features follow; see `SideBySide`.
    """

    bn_epsilon: float | None = None
    bn_scale: bool = True
    padding: Padding = "timm"
    width: float = 1.0
    levels: tuple[str, ...] = ()
    pooled: bool = True
    enlarge: int = 1
    beside: Beside | None = None

    def __post_init__(self) -> None:
        if self.padding not in get_args(Padding):
            raise ConfigError(f"padding must be one of {get_args(Padding)}, got {self.padding!r}")
        if self.bn_epsilon is not None and not 0 < self.bn_epsilon < 1:
            raise ConfigError(f"bn_epsilon must be above 0 and below 1, got {self.bn_epsilon}")
        if not 0 < self.width <= 4:
            raise ConfigError(f"width must be above 0 and at most 4, got {self.width}")
        # JSON has lists alone.
        object.__setattr__(self, "levels", tuple(self.levels))
        if not (self.pooled or self.levels):
            raise ConfigError("pooled = false leaves no features; name blocks in levels")
        if not (isinstance(self.enlarge, int) and 1 <= self.enlarge <= 8):
            raise ConfigError(f"enlarge must be an integer from 1 to 8, got {self.enlarge!r}")

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from the defaults, as the model card stores them."""
        default = BackboneOptions()
        changed = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != getattr(default, field.name)
        }
        if self.beside is not None:
            changed["beside"] = self.beside.to_dict()
        return changed

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BackboneOptions:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: An option is unknown or has an impossible value.
        """
        known = asdict(cls())
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"unknown backbone options {unknown}; known are {sorted(known)}")
        beside = values.get("beside")
        if beside is not None:
            values = {**values, "beside": Beside.from_dict(beside)}
        return replace(cls(), **values)


@dataclass(frozen=True, slots=True)
class Beside:
    """A second backbone.

    Attributes:
        name: timm's name.
        options: How to build it.
    """

    name: str
    options: BackboneOptions

    def to_dict(self) -> dict[str, Any]:
        """As `BackboneOptions.to_dict` stores it."""
        return {"name": self.name, "options": self.options.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Beside:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: It has other keys, or an option is unknown or has an impossible value.
        """
        if sorted(values) != ["name", "options"]:
            raise ConfigError(f"a second backbone needs name and options, got {sorted(values)}")
        return cls(values["name"], BackboneOptions.from_dict(values["options"]))


class OneSidedConv2d(nn.Conv2d):
    """A 3 x 3 convolution of stride 2 that pads below and right only, as Keras' MobileNets do."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve shape (N, C, H, W); zeros are added at the end of both axes."""
        return super().forward(functional.pad(input, (0, 1, 0, 1)))


class SamePaddedConv2d(nn.Conv2d):
    """A convolution of odd size and stride 2 with TensorFlow's 'same' padding.

    Of size 3: an even axis gets one row of zeros at its end, an odd axis one at either end.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve shape (N, C, H, W)."""
        height, width = input.shape[-2:]
        after = (self.kernel_size[0] - 1) // 2
        before = after - 1
        sides = (before + width % 2, after, before + height % 2, after)
        return super().forward(functional.pad(input, sides))


def build_backbone(name: str, options: BackboneOptions | None = None) -> nn.Module:
    """Build a timm backbone with random weights; nothing is ever downloaded.

    Args:
        name: timm's name, for instance "inception_resnet_v2" or "mobilenetv1_100".
        options: How to build it; None for timm's own way.

    Returns:
        A module from normalised pixels (N, 3, H, W) to features (N, F), see `feature_count`.

    Raises:
        ConfigError: timm has no such backbone, or it does not know an option.
    """
    options = options or BackboneOptions()
    backbone = _build_one(name, options)
    if options.beside is None:
        return backbone
    return SideBySide(backbone, build_backbone(options.beside.name, options.beside.options))


def _build_one(name: str, options: BackboneOptions) -> nn.Module:
    backbone = _create(name, options)
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if options.bn_epsilon is not None:
                module.eps = options.bn_epsilon
            if not options.bn_scale:
                _fix_scale(module)
    if options.padding != "timm":
        _set_padding(name, backbone, options.padding)
    if options.levels or options.enlarge > 1:
        return LevelPooling(
            backbone, levels=options.levels, enlarge=options.enlarge, pooled=options.pooled
        )
    return backbone


def simplify_same_padding(network: nn.Module) -> None:
    """Compute timm's 'same' padding in terms that a tracer can follow at free sizes.

    With timm's own, the ONNX exporter does not end within ten minutes.

    Args:
        network: Changed in place: its convolutions of stride 2 that pad so. What it computes and
            the names of its weights stay.
    """
    for path, module in list(network.named_modules()):
        if isinstance(module, Conv2dSame) and module.stride == (2, 2) and module.bias is None:
            network.set_submodule(path, _repadded(module, same=True))


def timm_network(name: str, *, pretrained: bool = False) -> nn.Module:
    """Timm's network of that name, without its classifier; transformers take views of any size.

    Args:
        name: As timm has it.
        pretrained: Have timm download its weights.
    """
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    # Position embeddings are then resampled; those of windows (Swin) are bound to one size.
    more: dict[str, Any] = (
        {"dynamic_img_size": True} if hasattr(network, "dynamic_img_size") else {}
    )
    if more or pretrained:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, **more)
    return network


def usual_view(backbone: nn.Module) -> ViewPolicy:
    """The whole photo at the size that timm's configuration of the backbone was trained at."""
    height, width = backbone.pretrained_cfg["input_size"][1:]  # type: ignore[index]
    return ViewPolicy.parse(f"warp:{max(height, width)}")


def feature_count(backbone: nn.Module) -> int:
    """Number F of features that `backbone` gives per view."""
    # After timm's own head convolutions (MobileNet v3) there are more than num_features.
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # type: ignore[arg-type]


def backbone_normalisation(backbone: nn.Module) -> Normalisation:
    """The pixel normalisation in the backbone's own timm configuration, in units of 0..255.

    Of backbones side by side, that of the first.
    """
    config = backbone.pretrained_cfg
    red, green, blue = (255.0 * float(value) for value in config["mean"])  # type: ignore[index]
    mean = (red, green, blue)
    red, green, blue = (255.0 * float(value) for value in config["std"])  # type: ignore[index]
    return Normalisation(mean=mean, std=(red, green, blue))


def _create(name: str, options: BackboneOptions) -> nn.Module:
    if name in VGG_NAMES:
        return VGG16Features(flat=name.endswith("_flat"))
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        raise ConfigError(
            f"timm {timm.__version__} has no backbone {name!r}; "
            + (f"did you mean {' or '.join(close)}? " if close else "")
            + "timm.list_models() lists them."
        )
    if options.width == 1.0:
        return timm_network(name)
    if name != "mobilenetv1_100":
        raise ConfigError(
            f"width {options.width} is for mobilenetv1_100 only, {name} has a fixed width"
        )
    # timm has no public name for the widths that Keras offers.
    backbone: nn.Module = _gen_mobilenet_v1(  # type: ignore[no-untyped-call]
        name, options.width, pretrained=False, num_classes=0
    )
    return backbone


def _fix_scale(norm: nn.modules.batchnorm._BatchNorm) -> None:
    scale = norm.weight.detach()
    del norm.weight
    # A buffer under the old name: same state dict, same forward pass, nothing to train.
    norm.register_buffer("weight", torch.ones_like(scale))


def _set_padding(name: str, backbone: nn.Module, padding: Padding) -> None:
    if not (name.startswith(MOBILENET_PREFIXES) and isinstance(backbone, EfficientNet)):
        raise ConfigError(
            f"padding {padding!r} is for MobileNet v1 and v2 (timm names "
            f"{' and '.join(prefix + '*' for prefix in MOBILENET_PREFIXES)}), not for {name}"
        )
    for path, module in list(backbone.named_modules()):
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            same = padding == "same" or (padding == "keras3" and path == "conv_stem")
            backbone.set_submodule(path, _repadded(module, same=same))


def _repadded(convolution: nn.Conv2d, *, same: bool) -> nn.Conv2d:
    kind = SamePaddedConv2d if same else OneSidedConv2d
    with torch.device(convolution.weight.device):
        repadded = kind(
            convolution.in_channels,
            convolution.out_channels,
            kernel_size=convolution.kernel_size,  # type: ignore[arg-type]
            stride=2,
            groups=convolution.groups,
            bias=False,
        )
    repadded.weight = convolution.weight
    return repadded
