"""Cut a backbone in two: a frozen trunk, run once per view, and the upper layers that train."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from timm.layers.norm_act import BatchNormAct2d
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn import functional

from siamese_nima.card import Normalisation
from siamese_nima.datasets.view_cache import ViewCache, kept_array
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.backbones import feature_count
from siamese_nima.networks.levels import LevelPooling, blocks_of, enlarged, run_levels
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.networks.onnx_export import trace
from siamese_nima.training.config import HEAD_ALONE

_CEILING = 6.0  # of ReLU6, which ends every trunk of a MobileNet v1
_BATCH = 32
_CHUNK = 32 * _BATCH  # views between two notes of progress

Activations = NDArray[np.uint8] | NDArray[np.float16]


class Trunk(nn.Module):
    """The lower part of a backbone: layers, some of which also give their channel means."""

    def __init__(
        self, layers: Sequence[nn.Module], levels: Sequence[bool], *, enlarge: int
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.levels = tuple(levels)
        self.enlarge = enlarge

    def forward(self, views: Tensor) -> Tensor:
        """From normalised pixels (N, 3, H, W) to (N, C, h + r, w), the last r rows of means."""
        activations, means = run_levels(self.layers, self.levels, enlarged(views, self.enlarge))
        if not means:
            return activations
        told = torch.cat(means, dim=1)
        channels, width = activations.shape[1], activations.shape[3]
        rows = _rows(told.shape[1], channels, width)
        padded = functional.pad(told, (0, rows * channels * width - told.shape[1]))
        return torch.cat([activations, padded.view(-1, channels, rows, width)], dim=2)

    def extra_repr(self) -> str:
        """What its weights do not tell."""
        return f"levels={self.levels}, enlarge={self.enlarge}"


class UpperLayers(nn.Module):
    """The upper part of a backbone, from what its trunk gives to features (N, `num_features`).

    `last` makes pooled features of the last activations; None where these do not count. `told` is
    the number of means that the trunk gives.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        levels: Sequence[bool],
        last: nn.Module | None,
        num_features: int,
        *,
        told: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.levels = tuple(levels)
        self.last = last
        self.num_features = num_features
        self.told = told

    def forward(self, packed: Tensor) -> Tensor:
        """Features of all depths, in network order."""
        height = packed.shape[2] - _rows(self.told, packed.shape[1], packed.shape[3])
        told = packed[:, :, height:].flatten(1)[:, : self.told]
        activations, means = run_levels(self.layers, self.levels, packed[:, :, :height])
        last = [] if self.last is None else [self.last(activations)]
        return torch.cat([told, *means, *last], dim=1)


