"""BIQ2021 as training sees it: cached activations of the frozen layers, and distortion ladders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import ViewCache, build_view_cache
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.quantised_mobilenet import (
    MobileNetName,
    build_dequantised,
    read_quantised_mobilenet,
)
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.training.ladder_views import LadderViews, build_ladder_views
from siamese_nima.training.photo_loader import RatedViews
from siamese_nima.training.trunk import build_trunk_cache, split_backbone

SPLITS = Path(__file__).parent / "splits.csv"
BACKBONE: MobileNetName = "mobilenetv1_100"
SCALE = RatingScale(1, 10)
VIEW = ViewPolicy.parse("warp:224+centre:224@512")  # why: views.json
VARIANTS = 2  # of each training photo: as scored, and with a random crop and perhaps mirrored
CALIBRATION_PHOTOS = 512  # for the statistics of the batch norms
CLEAN_PHOTOS = {"train": 300, "val": 20, "test": 50}  # those that people rated best
LADDERS_PER_PHOTO = {"train": 2, "val": 6, "test": 6}
HEAD_STD = 0.01
DROPOUT = 0.2  # NIMA's .75 learns far slower here (docs/results.md)


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


class TrainingInputs:
    """The photos, and the network before training with layers frozen up to a block.

    Args:
        data: Folder of BIQ2021.
        imagenet: The .tflite file with the ImageNet weights.
        work: Caches are kept here.
        depth: The last frozen block, such as "blocks.2".
        dropout: Before the head, in both stages.
    """

    def __init__(
        self, data: Path, imagenet: Path, work: Path, depth: str, *, dropout: float = DROPOUT
    ) -> None:
        self.weights = read_quantised_mobilenet(imagenet)
        self.dropout = dropout
        self.depth = depth
        self.work = work
        self.table = read_biq2021(data, SPLITS)
        self.table.require_photos()
        tables = {name: self.table.split(name) for name in ("train", "val", "test")}
        views = {
            name: build_view_cache(
                part, VIEW, work / "cache", variants=VARIANTS if name == "train" else 1
            )
            for name, part in tables.items()
        }
        every = max(1, len(tables["train"]) // CALIBRATION_PHOTOS)
        self._calibration = views["train"].pixels[0, ::every, 0]
        trunk = split_backbone(self.whole_network().backbone, depth).trunk
        self.splits = {
            name: self._inputs(name, part, views[name], trunk) for name, part in tables.items()
        }

    def keep_share(self, share: float) -> None:
        """Train on a random share of the photos from now on, and on no ladders."""
        part = self.splits["train"]
        count = round(share * len(part.table))
        rows = np.sort(np.random.default_rng(0).permutation(len(part.table))[:count])
        rated = part.rated
        self.splits["train"] = SplitInputs(
            part.table.select(rows),
            RatedViews(rated.inputs[:, rows], rated.distributions[rows], rated.means[rows]),
            part.ladders,
            part.ladder_rows[:0],
            part.ladder_inputs[:, :0],
        )

    def whole_network(self) -> NIMA:
        """All layers, with ImageNet weights and a head that knows nothing.

        The backbone is kept under `work`: measured batch-norm statistics could differ in the last
        bit another time, and the caches of activations would be made anew.
        """
        kept = self.work / "initial.safetensors"
        if kept.exists():
            backbone = build_dequantised(BACKBONE, self.weights)
            backbone.load_state_dict(load_file(kept))
        else:
            backbone = build_dequantised(BACKBONE, self.weights, np.array(self._calibration))
            save_file(backbone.state_dict(), kept)
        nima = NIMA(backbone, grades=SCALE.size, group_sizes=VIEW.group_sizes)
        return nima.to(memory_format=torch.channels_last)

    def free_layers(self, whole: NIMA, seed: int) -> NIMA:
        """The layers of `whole` that are trained, sharing its weights; the head is drawn anew."""
        upper = split_backbone(whole.backbone, self.depth).upper
        free = NIMA(upper, grades=SCALE.size, group_sizes=VIEW.group_sizes)
        free.head = whole.head
        free.dropout.p = self.dropout
        torch.manual_seed(seed)
        nn.init.normal_(free.head.weight, std=HEAD_STD)
        nn.init.zeros_(free.head.bias)
        return free.to(memory_format=torch.channels_last)

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
