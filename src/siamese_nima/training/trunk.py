"""Cut a backbone in two: a frozen trunk, run once per view, and the upper layers that train."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from siamese_nima.card import Normalisation
from siamese_nima.datasets.view_cache import ViewCache
from siamese_nima.errors import ConfigError
from siamese_nima.networks.nima import PixelNormalisation

ACTIVATION_CEILING = 6.0  # of ReLU6, which ends every trunk of a MobileNet
_BATCH = 32


class UpperLayers(nn.Module):
    """The layers after the cut, from trunk activations (N, C, h, w) to pooled features (N, F)."""

    def __init__(self, layers: nn.Sequential, pool: nn.Module, num_features: int) -> None:
        super().__init__()
        self.layers = layers
        self.pool = pool
        self.num_features = num_features

    def forward(self, activations: Tensor) -> Tensor:
        """Pooled features."""
        features: Tensor = self.pool(self.layers(activations))
        return features


class ActivationScaling(nn.Module):
    """From cached trunk activations to what `UpperLayers` takes."""

    def forward(self, inputs: Tensor) -> Tensor:
        """From uint8 (N, V, h, w, C) to float32 (N, V, C, h, w) in 0..6."""
        return inputs.permute(0, 1, 4, 2, 3).float() * (ACTIVATION_CEILING / 255)


@dataclass(frozen=True, slots=True, eq=False)
class SplitBackbone:
    """A backbone in two parts that share its parameters: training `upper` trains the backbone."""

    trunk: nn.Sequential
    upper: UpperLayers


def split_backbone(backbone: nn.Module, last_frozen: str) -> SplitBackbone:
    """Cut a MobileNet after one of its blocks.

    Args:
        backbone: timm's MobileNet v1 (blocks that end in ReLU6, so that a byte holds an activation
            as well as the 8-bit network that the weights come from).
        last_frozen: "blocks.2" for the third stage, "blocks.3.1" for the second block of the
            fourth.

    Raises:
        ConfigError: Another kind of backbone, or no such block.
    """
    configuration: Any = getattr(backbone, "pretrained_cfg", {})
    if not (
        isinstance(backbone, EfficientNet)
        and configuration.get("architecture", "").startswith("mobilenetv1")
    ):
        raise ConfigError(
            f"activations are cached for MobileNet v1 only, not for {type(backbone).__name__}; "
            "set cache_trunk = false"
        )
    layers: list[tuple[str, nn.Module]] = [
        ("conv_stem", backbone.conv_stem),
        ("bn1", backbone.bn1),
        *(
            (f"blocks.{i}.{j}", block)
            for i, stage in enumerate(backbone.blocks.children())
            for j, block in enumerate(stage.children())
        ),
    ]
    ends = [
        place
        for place, (name, _) in enumerate(layers, start=1)
        if name == last_frozen or name.startswith(last_frozen + ".")
    ]
    if not ends or not last_frozen.startswith("blocks."):
        raise ConfigError(
            f"no block {last_frozen!r} to freeze up to; blocks are "
            + ", ".join(name for name, _ in layers[2:])
        )
    modules = [module for _, module in layers]
    rest = [*modules[ends[-1] :], backbone.conv_head, backbone.bn2]
    return SplitBackbone(
        trunk=nn.Sequential(*modules[: ends[-1]]),
        upper=UpperLayers(nn.Sequential(*rest), backbone.global_pool, backbone.num_features),
    )


def build_trunk_cache(
    views: ViewCache,
    trunk: nn.Module,
    normalisation: Normalisation,
    folder: Path,
    *,
    report: Callable[[int, int], None] | None = None,
) -> NDArray[np.uint8]:
    """Run a frozen trunk over all cached views, or go on where an earlier call was stopped.

    Activations of 0..6 are stored in a byte each, which is the precision of the 8-bit ImageNet
    weights. ONNX Runtime does the work: on CPUs it is twice as fast as torch here.

    Returns:
        Shape (variants, N, V, h, w, C), a read-only memory map; value / 255 * 6 is the activation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    session = _session(trunk, normalisation, views.pixels.shape[-3:-1])
    variants, photos, count = views.pixels.shape[:3]
    shape = _run(session, np.asarray(views.pixels[0, 0])).shape[1:]
    key = hashlib.sha256(json.dumps([views.key, _weights_hash(trunk)]).encode()).hexdigest()
    path = folder / f"trunk-{key[:16]}.npy"
    note = path.with_suffix(".rows")
    if path.exists() and note.exists():
        activations = np.load(path, mmap_mode="r+")
    else:
        activations = np.lib.format.open_memmap(
            path, "w+", np.uint8, (variants, photos, count, *shape)
        )
        note.write_text("0")
    flat_views = views.pixels.reshape(-1, *views.pixels.shape[-3:])
    flat = activations.reshape(-1, *shape)
    for start in range(int(note.read_text()), len(flat), _BATCH):
        rows = slice(start, min(start + _BATCH, len(flat)))
        flat[rows] = _run(session, np.asarray(flat_views[rows]))
        if rows.stop == len(flat) or start % (_BATCH * 32) == 0:
            activations.flush()
            note.write_text(str(rows.stop))
            if report:
                report(rows.stop, len(flat))
    result: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return result


class _ByteTrunk(nn.Module):
    def __init__(self, trunk: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = PixelNormalisation(normalisation)
        self.trunk = trunk

    def forward(self, pixels: Tensor) -> Tensor:
        activations: Tensor = self.trunk(self.normalisation(pixels.unsqueeze(1)).squeeze(1))
        scaled = activations * (255 / ACTIVATION_CEILING)
        return scaled.round().permute(0, 2, 3, 1).to(torch.uint8)


def _session(
    trunk: nn.Module, normalisation: Normalisation, size: tuple[int, ...]
) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.onnx"
        torch.onnx.export(
            _ByteTrunk(trunk, normalisation).eval(),
            (torch.zeros(2, *size, 3, dtype=torch.uint8),),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("views")},),
        )
        return onnxruntime.InferenceSession(path.read_bytes())


def _run(session: onnxruntime.InferenceSession, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    outputs: list[NDArray[np.uint8]] = session.run(None, {session.get_inputs()[0].name: pixels})
    return outputs[0]


def _weights_hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
