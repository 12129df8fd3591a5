"""The stages of training on cached activations; a finished stage is read, not trained again."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from inputs import SCALE, SplitInputs, TrainingInputs
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from siamese_nima.datasets.origin import bucketize
from siamese_nima.networks.nima import NIMA
from siamese_nima.training.batches import Photos
from siamese_nima.training.config import StageConfig
from siamese_nima.training.fit import StageLog, train_stage
from siamese_nima.training.ladder_views import with_ladders
from siamese_nima.training.run_log import write_log

_WEIGHTS = "weights.safetensors"
_SCORE_BATCH = 32


def train_one(
    inputs: TrainingInputs,
    free: NIMA,
    folder: Path,
    config: StageConfig,
    *,
    seed: int,
    ladders: bool = False,
) -> None:
    """Leave `free` with the weights of a stage that begins with those it has.

    Args:
        inputs: The photos.
        free: The layers that learn.
        folder: Of this stage.
        config: How to train.
        seed: Of order, variants and dropout.
        ladders: Whether distortion ladders are trained on beside the rated photos.
    """
    if not finished(folder):
        log(folder)
        part = inputs.splits["train"]
        train_stage(
            free,
            inputs.prepare,
            with_ladders(photos(part), part.ladder_inputs, part.ladder_rows)
            if ladders
            else photos(part),
            photos(inputs.splits["val"]),
            folder / "log",
            config=config,
            seed=seed,
            log=StageLog(partial(_log_figures, folder / "log")),
            trainer={"precision": "bf16-mixed"},
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


def log(what: object) -> None:
    """One line with the time."""
    print(datetime.now().strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)


def _log_figures(folder: Path, epochs: list[dict[str, float]]) -> None:
    write_log(folder / "log.csv", epochs)
    log({name: round(value, 4) for name, value in epochs[-1].items()})


def photos(part: SplitInputs) -> Photos:
    """The rated photos of a split as a stage takes them."""
    means = part.table.means(SCALE)
    return Photos(
        inputs=part.inputs,
        distributions=part.table.distributions(SCALE),
        means=means,
        scale=SCALE,
        # Buckets one rating point wide: the origin asks for one point between them.
        buckets=bucketize(means, np.arange(SCALE.low + 1, SCALE.high).tolist()),
        scenes=part.table.scenes,
    )


def _keep(inputs: TrainingInputs, free: NIMA, folder: Path) -> None:
    """Weights, and rating distributions of val, test and ladders; the checkpoints go."""
    rated = {}
    for name in ("val", "test"):
        part = inputs.splits[name]
        rated[name] = distributions(free, inputs.prepare, part.inputs[0])
        rated[f"{name}_ladders"] = distributions(free, inputs.prepare, part.ladder_inputs[0])
    weights = {name: tensor.contiguous() for name, tensor in free.state_dict().items()}
    save_file(weights, folder / _WEIGHTS)
    for checkpoint in (folder / "log").glob("*.ckpt"):
        checkpoint.unlink()
    np.savez(folder / "partial.npz", **rated)  # type: ignore[arg-type]
    (folder / "partial.npz").rename(folder / "distributions.npz")
