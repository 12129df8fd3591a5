"""Frozen ImageNet features of small photos, with what people said about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.table_csv import read_table_csv
from siamese_nima.networks.backbones import BackboneOptions
from siamese_nima.networks.levels import LevelPooling
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.networks.quantised_mobilenet import (
    KERAS_OPTIONS,
    MobileNetName,
    build_dequantised,
    read_quantised_mobilenet,
)
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale

BACKBONE: MobileNetName = "mobilenetv1_100"
VIEW = ViewPolicy.parse("centre:80@80")  # what there is of the photos: see README.md
ENLARGE = 2
SCALE = RatingScale(1, 5)
LEVELS = {"blocks.3.0": 512, "blocks.3.4": 512}  # beside the 1,024 pooled features
POOLED = "pooled"
SPLITS = Path(__file__).parents[1] / "quality" / "splits.csv"
HELPER_PHOTOS = {"ss01": 600, "ss02": 400, "ss03": 2000}  # of the train split of BIQ2021

_BATCH = 32
Floats = NDArray[np.float64]


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


def read_rated(data: Path, imagenet: Path, work: Path) -> Rated:
    """The photos of the appeal study: votes.csv and the tiles beside it."""
    table = read_table_csv(data / "votes.csv")
    views = _views(table)
    return Rated(
        table,
        _features(views, imagenet, work / "plain.npz"),
        _features(views[:, :, :, ::-1], imagenet, work / "mirrored.npz"),
    )


def read_helpers(data: Path, imagenet: Path, work: Path) -> Rated:
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


def build_backbone(imagenet: Path, levels: tuple[str, ...]) -> LevelPooling:
    """The frozen backbone."""
    backbone = build_dequantised(BACKBONE, read_quantised_mobilenet(imagenet))
    return LevelPooling(backbone, levels=levels, enlarge=ENLARGE)


def backbone_options(levels: tuple[str, ...]) -> BackboneOptions:
    """What the model card says of it."""
    return BackboneOptions.from_dict(
        {**KERAS_OPTIONS.to_dict(), "levels": levels, "enlarge": ENLARGE}
    )


def _views(table: RatingTable) -> NDArray[np.uint8]:
    table.require_photos()
    photos = (read_photo(path, min_short_side_px=2 * VIEW.view_size[0]) for path in table.paths)
    return np.stack([VIEW.views(photo) for photo in photos])


def _features(views: NDArray[np.uint8], imagenet: Path, kept: Path) -> dict[str, Floats]:
    if not kept.exists():
        torch.manual_seed(0)
        backbone = build_backbone(imagenet, tuple(LEVELS)).eval()
        normalise = PixelNormalisation(read_quantised_mobilenet(imagenet).normalisation)
        batches = []
        with torch.inference_mode():
            for start in range(0, len(views), _BATCH):
                pixels = torch.from_numpy(np.ascontiguousarray(views[start : start + _BATCH]))
                batches.append(backbone(normalise(pixels).flatten(0, 1)).numpy())
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"partial-{kept.name}")
        np.savez(partial, features=np.concatenate(batches))
        partial.replace(kept)
    features = np.load(kept)["features"].astype(np.float64)
    ends = np.cumsum(list(LEVELS.values()))
    return dict(zip((*LEVELS, POOLED), np.split(features, ends, axis=1), strict=True))