def _rows(means: int, channels: int, width: int) -> int:
    return -(-means // (channels * width))


class ActivationScaling(nn.Module):
    """From cached activations (N, V, h, w, C) to what `UpperLayers` takes, float32 (N, V, C, h, w).

    Bytes stand for 0..6, numbers in half precision for themselves.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        activations = inputs.permute(0, 1, 4, 2, 3).float()
        return activations * (_CEILING / 255) if inputs.dtype is torch.uint8 else activations


def split_backbone(backbone: nn.Module, last_frozen: str) -> tuple[nn.Module, UpperLayers]:
    """Cut a MobileNet v1 or v2 or an EfficientNet after one of its blocks, or after all of it.

    Args:
        backbone: timm's, or a `LevelPooling` of one; not one of those that are made up of several.
        last_frozen: "blocks.2" for the third stage, "blocks.3.1" for the second block of the
            fourth; within a `LevelPooling`, "backbone.blocks.2". "backbone" for all of it.

    Returns:
        Trunk and upper layers. They share its parameters: training these trains the backbone.

    Raises:
        ConfigError: Another kind of backbone, or no such block.
    """
    pooling = backbone if isinstance(backbone, LevelPooling) else None
    network = pooling.backbone if pooling else backbone
    if not isinstance(network, EfficientNet):
        raise ConfigError(
            "activations are cached for MobileNet v1 and v2 and EfficientNet only, not for "
            f"{type(backbone).__name__}; set cache_trunk = false"
        )
    count = feature_count(backbone)
    if last_frozen == HEAD_ALONE:
        whole = nn.Sequential(backbone, nn.Unflatten(1, (count, 1, 1)))  # activations of one place
        return whole, UpperLayers([], [], nn.Flatten(), count)
    path = "backbone." if pooling else ""
    blocks = blocks_of(network)
    ends = [i for i, name in enumerate(blocks, 1) if f"{path}{name}.".startswith(f"{last_frozen}.")]
    if not ends or not last_frozen.startswith(f"{path}blocks."):
        raise ConfigError(
            f"no block {last_frozen!r} to freeze up to; blocks are "
            + ", ".join(path + name for name in blocks)
        )
    cut, modules = ends[-1], list(blocks.values())
    levels = [name in pooling.levels if pooling else False for name in blocks]
    told = sum(pooling.level_features[: sum(levels[:cut])]) if pooling else 0
    lower = [network.conv_stem, network.bn1, *modules[:cut]]
    trunk = Trunk(lower, [False, False, *levels[:cut]], enlarge=pooling.enlarge if pooling else 1)
    last = None
    if pooling is None or pooling.pooled:
        last = nn.Sequential(network.conv_head, network.bn2, network.global_pool)
    return trunk, UpperLayers(modules[cut:], levels[cut:], last, count, told=told)


def build_trunk_cache(
    views: ViewCache,
    trunk: nn.Module,
    normalisation: Normalisation,
    folder: Path,
    *,
    report: Callable[[int, int], None] | None = None,
) -> Activations:
    """Run a frozen trunk over all cached views, or go on where an earlier call was stopped.

    Activations of 0..6, where a trunk ends in ReLU6, are stored in a byte each, which is the
    precision of MobileNet's 8-bit ImageNet weights; all others in half precision. ONNX Runtime
    does the work: on CPUs it is twice as fast as torch here.

    Returns:
        Shape (variants, N, V, h, w, C), a read-only memory map for `ActivationScaling`.

    Raises:
        WeightsError: An activation is beyond half precision.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(trunk.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    weights, stored = digest.hexdigest(), _StoredTrunk(trunk, normalisation).eval()
    described = json.dumps([views.key, asdict(normalisation), str(trunk), weights])
    key = hashlib.sha256(described.encode()).hexdigest()
    pixels = views.pixels.reshape(-1, *views.pixels.shape[-3:])
    with torch.inference_mode():
        one = stored(torch.from_numpy(np.array(pixels[:1]))).numpy()

    def fill(activations: Activations, rows: range) -> None:
        session = _session(trunk, normalisation, pixels.shape[1:3], weights)
        flat = activations.reshape(-1, *one.shape[1:])
        for start in range(rows.start, rows.stop, _BATCH):
            part = slice(start, min(start + _BATCH, rows.stop))
            (found,) = session.run(None, {session.get_inputs()[0].name: np.asarray(pixels[part])})
            if not np.isfinite(found).all():
                raise WeightsError(
                    "an activation of the frozen layers is above 65504, the end of half precision; "
                    "set cache_trunk = false"
                )
            flat[part] = found

    path, shape = folder / f"trunk-{key[:16]}.npy", (*views.pixels.shape[:3], *one.shape[1:])
    return kept_array(path, shape, one.dtype, fill, len(pixels), chunk=_CHUNK, report=report)


@lru_cache(maxsize=1)  # the photos of all splits and their ladders go through one trunk
def _session(
    trunk: nn.Module,
    normalisation: Normalisation,
    size: tuple[int, ...],
    weights: str,  # noqa: ARG001 -- what tells a trunk from itself after it has learnt
) -> onnxruntime.InferenceSession:
    return frozen_session(_StoredTrunk(trunk, normalisation), size)


class _StoredTrunk(nn.Module):
    """From pixels to activations as they are stored."""

    def __init__(self, trunk: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = PixelNormalisation(normalisation)
        self.trunk = trunk
        self.in_bytes = isinstance(trunk, Trunk) and _ends_in_relu6(trunk)

    def forward(self, pixels: Tensor) -> Tensor:
        activations: Tensor = self.trunk(self.normalisation(pixels.unsqueeze(1)).squeeze(1))
        channels_last = activations.permute(0, 2, 3, 1)
        if not self.in_bytes:
            return channels_last.half()
        return (channels_last * (255 / _CEILING)).round().to(torch.uint8)


def _ends_in_relu6(trunk: Trunk) -> bool:
    *_, block = trunk.layers
    *_, norm = (module for module in block.modules() if isinstance(module, BatchNormAct2d))
    # A block that adds its input to its output leaves the range.
    alone = not getattr(block, "has_skip", False) and not any(trunk.levels)
    return alone and isinstance(norm.act, nn.ReLU6)


def frozen_session(network: nn.Module, size: tuple[int, ...]) -> onnxruntime.InferenceSession:
    """Have ONNX Runtime compute what layers that do not learn give for views of one size (H, W).

    The network is from pixels, uint8 (N, H, W, 3), to anything with axis 0 of size N.
    """
    example = torch.zeros(2, *size, 3, dtype=torch.uint8)
    graph = trace(network.eval(), example, {0: torch.export.Dim.DYNAMIC})
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph.SerializeToString(), options)
