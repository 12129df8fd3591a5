"""BIQ2021 as training sees it: cached activations of the frozen layers, and distortion ladders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from start import ImageNetStart
from torch import Tensor, nn

from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import ViewCache, build_view_cache
from siamese_nima.networks.backbones import feature_count
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.training.ladder_views import LadderViews, build_ladder_views
from siamese_nima.training.ladders import DISTORTIONS
from siamese_nima.training.trunk import ActivationScaling, build_trunk_cache, split_backbone

SPLITS = Path(__file__).parent / "splits.csv"
SCALE = RatingScale(1, 10)
VIEW = ViewPolicy.parse("warp:224+centre:224@512")  # why: views.json
VARIANTS = 2  # of each training photo: as scored, and with a random crop and perhaps mirrored
CALIBRATION_PHOTOS = 512  # for the statistics of the batch norms
HEAD_STD = 0.01
DROPOUT = 0.2  # NIMA's .75 learns far slower here (docs/results.md)
_SLICE_VIEWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderPlan:
    """Which ladders a split gets.

    Attributes:
        photos: That many, those that people rated best.
        per_photo: Ladders of each.
        turns: Distortions in the order in which the ladders take them.
    """

    photos: int
    per_photo: int = len(DISTORTIONS)
    turns: Sequence[str] = tuple(DISTORTIONS)


TRAIN_LADDERS = LadderPlan(photos=300, per_photo=2)
JUDGED_LADDERS = {"val": LadderPlan(photos=20), "test": LadderPlan(photos=50)}


@dataclass(frozen=True, slots=True, eq=False)
class SplitInputs:
    """One split: photos, what the free layers are fed with, and its ladders.

    Attributes:
        table: The photos.
        inputs: Activations after the frozen layers (views where none is).
        ladders: Of the photos that people rated best.
        ladder_rows: Shape (L,), the row of `table` that each ladder is of.
        ladder_inputs: Shape (1, 6 L, ...), activations (views) of the ladders.
    """

    table: RatingTable
    inputs: NDArray[np.uint8] | NDArray[np.float16]
    ladders: LadderViews
    ladder_rows: NDArray[np.intp]
    ladder_inputs: NDArray[np.uint8] | NDArray[np.float16]


class TrainingInputs:
    """The photos, and the network before training with layers frozen up to a block.

    Args:
        data: Folder of BIQ2021.
        imagenet: The file with the ImageNet weights, see `ImageNetStart`.
        work: Caches are kept here; they are made when they are first needed.
        depth: The last frozen block, such as "blocks.2".
        dropout: Before the head, in all stages.
        view: What the network is shown.
        cached: Whether frozen layers are run once, or with each step. The former pays where many
            layers are frozen; the first ones are quick to run and give much to keep.
        variants: Of each training photo.
        variants_seed: Of their random crops.
        random_crop: Whether whole views of the variants, too, are cut at a random place.
        ladders: Of the training photos.

    Attributes:
        prepare: From cached uint8 inputs to what the free layers take.
    """

    def __init__(
        self,
        data: Path,
        imagenet: Path,
        work: Path,
        depth: str,
        *,
        dropout: float = DROPOUT,
        view: ViewPolicy = VIEW,
        cached: bool = True,
        variants: int = VARIANTS,
        variants_seed: int = 0,
        random_crop: bool = False,
        ladders: LadderPlan = TRAIN_LADDERS,
    ) -> None:
        self.start = ImageNetStart(imagenet)
        self.dropout = dropout
        self.depth = depth
        self.view = view
        self.cached = cached
        self.work = work
        self.variants = variants
        self.variants_seed = variants_seed
        self.random_crop = random_crop
        self.ladder_plans = {"train": ladders, **JUDGED_LADDERS}
        self.table = read_biq2021(data, SPLITS)
        self.table.require_photos()
        self.prepare: nn.Module = (
            ActivationScaling() if cached else PixelNormalisation(self.start.normalisation)
        )

    @cached_property
    def splits(self) -> dict[str, SplitInputs]:
        """What the free layers learn from and are judged by."""
        return {name: self.split(name) for name in ("train", "val", "test")}

    def split(self, name: str) -> SplitInputs:
        """One of them alone."""
        table, ladders = self.table.split(name), self.ladders(name)
        rows = self._clean(name)[ladders.photos]
        inputs, ladder_inputs = (self._fed(cache) for cache in (self.views(name), ladders.views))
        return SplitInputs(table, inputs, ladders, rows, ladder_inputs)

    def views(self, name: str) -> ViewCache:
        """The views of a split, in training with variants."""
        training = name == "train"
        return build_view_cache(
            self.table.split(name),
            self.view,
            self.work / "cache",
            variants=self.variants if training else 1,
            seed=self.variants_seed if training else 0,
            random_crop=self.random_crop and training,
        )

    def ladders(self, name: str) -> LadderViews:
        """The ladders of a split."""
        plan = self.ladder_plans[name]
        return build_ladder_views(
            self.table.split(name).select(self._clean(name)),
            self.view,
            self.work / "cache",
            per_photo=plan.per_photo,
            turns=plan.turns,
        )

    def keep_share(self, share: float) -> None:
        """Train on a random share of the photos from now on, and on no ladders."""
        part = self.splits["train"]
        count = round(share * len(part.table))
        rows = np.sort(np.random.default_rng(0).permutation(len(part.table))[:count])
        self.splits["train"] = SplitInputs(
            part.table.select(rows),
            part.inputs[:, rows],
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
            backbone = self.start.build()
            backbone.load_state_dict(load_file(kept))
        else:
            pixels = self.views("train").pixels
            every = max(1, pixels.shape[1] // CALIBRATION_PHOTOS)
            backbone = self.start.build(np.array(pixels[0, ::every, 0]))
            save_file(backbone.state_dict(), kept)
        nima = NIMA(backbone, grades=SCALE.size, group_sizes=self.view.group_sizes)
        return nima.to(memory_format=torch.channels_last)

    def free_layers(self, whole: NIMA, seed: int) -> NIMA:
        """The layers of `whole` that are trained, sharing its weights, and a head drawn anew."""
        free = self._rating(whole, split_backbone(whole.backbone, self.depth).upper)
        torch.manual_seed(seed)
        nn.init.normal_(free.head.weight, std=HEAD_STD)
        nn.init.zeros_(free.head.bias)
        return free.to(memory_format=torch.channels_last)

    def view_of(self, whole: NIMA) -> NIMA:
        """The layers of `whole` that are trained, sharing its weights, the head's too.

        With frozen layers below them where these are not cached.
        """
        parts = split_backbone(whole.backbone, self.depth)
        if self.cached:
            return self._rating(whole, InSlices(parts.upper))
        parts.trunk.requires_grad_(requires_grad=False)
        return self._rating(whole, InSlices(whole.backbone))

    def _rating(self, whole: NIMA, backbone: nn.Module) -> NIMA:
        free = NIMA(backbone, grades=SCALE.size, group_sizes=self.view.group_sizes)
        free.head = whole.head
        free.dropout.p = self.dropout
        return free

    def _clean(self, name: str) -> NDArray[np.intp]:
        ratings = self.table.split(name).mos
        best = np.argsort(-ratings, kind="stable")[: self.ladder_plans[name].photos]
        rows: NDArray[np.intp] = np.sort(best)
        return rows

    def _fed(self, views: ViewCache) -> NDArray[np.uint8] | NDArray[np.float16]:
        if not self.cached:
            return views.pixels
        trunk = split_backbone(self.whole_network().backbone, self.depth).trunk
        return build_trunk_cache(views, trunk, self.start.normalisation, self.work / "cache")


class InSlices(nn.Module):
    """A backbone run on a few views at a time, whose activations the processor's cache holds.

    Batch norms are still in every stage, so nothing else changes; on CPUs it is a third faster.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_features = feature_count(backbone)

    def forward(self, views: Tensor) -> Tensor:
        """Pooled features (N, F)."""
        return torch.cat([self.backbone(part) for part in views.split(_SLICE_VIEWS)])
