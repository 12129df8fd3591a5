"""What frozen ImageNet networks see in rated photos."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from people import Rated
from torch import nn

from siamese_nima.networks.backbones import BackboneOptions, Beside
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.networks.side_by_side import SideBySide
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from efficientnet_lite import NORMALISATION, build_efficientnet_lite

FIRST, SECOND = "tf_efficientnet_lite0", "tf_efficientnet_lite2"
VIEW = ViewPolicy.parse("warp:320")  # the whole photo; see README.md for why this size
# Channels of the features, in the order in which the network with both gives them.
BLOCKS = {"lite0.blocks.5.3": 192, "lite0": 1280, "lite2.blocks.5.4": 208}
OPTIONS = BackboneOptions(
    levels=("blocks.5.3",),
    beside=Beside(SECOND, BackboneOptions(levels=("blocks.5.4",), pooled=False)),
)

_BATCH = 8
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageNet:
    """Files of ImageNet weights (.pth) of EfficientNet-Lite0 and Lite2."""

    lite0: Path
    lite2: Path

    def backbone(self) -> nn.Module:
        """Both side by side, of the second what comes before its last blocks."""
        first = LevelPooling(
            build_efficientnet_lite(FIRST, self.lite0), levels=OPTIONS.levels, enlarge=1
        )
        second = LevelPooling(
            build_efficientnet_lite(SECOND, self.lite2),
            levels=("blocks.5.4",),
            enlarge=1,
            pooled=False,
        )
        return SideBySide(first, second).eval()


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of photos, shape (N, F): as they are scored, and of the mirrored photo."""

    plain: Floats
    mirrored: Floats


def read_features(rated: Rated, imagenet: ImageNet, work: Path) -> Features:
    """Features of all photos, computed now or earlier."""
    kept = work / "features.npz"
    if not kept.exists():
        backbone = imagenet.backbone()
        plain, mirrored = (_extract(rated, backbone, mirror=mirror) for mirror in (False, True))
        work.mkdir(parents=True, exist_ok=True)
        partial = work / "partial.npz"
        np.savez(partial, plain=plain, mirrored=mirrored)
        partial.replace(kept)
    found = np.load(kept)
    return Features(found["plain"].astype(np.float64), found["mirrored"].astype(np.float64))


def _extract(rated: Rated, backbone: nn.Module, *, mirror: bool) -> NDArray[np.float32]:
    normalise = PixelNormalisation(NORMALISATION)
    parts = []
    paths = rated.paths
    with torch.inference_mode():
        for start in range(0, len(paths), _BATCH):
            views = np.stack(
                [VIEW.views(read_photo(path)) for path in paths[start : start + _BATCH]]
            )
            if mirror:
                views = np.ascontiguousarray(views[:, :, :, ::-1])
            parts.append(backbone(normalise(torch.from_numpy(views)).flatten(0, 1)).numpy())
    return np.concatenate(parts)
