"""VGG16 as NIMA networks in torch have it: its convolutions, pooled or laid side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from siamese_nima.errors import ConfigError

VGG_NAMES = ("nima_vgg16", "nima_vgg16_flat")
_SIZE_PX, _CELLS, _CHANNELS = 224, 7 * 7, 512


class VGG16Features(nn.Module):
    """From normalised pixels (N, 3, H, W) to features (N, F).

    Args:
        flat: All 7 x 7 places of the last layer are features of their own, which ties the network
            to views of 224 x 224; else their mean is.

    Attributes:
        num_features: F, 25,088 or 512.
        one_size: Whether it works at one size of views alone, for the ONNX exporter.
    """

    def __init__(self, *, flat: bool) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"])
        self.one_size = flat
        self.num_features = _CHANNELS * (_CELLS if flat else 1)
        self.pretrained_cfg: dict[str, Any] = {
            "input_size": (3, _SIZE_PX, _SIZE_PX),
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
        }

    def forward(self, views: Tensor) -> Tensor:
        """Features of views.

        Raises:
            ConfigError: It is flat, and the views are not 224 x 224.
        """
        if self.one_size and views.shape[-2:] != (_SIZE_PX, _SIZE_PX):
            raise ConfigError(f"this VGG16 takes views of 224 x 224, got {tuple(views.shape[-2:])}")
        last: Tensor = self.features(views)
        return torch.flatten(last, 1) if self.one_size else last.mean((2, 3))
