"""Frozen ImageNet features of small photos, with what people said about them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from siamese_nima.card import Normalisation
from siamese_nima.datasets.own_table import read_table_csv
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.networks.backbones import BackboneOptions, Beside
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.networks.quantised_mobilenet import (
    KERAS_OPTIONS,
    MobileNetName,
    build_dequantised,
    read_quantised_mobilenet,
)
from siamese_nima.networks.side_by_side import SideBySide
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale

sys.path.insert(0, str(Path(__file__).parents[1]))
from efficientnet_lite import build_efficientnet_lite

BACKBONE: MobileNetName = "mobilenetv1_100"
BESIDE = "tf_efficientnet_lite2"
VIEW = ViewPolicy.parse("centre:80@80")  # what there is of the photos: see README.md
ENLARGE = 2
SCALE = RatingScale(1, 5)
POOLED = "pooled"  # of the MobileNet, after its last block; always a feature
OF_SECOND = "lite2."  # stands before the blocks of the second backbone
LEVELS = {
    "blocks.3.0": 512,
    "blocks.3.4": 512,
    f"{OF_SECOND}blocks.4.3": 120,
    f"{OF_SECOND}blocks.5.4": 208,
}
SPLITS = Path(__file__).parents[1] / "quality" / "splits.csv"
HELPER_PHOTOS = {"ss01": 600, "ss02": 400, "ss03": 2000}  # of the train split of BIQ2021

_BATCH = 32
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageNet:
    """Files of ImageNet weights.

    Attributes:
        mobilenet: Of MobileNet v1, 8-bit (.tflite).
        lite: Of EfficientNet-Lite2 (.pth).
    """

    mobilenet: Path
    lite: Path

    @property
    def normalisation(self) -> Normalisation:
        """MobileNet's; EfficientNet-Lite's has a mean one grade of 256 lower."""
        return read_quantised_mobilenet(self.mobilenet).normalisation

    def first(self) -> nn.Module:
        """MobileNet v1."""
        return build_dequantised(BACKBONE, read_quantised_mobilenet(self.mobilenet))

    def second(self) -> nn.Module:
        """EfficientNet-Lite2."""
        return build_efficientnet_lite(BESIDE, self.lite)


@dataclass(frozen=True, slots=True, eq=False)
class Rated:
    """Photos with features, by block, and labels.

    Attributes:
        table: The photos.
        plain: Features per block, each of shape (N, C): the photo as it is scored.
        mirrored: The same of the mirrored photo.
    """

    table: RatingTable
    plain: dict[str, Floats]
    mirrored: dict[str, Floats]

    @property
    def sources(self) -> NDArray[np.str_]:
        """Shape (N,), where each photo comes from."""
        return np.asarray(self.table.subsets)


def read_rated(data: Path, imagenet: ImageNet, work: Path) -> Rated:
    """The photos of the appeal study: votes.csv and the tiles beside it."""
    table = read_table_csv(data / "votes.csv")
    views = _views(table)
    return Rated(
        table,
        _features(views, imagenet, work / "plain.npz"),
        _features(views[:, :, :, ::-1], imagenet, work / "mirrored.npz"),
    )


def read_helpers(data: Path, imagenet: ImageNet, work: Path) -> Rated:
    """Photos of BIQ2021, whose ratings of quality and origin say a little about appeal."""
    table = read_biq2021(data, SPLITS).split("train")
    generator = np.random.default_rng(0)
    subsets = np.asarray(table.subsets)
    rows = [
        generator.permutation(np.flatnonzero(subsets == name))[:count]
        for name, count in HELPER_PHOTOS.items()
    ]
    table = table.select(np.concatenate(rows))
    features = _features(_views(table), imagenet, work / "helpers.npz")
    return Rated(table, features, features)


def in_order(levels: Sequence[str]) -> tuple[str, ...]:
    """Names of all features, as the network gives them: all of the MobileNet, then the second's."""
    first = [name for name in LEVELS if name in levels and not name.startswith(OF_SECOND)]
    second = [name for name in LEVELS if name in levels and name.startswith(OF_SECOND)]
    return (*first, POOLED, *second)


def split_levels(levels: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Blocks of the first backbone, and of the second as that one calls them."""
    return (
        tuple(name for name in levels if not name.startswith(OF_SECOND)),
        tuple(name.removeprefix(OF_SECOND) for name in levels if name.startswith(OF_SECOND)),
    )


def backbone_options(levels: Sequence[str]) -> BackboneOptions:
    """How the backbone that gives these features is built."""
    first, second = split_levels(levels)
    beside = None
    if second:
        cut = BackboneOptions(levels=second, pooled=False, enlarge=ENLARGE)
        beside = Beside(BESIDE, cut)
    return replace(KERAS_OPTIONS, levels=first, enlarge=ENLARGE, beside=beside)


def frozen_backbone(imagenet: ImageNet, levels: Sequence[str]) -> nn.Module:
    """The backbone, with its ImageNet weights."""
    first, second = split_levels(levels)
    backbone = LevelPooling(imagenet.first(), levels=first, enlarge=ENLARGE)
    if not second:
        return backbone
    cut = LevelPooling(imagenet.second(), levels=second, enlarge=ENLARGE, pooled=False)
    return SideBySide(backbone, cut)


def _views(table: RatingTable) -> NDArray[np.uint8]:
    table.require_photos()
    photos = (read_photo(path, min_short_side_px=2 * VIEW.view_size[0]) for path in table.paths)
    return np.stack([VIEW.views(photo) for photo in photos])


def _features(views: NDArray[np.uint8], imagenet: ImageNet, kept: Path) -> dict[str, Floats]:
    if not kept.exists():
        of_first, of_second = split_levels(tuple(LEVELS))
        parts = (imagenet.first(), of_first), (imagenet.second(), of_second)
        means = [_channel_means(views, *part, imagenet.normalisation) for part in parts]
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"partial-{kept.name}")
        np.savez(partial, first=means[0], second=means[1])
        partial.replace(kept)
    means = np.load(kept)
    features: dict[str, Floats] = {}
    for part, top, names in (
        ("first", POOLED, [name for name in LEVELS if not name.startswith(OF_SECOND)]),
        ("second", OF_SECOND + POOLED, [name for name in LEVELS if name.startswith(OF_SECOND)]),
    ):
        ends = np.cumsum([LEVELS[name] for name in names])
        blocks = np.split(means[part].astype(np.float64), ends, axis=1)
        features |= dict(zip((*names, top), blocks, strict=True))
    return features


def _channel_means(
    views: NDArray[np.uint8], backbone: nn.Module, levels: tuple[str, ...], scaling: Normalisation
) -> NDArray[np.float32]:
    torch.manual_seed(0)
    network = LevelPooling(backbone, levels=levels, enlarge=ENLARGE).eval()
    normalise = PixelNormalisation(scaling)
    batches = []
    with torch.inference_mode():
        for start in range(0, len(views), _BATCH):
            pixels = torch.from_numpy(np.ascontiguousarray(views[start : start + _BATCH]))
            batches.append(network(normalise(pixels).flatten(0, 1)).numpy())
    return np.concatenate(batches)
