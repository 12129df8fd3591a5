"""The two stages of training on cached activations; a finished stage is read, not trained again."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from inputs import SCALE, SplitInputs, TrainingInputs
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from siamese_nima.datasets.origin import bucketize
from siamese_nima.networks.nima import NIMA
from siamese_nima.training.ladder_views import with_ladders
from siamese_nima.training.nima_stage import NimaStageConfig, train_nima_stage
from siamese_nima.training.pair_loader import PairedViews
from siamese_nima.training.siamese_stage import SiameseStageConfig, train_siamese_stage

_WEIGHTS = "weights.safetensors"
_SCORE_BATCH = 32


def nima_stage(inputs: TrainingInputs, free: NIMA, folder: Path, config: NimaStageConfig) -> None:
    """Leave `free` with the weights of the NIMA stage."""
    if not finished(folder):
        log(folder)
        train_nima_stage(
            free,
            inputs.prepare,
            inputs.splits["train"].rated,
            inputs.splits["val"].rated,
            folder / "log",
            scale=SCALE,
            config=config,
            report=log_figures,
        )
        _keep(inputs, free, folder)
    load_stage(free, folder)


def siamese_stage(
    inputs: TrainingInputs,
    free: NIMA,
    folder: Path,
    config: SiameseStageConfig,
    *,
    ladders: bool = False,
) -> None:
    """Leave `free` with the weights of the Siamese stage that begins with those it has.

    Args:
        inputs: The photos.
        free: After the NIMA stage.
        folder: Of this stage.
        config: How to train.
        ladders: Whether distortion ladders are trained on beside the rated photos.
    """
    if not finished(folder):
        log(folder)
        train_siamese_stage(
            free,
            inputs.prepare,
            _with_ladders(inputs.splits["train"]) if ladders else paired(inputs.splits["train"]),
            paired(inputs.splits["val"]),
            folder / "log",
            config=config,
            report=log_figures,
        )
        _keep(inputs, free, folder)
    load_stage(free, folder)


def finished(folder: Path) -> bool:
    """Whether a stage has left its results."""
    return (folder / "distributions.npz").exists()


def history(folder: Path) -> list[dict[str, float]]:
    """The figures of each epoch of a stage."""
    with (folder / "log" / "log.csv").open(newline="") as file:
        return [
            {name: round(float(value), 4) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def load_stage(free: NIMA, folder: Path) -> None:
    """Give the network the weights that a finished stage left."""
    free.load_state_dict(load_file(folder / _WEIGHTS))


def distributions(free: NIMA, prepare: nn.Module, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rating distributions (N, K) of activations or views (N, V, h, w, C)."""
    rows = []
    free.eval()
    with torch.inference_mode():
        for start in range(0, len(inputs), _SCORE_BATCH):
            batch = torch.from_numpy(np.array(inputs[start : start + _SCORE_BATCH]))
            rows.append(free(prepare(batch)).numpy())
    return np.concatenate(rows)


def log_figures(figures: dict[str, float]) -> None:
    """One line with the time and an epoch's figures."""
    log({name: round(value, 4) for name, value in figures.items()})


def log(what: object) -> None:
    """One line with the time."""
    print(datetime.now().strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)


def paired(part: SplitInputs) -> PairedViews:
    """The rated photos of a split as the Siamese stage takes them."""
    # Buckets one rating point wide: the origin asks for one point between them.
    buckets = bucketize(part.rated.means, np.arange(SCALE.low + 1, SCALE.high).tolist())
    return PairedViews(rated=part.rated, scale=SCALE, buckets=buckets, scenes=part.table.scenes)


def _with_ladders(part: SplitInputs) -> PairedViews:
    return with_ladders(part.rated, part.table, part.ladder_inputs, part.ladder_rows, SCALE)


def _keep(inputs: TrainingInputs, free: NIMA, folder: Path) -> None:
    """Weights, and rating distributions of val, test and ladders; the checkpoints go."""
    rated = {}
    for name in ("val", "test"):
        part = inputs.splits[name]
        rated[name] = distributions(free, inputs.prepare, part.rated.inputs[0])
        rated[f"{name}_ladders"] = distributions(free, inputs.prepare, part.ladder_inputs[0])
    weights = {name: tensor.contiguous() for name, tensor in free.state_dict().items()}
    save_file(weights, folder / _WEIGHTS)
    for checkpoint in (folder / "log").glob("*.ckpt"):
        checkpoint.unlink()
    np.savez(folder / "partial.npz", **rated)
    (folder / "partial.npz").rename(folder / "distributions.npz")
