"""Kill `nima train` on a fake AVA, also within an epoch, and see whether it ends with one network.

    python benchmarks/dependability/killed_training.py --work runs/fake-ava --out FILE.json

Writes the fake AVA of `training_speed.py` where it is not there yet, and trains on it twice: once
left in peace, once killed (SIGKILL) --kills times after a random time and begun again each time.
State is saved every --save-every seconds, so that kills fall between what is saved within an epoch.
Both must end with the same weights, byte for byte, and the same val figures of their last epoch;
the means over its training batches are of those after the last kill.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from training_speed import write_fake_ava

from machine import provenance, report
from siamese_nima.training import fit
from siamese_nima.training.config import TrainConfig, config_from
from siamese_nima.training.run import train


def config_of(options: argparse.Namespace, out: Path) -> TrainConfig:
    """A small network at a small size, decoded on the fly, pairs, two epochs."""
    stage = {
        "kind": "siamese",
        "freeze": "nothing",
        "epochs": options.epochs,
        "batch_size": 64,
        "clip": 1.0,
        "patience": 0,
    }
    return config_from(
        {
            "data": {"source": f"ava:{options.work}"},
            "start": "random:mobilenetv1_100",
            "out": str(out),
            "view": f"warp:{options.size}",
            "cache_gb": 0,
            "workers": 2,
            "loggers": [],
            "stage": [stage],
        }
    )


def run(options: argparse.Namespace, out: Path) -> None:
    """A training, in a process of its own."""
    torch.set_num_threads(2)
    fit.SAVE_EVERY = timedelta(seconds=options.save_every)
    train(config_of(options, out))


def within_an_epoch(out: Path) -> bool:
    """Whether what is saved of a run is the middle of an epoch."""
    last = out / "stage1" / "last.ckpt"
    if not last.is_file():
        return False
    epochs = torch.load(last, map_location="cpu", weights_only=True)["loops"]["fit_loop"]
    done = epochs["epoch_progress"]["current"]
    return bool(done["ready"] != done["processed"])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the fake AVA")
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--save-every", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = provenance()
    write_fake_ava(options.work, options.photos, 100)
    folders = {name: options.work / name for name in ("whole", "killed")}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
    processes = multiprocessing.get_context("spawn")
    started = time.perf_counter()
    whole = processes.Process(target=run, args=(options, folders["whole"]))
    whole.start()
    whole.join()
    seconds = time.perf_counter() - started
    draw, middles, kills = random.Random(options.seed), 0, 0
    while True:
        process = processes.Process(target=run, args=(options, folders["killed"]))
        process.start()
        process.join(seconds * draw.uniform(0.2, 0.6) if kills < options.kills else None)
        if not process.is_alive():
            break
        process.kill()
        process.join()
        kills += 1
        middles += within_an_epoch(folders["killed"])
    if whole.exitcode or process.exitcode:
        sys.exit("a training failed")
    found = [load_file(folder / "checkpoint.safetensors") for folder in folders.values()]
    logs = [(folder / "log.csv").read_text().splitlines()[-1] for folder in folders.values()]
    report(
        result
        | {
            "photos": options.photos,
            "epochs": options.epochs,
            "seconds_of_the_whole_run": round(seconds),
            "kills": kills,
            "kills_with_the_middle_of_an_epoch_saved": middles,
            "tensors_that_differ": sum(
                not np.array_equal(found[0][name], found[1][name]) for name in found[0]
            ),
            "last_epochs": logs,
        },
        options.out,
    )


if __name__ == "__main__":
    main()
