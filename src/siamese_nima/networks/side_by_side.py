"""Two backbones that look at the same views."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SideBySide(nn.Module):
    """Two backbones on the same pixels; the features of the second follow those of the first.

    Networks that were trained in different ways err in different ways. One linear head on both
    hears both.

    Attributes:
        first: Its pixel normalisation is that of both.
        second: Of any kind that `first` can be of, two side by side included.
        num_features: Features of both.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.pretrained_cfg = first.pretrained_cfg
        with torch.no_grad():
            features = self.eval()(torch.zeros(1, 3, 32, 32))
        self.num_features = int(features.shape[1])

    def forward(self, views: Tensor) -> Tensor:
        """From normalised pixels (N, 3, H, W) to features (N, F)."""
        return torch.cat([self.first(views), self.second(views)], dim=1)
