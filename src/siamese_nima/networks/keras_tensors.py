"""Weights of one layer, as Keras and as torch have them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

KERAS_EPSILON = 1e-3  # of batch norm, in all of Keras' networks

# Per class, in the order in which Keras lists and loads them.
WEIGHT_ORDER = {
    "Conv2D": ("kernel", "bias"),
    "DepthwiseConv2D": ("kernel",),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Dense": ("kernel", "bias"),
}
TORCH_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_AXES_TO_TORCH = {
    "Conv2D": (3, 2, 0, 1),
    "DepthwiseConv2D": (2, 3, 0, 1),
    "Dense": (1, 0),
}


def to_torch(kind: str, value: NDArray[np.float32]) -> Tensor:
    """A weight of a Keras layer of class `kind` with torch's order of axes."""
    axes = _AXES_TO_TORCH[kind] if value.ndim > 1 else (0,)
    return torch.from_numpy(value.transpose(axes).copy())


def to_keras(kind: str, value: Tensor) -> NDArray[np.float32]:
    """The inverse of `to_torch`."""
    array: NDArray[np.float32] = value.detach().cpu().float().numpy()
    if array.ndim == 1:
        return array
    return np.ascontiguousarray(array.transpose(np.argsort(_AXES_TO_TORCH[kind])))
