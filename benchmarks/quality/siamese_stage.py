"""Does the Siamese stage help? Every objective from the same NIMA stage, seed by seed.

    python benchmarks/quality/siamese_stage.py --data BIQ2021 --imagenet FILE.tflite

Trains what is missing under --runs and keeps the rating distributions of every run; a run that was
stopped goes on. `measure_stages.py` turns them into figures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from siamese_nima.training.config import StageConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quality"))
from inputs import DROPOUT, TrainingInputs
from stages import load_stage, train_one

NIMA_STAGE = StageConfig(
    epochs=5,
    batch_size=32,
    head_learning_rate=1e-3,
    backbone_learning_rate=3e-4,
    warmup_steps=100,
    average_decay=0.995,
    patience=0,
    monitor="val_srcc",
)
DOUBT = 1.0  # rating points, about the network's RMSE on val
EMD_WEIGHT = 30.0  # where none is named: the pairs' gradient is then a tenth of the EMD's


def _arm(**entries: Any) -> StageConfig:
    """A second stage, the control too. An epoch with ladders has 1.4 times as many steps."""
    common = {
        "epochs": 2,
        "batch_size": 32,
        "head_learning_rate": 3e-4,
        "backbone_learning_rate": 1e-4,
        "warmup_steps": 100,
        "average_decay": 0.995,
        "patience": 0,
        "emd_weight": EMD_WEIGHT,
    }
    return StageConfig(**({"kind": "siamese"} | common | entries))


CONTROL = _arm(weight=0.0, emd_weight=1.0)  # more of the NIMA stage
ARMS = {
    "control": CONTROL,
    "preference+emd": _arm(doubt=0.0),
    "preference": _arm(doubt=0.0, emd_weight=0.0),
    "contrastive": _arm(objective="contrastive", emd_weight=0.0),
    "contrastive+emd": _arm(objective="contrastive"),
    "margin": _arm(objective="margin", emd_weight=0.0),
    "margin+emd": _arm(objective="margin"),
    "preference+emd, ladders": _arm(doubt=0.0, sampler="scene"),
    "preference, doubt": _arm(emd_weight=0.0, doubt=DOUBT),
    "preference+emd, doubt": _arm(emd_weight=0.2, doubt=DOUBT),
    "preference+emd, doubt, ladders": _arm(emd_weight=0.2, doubt=DOUBT, sampler="scene"),
    "preference+emd, scene": _arm(doubt=0.0, sampler="scene"),
    "preference+emd, hard": _arm(doubt=0.0, sampler="hard"),
}


def main() -> None:
    """Train what is missing."""
    options = _options()
    inputs = TrainingInputs(
        options.data, options.imagenet, options.work, options.depth, dropout=options.dropout
    )
    place, nima = options.depth, NIMA_STAGE.changed(dropout=options.dropout)
    if options.share < 1:
        place += f"@{options.share:g}"
        inputs.keep_share(options.share)
        nima = nima.changed(epochs=round(nima.epochs / options.share))  # as many steps
    if options.dropout != DROPOUT:
        place += f"@dropout {options.dropout:g}"
    for seed in options.seeds:
        folder = options.runs / place / f"seed{seed}"
        free = inputs.free_layers(inputs.whole_network(), seed)
        train_one(inputs, free, folder / "nima", nima, seed=seed)
        for name in options.arms:
            load_stage(free, folder / "nima")
            train_one(
                inputs,
                free,
                folder / name,
                ARMS[name].changed(dropout=options.dropout),
                seed=1000 + seed,
                ladders=name.endswith("ladders"),
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="caches")
    parser.add_argument("--runs", type=Path, default=Path("runs/stages"), help="results")
    parser.add_argument("--depth", default="blocks.4.0", help="the last frozen block")
    parser.add_argument("--dropout", type=float, default=DROPOUT)
    parser.add_argument("--share", type=float, default=1.0, help="of the training photos")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
