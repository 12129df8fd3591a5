"""Two NIMA networks with random weights, the same in every form that the contenders read.

The head is scaled so that example photos get scores apart from one another: contenders that compute
something else are then seen in their scores.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from camera_photos import EXAMPLES
from siamese_nima import read_photo
from siamese_nima.card import ModelCard
from siamese_nima.networks.backbones import BackboneOptions
from siamese_nima.networks.conversion import export_weights
from siamese_nima.networks.nima import NIMA, PhotoNIMA, build_nima
from siamese_nima.networks.quantise import quantise_model
from siamese_nima.photos.views import ViewPolicy

BACKBONES = {
    "inception_resnet_v2": (
        "inception_resnet_v2",
        BackboneOptions(bn_epsilon=1e-3, bn_scale=False),
    ),
    "mobilenet": ("mobilenetv1_100", BackboneOptions(bn_epsilon=1e-3, padding="keras2")),
}
SEED = 0
LOGIT_SPREAD = 1.5


@dataclass(frozen=True, slots=True)
class EqualNetwork:
    """One network in all its forms."""

    model: Path
    int8: Path
    keras: Path
    checkpoint: Path


def equal_network(name: str, folder: Path) -> EqualNetwork:
    """The files of one of `BACKBONES`, made unless they are there."""
    stem = folder / name
    files = EqualNetwork(
        model=stem.with_suffix(".onnx"),
        int8=folder / f"{name}-int8.onnx",
        keras=stem.with_suffix(".h5"),
        checkpoint=stem.with_suffix(".safetensors"),
    )
    if not files.checkpoint.exists():
        nima, card = _random(name)
        export_weights(nima, card, files.model, "onnx")
        export_weights(nima, card, files.keras, "keras-h5")
        export_weights(nima, card, files.checkpoint, "safetensors")
    if not files.int8.exists():
        quantise_model(files.model, sorted(EXAMPLES.glob("*.jpg")), files.int8)
    return files


def multiply_adds(model: Path) -> int:
    """Multiplications with addition of one view at 224 x 224."""
    name = next(name for name in BACKBONES if model.name.startswith(name))
    backbone, options = BACKBONES[name]
    network = build_nima(backbone, options=options).eval()
    total = 0

    def count(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        weight: Any = module.weight
        positions = (
            output.shape[-2] * output.shape[-1] if isinstance(module, torch.nn.Conv2d) else 1
        )
        total += weight.numel() * positions

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 1, 3, 224, 224))
    return total


def _random(name: str) -> tuple[NIMA, ModelCard]:
    torch.manual_seed(SEED)
    backbone, options = BACKBONES[name]
    nima = build_nima(backbone, options=options).eval()
    card = ModelCard(
        name=f"random-{name}",
        description="Random weights, for timing; its scores mean nothing.",
        backbone=backbone,
        backbone_options=options.to_dict(),
        view=ViewPolicy.parse("warp:224"),
    )
    photos = [card.view.views(read_photo(path)) for path in sorted(EXAMPLES.glob("*.jpg"))]
    pixels = PhotoNIMA(nima, card.normalisation).normalisation(torch.from_numpy(np.stack(photos)))
    with torch.no_grad():
        features = nima.features(pixels)
        centred = features - features.mean(0)
        nima.head.weight *= LOGIT_SPREAD / (centred @ nima.head.weight.T).std()
        nima.head.bias.copy_(-features.mean(0) @ nima.head.weight.T)
    return nima, card
