"""Does the Siamese stage help? Every objective from the same NIMA stage, seed by seed.

    python benchmarks/quality/siamese_stage.py --data BIQ2021 --imagenet FILE.tflite

Trains what is missing under --runs and keeps the rating distributions of every run; a run that was
stopped goes on. `measure_stages.py` turns them into figures.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from siamese_nima.training.nima_stage import NimaStageConfig
from siamese_nima.training.objectives import SiameseObjective
from siamese_nima.training.siamese_stage import SiameseStageConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quality"))
from inputs import DROPOUT, TrainingInputs
from stages import load_stage, nima_stage, siamese_stage

NIMA_STAGE = NimaStageConfig(
    epochs=5, head_learning_rate=1e-3, backbone_learning_rate=3e-4, precision="bf16-mixed"
)
# Of every second stage, the control too. An epoch with ladders has 1.4 times as many steps.
SECOND_STAGE = NimaStageConfig(
    epochs=2, head_learning_rate=3e-4, backbone_learning_rate=1e-4, precision="bf16-mixed"
)
CONTROL = SiameseObjective(weight=0, emd_weight=1)  # more of the NIMA stage
DOUBT = 1.0  # rating points, about the network's RMSE on val


def _arm(objective: SiameseObjective, sampler: str = "random") -> SiameseStageConfig:
    return SiameseStageConfig(
        objective=objective,
        sampler=sampler,  # type: ignore[arg-type]
        learning=SECOND_STAGE,
        monitor="val_srcc",
    )


ARMS = {
    "control": _arm(CONTROL),
    "preference+emd": _arm(SiameseObjective()),
    "preference": _arm(SiameseObjective(emd_weight=0)),
    "contrastive": _arm(SiameseObjective(kind="contrastive", emd_weight=0)),
    "contrastive+emd": _arm(SiameseObjective(kind="contrastive")),
    "margin": _arm(SiameseObjective(kind="margin", emd_weight=0)),
    "margin+emd": _arm(SiameseObjective(kind="margin")),
    "preference+emd, ladders": _arm(SiameseObjective(), "scene"),
    "preference, doubt": _arm(SiameseObjective(emd_weight=0, doubt=DOUBT)),
    "preference+emd, doubt": _arm(SiameseObjective(emd_weight=0.2, doubt=DOUBT)),
    "preference+emd, doubt, ladders": _arm(SiameseObjective(emd_weight=0.2, doubt=DOUBT), "scene"),
    "preference+emd, scene": _arm(SiameseObjective(), "scene"),
    "preference+emd, hard": _arm(SiameseObjective(), "hard"),
}


def main() -> None:
    """Train what is missing."""
    options = _options()
    inputs = TrainingInputs(
        options.data, options.imagenet, options.work, options.depth, dropout=options.dropout
    )
    place, nima = options.depth, NIMA_STAGE
    if options.share < 1:
        place += f"@{options.share:g}"
        inputs.keep_share(options.share)
        nima = replace(nima, epochs=round(nima.epochs / options.share))  # as many steps
    if options.dropout != DROPOUT:
        place += f"@dropout {options.dropout:g}"
    for seed in options.seeds:
        folder = options.runs / place / f"seed{seed}"
        free = inputs.free_layers(inputs.whole_network(), seed)
        nima_stage(inputs, free, folder / "nima", replace(nima, seed=seed))
        for name in options.arms:
            load_stage(free, folder / "nima")
            learning = replace(SECOND_STAGE, seed=1000 + seed)
            config = replace(ARMS[name], learning=learning)
            siamese_stage(inputs, free, folder / name, config, ladders=name.endswith("ladders"))


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
