"""Does the Siamese stage help? Every objective from the same NIMA stage, seed by seed.

    python benchmarks/quality/siamese_stage.py --data BIQ2021 --imagenet FILE.tflite

Trains what is missing under --runs and keeps the rating distributions of every run; a run that was
stopped goes on. `measure_stages.py` turns them into figures.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from biq_inputs import SCALE, Experiment, SplitInputs
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from siamese_nima.datasets.buckets import bucketize
from siamese_nima.networks.nima import NIMA
from siamese_nima.training.ladder_views import with_ladders
from siamese_nima.training.nima_stage import NimaStageConfig, train_nima_stage
from siamese_nima.training.objectives import SiameseObjective
from siamese_nima.training.pair_loader import PairedViews
from siamese_nima.training.siamese_stage import SiameseStageConfig, train_siamese_stage
from siamese_nima.training.trunk import ActivationScaling

NIMA_STAGE = NimaStageConfig(
    epochs=6, head_learning_rate=1e-3, backbone_learning_rate=3e-4, precision="bf16-mixed"
)
# Of every second stage, the control too. An epoch with ladders has 1.4 times as many steps.
SECOND_STAGE = NimaStageConfig(
    epochs=2, head_learning_rate=3e-4, backbone_learning_rate=1e-4, precision="bf16-mixed"
)
CONTROL = SiameseObjective(weight=0, emd_weight=1)  # more of the NIMA stage


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
    "preference+emd, scene": _arm(SiameseObjective(), "scene"),
    "preference+emd, hard": _arm(SiameseObjective(), "hard"),
}


def main() -> None:
    """Train what is missing."""
    options = _options()
    experiment = Experiment(options.data, options.imagenet, options.work, options.depth)
    for seed in options.seeds:
        folder = options.runs / options.depth / f"seed{seed}"
        nima = experiment.network(seed)
        if not finished(folder / "nima"):
            log(folder / "nima")
            config = replace(NIMA_STAGE, seed=seed)
            if options.depth == "blocks.4":
                config = replace(config, backbone_learning_rate=0.0)
            train_nima(experiment, nima, folder / "nima", config)
        for name in options.arms:
            if not finished(folder / name):
                log(folder / name)
                nima.load_state_dict(load_file(folder / "nima" / "weights.safetensors"))
                train_arm(experiment, nima, folder / name, name, seed)


def train_nima(experiment: Experiment, nima: NIMA, folder: Path, config: NimaStageConfig) -> None:
    """The NIMA stage."""
    train, val = experiment.splits["train"].rated, experiment.splits["val"].rated
    train_nima_stage(
        nima,
        ActivationScaling(),
        train,
        val,
        folder / "log",
        scale=SCALE,
        config=config,
        report=lambda figures: log(figures),
    )
    keep(experiment, nima, folder)


def train_arm(experiment: Experiment, nima: NIMA, folder: Path, name: str, seed: int) -> None:
    """A second stage."""
    config = ARMS[name]
    train, val = (paired(experiment.splits[split]) for split in ("train", "val"))
    if name.endswith("ladders"):
        part = experiment.splits["train"]
        train = with_ladders(part.rated, part.table, part.ladder_inputs, part.ladder_rows, SCALE)
    learning = replace(config.learning, seed=1000 + seed)
    train_siamese_stage(
        nima,
        ActivationScaling(),
        train,
        val,
        folder / "log",
        config=replace(config, learning=learning),
        report=lambda figures: log({k: round(v, 4) for k, v in figures.items()}),
    )
    keep(experiment, nima, folder)


def paired(part: SplitInputs) -> PairedViews:
    """A split with its scenes, and buckets one rating point wide as the origin's labels were."""
    means = part.rated.means
    buckets = bucketize(means, np.arange(SCALE.low + 1, SCALE.high).tolist())
    return PairedViews(rated=part.rated, scale=SCALE, buckets=buckets, scenes=part.table.scenes)


def keep(experiment: Experiment, nima: NIMA, folder: Path) -> None:
    """Weights, and rating distributions of val, test and ladders; the checkpoints go."""
    rated = {
        name: distributions(nima, experiment.splits[name].rated.inputs[0])
        for name in ("val", "test")
    }
    rated |= {
        f"{name}_ladders": distributions(nima, experiment.splits[name].ladder_inputs[0])
        for name in ("val", "test")
    }
    save_file(nima.state_dict(), folder / "weights.safetensors")
    for checkpoint in (folder / "log").glob("*.ckpt"):
        checkpoint.unlink()
    np.savez(folder / "partial.npz", **rated)
    (folder / "partial.npz").rename(folder / "distributions.npz")


def distributions(nima: NIMA, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rating distributions (N, K) of activations (N, V, h, w, C)."""
    prepare, rows = ActivationScaling(), []
    with torch.inference_mode():
        for start in range(0, len(inputs), 32):
            batch = torch.from_numpy(np.array(inputs[start : start + 32]))
            rows.append(nima(prepare(batch)).numpy())
    return np.concatenate(rows)


def finished(folder: Path) -> bool:
    """Whether a run has left its results."""
    return (folder / "distributions.npz").exists()


def log(what: object) -> None:
    """One line with the time."""
    print(datetime.now().strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="caches")
    parser.add_argument("--runs", type=Path, default=Path("runs/stages"), help="results")
    parser.add_argument("--depth", default="blocks.3", help="the last frozen block")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
