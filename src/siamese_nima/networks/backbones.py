"""Backbones: any timm network that ends in pooled features, built as its weights expect."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import timm
import torch
from timm.models.efficientnet import EfficientNet, _gen_mobilenet_v1
from torch import Tensor, nn
from torch.nn import functional

from siamese_nima.card import Normalisation
from siamese_nima.errors import ConfigError
from siamese_nima.networks.levels import LevelPooling

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
        levels: Blocks of a MobileNet whose channel means are features too; see `LevelPooling`.
        enlarge: Whole factor by which a MobileNet enlarges the views it is given.
    """

    bn_epsilon: float | None = None
    bn_scale: bool = True
    padding: Padding = "timm"
    width: float = 1.0
    levels: tuple[str, ...] = ()
    enlarge: int = 1

    def __post_init__(self) -> None:
        if self.padding not in get_args(Padding):
            raise ConfigError(f"padding must be one of {get_args(Padding)}, got {self.padding!r}")
        if self.bn_epsilon is not None and not 0 < self.bn_epsilon < 1:
            raise ConfigError(f"bn_epsilon must be above 0 and below 1, got {self.bn_epsilon}")
        if not 0 < self.width <= 4:
            raise ConfigError(f"width must be above 0 and at most 4, got {self.width}")
        # JSON has lists alone.
        object.__setattr__(self, "levels", tuple(self.levels))
        if not (isinstance(self.enlarge, int) and 1 <= self.enlarge <= 8):
            raise ConfigError(f"enlarge must be an integer from 1 to 8, got {self.enlarge!r}")

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from the defaults, as the model card stores them."""
        default = asdict(BackboneOptions())
        return {key: value for key, value in asdict(self).items() if value != default[key]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BackboneOptions:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: An option is unknown or has an impossible value.
        """
        known = asdict(cls())
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"unknown backbone options {unknown}; known are {sorted(known)}")
        return replace(cls(), **values)


class OneSidedConv2d(nn.Conv2d):
    """A 3 x 3 convolution of stride 2 that pads below and right only, as Keras' MobileNets do."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve shape (N, C, H, W); zeros are added at the end of both axes."""
        return super().forward(functional.pad(input, (0, 1, 0, 1)))


class SamePaddedConv2d(nn.Conv2d):
    """A 3 x 3 convolution of stride 2 with TensorFlow's 'same' padding.

    An even axis gets one row of zeros at its end, an odd axis one at either end.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve shape (N, C, H, W)."""
        height, width = input.shape[-2:]
        return super().forward(functional.pad(input, (width % 2, 1, height % 2, 1)))


def build_backbone(name: str, options: BackboneOptions | None = None) -> nn.Module:
    """Build a timm backbone with random weights; nothing is ever downloaded.

    Args:
        name: timm's name, for instance "inception_resnet_v2" or "mobilenetv1_100".
        options: How to build it; None for timm's own way.

    Returns:
        A module from normalised pixels (N, 3, H, W) to pooled features (N, F), see `feature_count`.

    Raises:
        ConfigError: timm has no such backbone, or it does not know an option.
    """
    options = options or BackboneOptions()
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
        return LevelPooling(backbone, levels=options.levels, enlarge=options.enlarge)
    return backbone


def feature_count(backbone: nn.Module) -> int:
    """Number F of pooled features that `backbone` gives per view."""
    # After timm's own head convolutions (MobileNet v3) there are more than num_features.
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # type: ignore[arg-type]


def backbone_normalisation(backbone: nn.Module) -> Normalisation:
    """The pixel normalisation in the backbone's own timm configuration, in units of 0..255."""
    config = backbone.pretrained_cfg
    red, green, blue = (255.0 * float(value) for value in config["mean"])  # type: ignore[index]
    mean = (red, green, blue)
    red, green, blue = (255.0 * float(value) for value in config["std"])  # type: ignore[index]
    return Normalisation(mean=mean, std=(red, green, blue))


def _create(name: str, options: BackboneOptions) -> nn.Module:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        raise ConfigError(
            f"timm {timm.__version__} has no backbone {name!r}; "
            + (f"did you mean {' or '.join(close)}? " if close else "")
            + "timm.list_models() lists them."
        )
    if options.width == 1.0:
        return timm.create_model(name, pretrained=False, num_classes=0)
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
            kernel_size=3,
            stride=2,
            groups=convolution.groups,
            bias=False,
        )
    repadded.weight = convolution.weight
    return repadded
