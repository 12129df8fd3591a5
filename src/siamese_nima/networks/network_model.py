"""A network in memory as a model that scores, without the detour over a model file."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from siamese_nima.card import ModelCard
from siamese_nima.networks.nima import NIMA, PhotoNIMA


class NetworkModel:
    """Rates views with PyTorch; what `Scorer` takes in place of a model file.

    For networks that are being trained or used once; a model file rates faster on a processor.
    """

    def __init__(self, nima: NIMA, card: ModelCard) -> None:
        """Wrap `nima`, which is switched to inference mode, and its card."""
        self.card = card
        self._network = PhotoNIMA(nima, card.normalisation).eval()
        self._device = next(nima.parameters()).device
        self._network.to(self._device)

    @property
    def model_id(self) -> str:
        """Name and version; weights in memory have no hash."""
        return f"{self.card.name}-{self.card.version}@memory"

    def rate(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Rating distributions, shape (N, K), of views of shape (N, V, H, W, 3)."""
        with torch.inference_mode():
            distributions = self._network(torch.from_numpy(views).to(self._device))
        rated: NDArray[np.float32] = distributions.float().cpu().numpy()
        return rated
