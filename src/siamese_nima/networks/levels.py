"""Backbones for small views: enlarged inside the network, features taken from several depths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn import functional

from siamese_nima.errors import ConfigError


class LevelPooling(nn.Module):
    """A MobileNet or EfficientNet whose features are the channel means after some of its blocks.

    Deep features name things; light, colour and texture are told by earlier ones. Views that are
    smaller than what the weights were trained on are enlarged first, by whole factors, bilinearly.

    Args:
        backbone: timm's MobileNet of any kind, or another network of its class.
        levels: Names of blocks, such as "blocks.3.4". Their means come before the pooled features,
            in network order.
        enlarge: Factor of both sides.
        pooled: Whether the pooled features count. With False, all that comes after the last level
            is taken out of `backbone`.

    Raises:
        ConfigError: Another class of backbone, or no such block.
    """

    def __init__(
        self, backbone: nn.Module, *, levels: Sequence[str], enlarge: int, pooled: bool = True
    ) -> None:
        super().__init__()
        if not isinstance(backbone, EfficientNet):
            raise ConfigError(
                "levels and enlarge are for MobileNets and EfficientNets, not for "
                f"{type(backbone).__name__}"
            )
        self.backbone = backbone
        self.pretrained_cfg = backbone.pretrained_cfg
        self.enlarge = enlarge
        self.pooled = pooled
        names = list(blocks_of(backbone))
        if unknown := [level for level in levels if level not in names]:
            raise ConfigError(f"no block {unknown[0]!r}; blocks are {', '.join(names)}")
        self.levels = tuple(name for name in names if name in levels)
        if not pooled:
            self._cut()
        with torch.no_grad():
            _, means = self.eval()._run(torch.zeros(1, 3, 32, 32))
        self.level_features = tuple(int(mean.shape[1]) for mean in means)
        self.num_features = sum(self.level_features) + (backbone.num_features if pooled else 0)

    def forward(self, views: Tensor) -> Tensor:
        """From normalised pixels (N, 3, H, W) to features (N, F)."""
        activations, means = self._run(views)
        if self.pooled:
            last = self.backbone.bn2(self.backbone.conv_head(activations))
            means.append(self.backbone.global_pool(last))
        return torch.cat(means, dim=1)

    def extra_repr(self) -> str:
        """What its weights do not tell."""
        return f"levels={self.levels}, enlarge={self.enlarge}, pooled={self.pooled}"

    def _run(self, views: Tensor) -> tuple[Tensor, list[Tensor]]:
        first = self.backbone.bn1(self.backbone.conv_stem(enlarged(views, self.enlarge)))
        blocks = blocks_of(self.backbone)
        return run_levels(blocks.values(), [name in self.levels for name in blocks], first)

    def _cut(self) -> None:
        """Take out what comes after the last level; what is left keeps its names."""
        _, stage, block = self.levels[-1].split(".")
        stages = list(self.backbone.blocks.children())[: int(stage) + 1]
        stages[-1] = nn.Sequential(*list(stages[-1].children())[: int(block) + 1])
        self.backbone.blocks = nn.Sequential(*stages)
        del self.backbone.conv_head, self.backbone.bn2, self.backbone.global_pool


def blocks_of(network: EfficientNet) -> dict[str, nn.Module]:
    """Its blocks in network order, by names such as "blocks.3.4"."""
    return {
        f"blocks.{i}.{j}": block
        for i, stage in enumerate(network.blocks.children())
        for j, block in enumerate(stage.children())
    }


def enlarged(views: Tensor, factor: int) -> Tensor:
    """Views (N, 3, H, W) with both sides that many times as long, bilinearly."""
    if factor == 1:
        return views
    return functional.interpolate(
        views, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


def run_levels(
    layers: Iterable[nn.Module], levels: Iterable[bool], activations: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Run layers one after the other; returns the last activations, and the means of the levels.

    Args:
        layers: In network order.
        levels: Which of them give the means of their channels.
        activations: Shape (N, C, H, W).
    """
    means = []
    for layer, counts in zip(layers, levels, strict=True):
        activations = layer(activations)
        if counts:
            means.append(activations.mean((2, 3)))
    return activations, means
