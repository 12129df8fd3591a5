"""BIQ2021 as the experiments see it: cached activations of the frozen layers, and ladders."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import ViewCache, build_view_cache
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.quantised_mobilenet import read_quantised_mobilenet
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.training.ladder_views import LadderViews, build_ladder_views
from siamese_nima.training.photo_loader import RatedViews
from siamese_nima.training.trunk import build_trunk_cache, split_backbone

RECIPE = Path(__file__).parents[2] / "recipes" / "quality"
sys.path.insert(0, str(RECIPE))
from train import initial_network  # noqa: E402 - the recipe is a script beside, not a package

SCALE = RatingScale(1, 10)
VIEW = ViewPolicy.parse("warp:224+centre:224@512")
VARIANTS = 2
CALIBRATION_PHOTOS = 512
CLEAN_PHOTOS = {"train": 300, "val": 20, "test": 50}
LADDERS_PER_PHOTO = {"train": 2, "val": 6, "test": 6}
HEAD_STD = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class SplitInputs:
    """One split: photos, what the free layers are fed with, and its ladders.

    Attributes:
        table: The photos.
        rated: Activations after the frozen layers, with labels.
        ladders: Of the photos that people rated best.
        ladder_rows: Shape (L,), the row of `table` that each ladder is of.
        ladder_inputs: Shape (1, 6 L, ...), activations of the ladders.
    """

    table: RatingTable
    rated: RatedViews
    ladders: LadderViews
    ladder_rows: NDArray[np.intp]
    ladder_inputs: NDArray[np.uint8]


class Experiment:
    """The photos and the network before training, with layers frozen up to a block.

    Args:
        data: Folder of BIQ2021.
        imagenet: The .tflite file with the ImageNet weights.
        work: Caches are kept here; they are the recipe's.
        depth: The last frozen block, such as "blocks.3".
    """

    def __init__(self, data: Path, imagenet: Path, work: Path, depth: str) -> None:
        self.weights = read_quantised_mobilenet(imagenet)
        self.depth = depth
        self.work = work
        table = read_biq2021(data, RECIPE / "splits.csv")
        tables = {name: table.split(name) for name in ("train", "val", "test")}
        views = {
            name: build_view_cache(
                part, VIEW, work / "cache", variants=VARIANTS if name == "train" else 1
            )
            for name, part in tables.items()
        }
        every = max(1, len(tables["train"]) // CALIBRATION_PHOTOS)
        self._calibration = views["train"].pixels[0, ::every, 0]
        trunk = split_backbone(self._initial().backbone, depth).trunk
        self.splits = {
            name: self._inputs(name, part, views[name], trunk) for name, part in tables.items()
        }

    def network(self, seed: int) -> NIMA:
        """The layers that are free, with ImageNet weights and a head that knows nothing."""
        nima = self._initial()
        upper = split_backbone(nima.backbone, self.depth).upper
        network = NIMA(upper, grades=SCALE.size, group_sizes=VIEW.group_sizes)
        torch.manual_seed(seed)
        nn.init.normal_(network.head.weight, std=HEAD_STD)
        nn.init.zeros_(network.head.bias)
        return network.to(memory_format=torch.channels_last)

    def _initial(self) -> NIMA:
        kept = self.work / "initial.safetensors"
        return initial_network(self.weights, self._calibration, SCALE, VIEW, kept)

    def _inputs(
        self, name: str, table: RatingTable, views: ViewCache, trunk: nn.Module
    ) -> SplitInputs:
        rows = np.sort(np.argsort(-table.mos, kind="stable")[: CLEAN_PHOTOS[name]])
        ladders = build_ladder_views(
            table.select(rows), VIEW, self.work / "cache", per_photo=LADDERS_PER_PHOTO[name]
        )
        inputs, ladder_inputs = (
            build_trunk_cache(cache, trunk, self.weights.normalisation, self.work / "cache")
            for cache in (views, ladders.views)
        )
        rated = RatedViews(inputs, table.distributions(SCALE), table.means(SCALE))
        return SplitInputs(table, rated, ladders, rows[ladders.photos], ladder_inputs)
