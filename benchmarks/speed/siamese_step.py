"""What a step of the Siamese stage costs beside one of the NIMA stage with the same batch.

    python benchmarks/speed/siamese_step.py --batch-size 32 --out siamese_step.json

Times forward, loss and backward with MobileNet at 224 x 224, in turn, and the two-input network
that sees both photos of 64 pairs, as the origin's does. The bar: at most 1.1 times a NIMA step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.card import Normalisation
from siamese_nima.networks.nima import PixelNormalisation, build_nima
from siamese_nima.ratings import AVA_SCALE, distribution_from_mos
from siamese_nima.training.batches import Batch, Photos, load_batches
from siamese_nima.training.config import StageConfig
from siamese_nima.training.objectives import emd
from siamese_nima.training.pairs import all_pairs
from siamese_nima.training.samplers import InOrder
from siamese_nima.training.stage import Stage

ORIGIN_PAIRS = 64


def make_photos(photos: int, size_px: int) -> Photos:
    """Noise with mean opinion scores."""
    generator = np.random.default_rng(0)
    means = generator.uniform(2, 9, photos)
    pixels = generator.integers(0, 255, (1, photos, 1, size_px, size_px, 3), dtype=np.uint8)
    return Photos(
        inputs=pixels,
        distributions=distribution_from_mos(means),
        means=means,
        scale=AVA_SCALE,
        buckets=means.astype(np.int64),
    )


def make_steps(photos: Photos, backbone: str) -> dict:
    """Functions that run one step each."""
    nima = build_nima(backbone).train()
    chosen = StageConfig(kind="siamese")
    batch: Batch = next(iter(load_batches(photos, InOrder(len(photos), len(photos)), chosen)))

    def stage(kind: str) -> Stage:
        config = StageConfig(kind="siamese", objective=kind, batch_size=len(photos))
        prepare = PixelNormalisation(Normalisation())
        return Stage(nima, prepare, photos, config)

    def nima_step() -> None:
        nima.zero_grad()
        emd(base(batch.inputs), batch.distributions).mean().backward()

    def siamese_step(chosen: Stage) -> None:
        nima.zero_grad()
        chosen.batch_loss(batch).total.backward()

    def two_input_step() -> None:
        nima.zero_grad()
        rows = torch.arange(ORIGIN_PAIRS) % len(batch.inputs)
        first = base(batch.inputs[rows]) @ base.grades
        second = base(batch.inputs[rows.flip(0)]) @ base.grades
        (first - second).square().mean().backward()

    base = stage("preference")
    stages = {kind: stage(kind) for kind in ("contrastive", "margin", "preference")}
    siamese = {kind: partial(siamese_step, chosen) for kind, chosen in stages.items()}
    return {"nima": nima_step, **siamese, f"two inputs, {ORIGIN_PAIRS} pairs": two_input_step}


def measure(steps: dict, rounds: int) -> dict[str, list[float]]:
    """Processor-seconds of each step, in turn; other work on the machine does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            started = time.process_time()
            step()
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - started)
    return seconds


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenetv1_100")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    photos = make_photos(options.batch_size, options.size_px)
    seconds = measure(make_steps(photos, options.backbone), options.rounds)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    result = {
        **provenance(),
        "backbone": options.backbone,
        "batch_size": options.batch_size,
        "size_px": options.size_px,
        "pairs": len(all_pairs(len(photos))[0]),
        "threads": torch.get_num_threads(),
        "rounds": options.rounds,
        "processor_seconds": {name: round(value, 4) for name, value in median.items()},
        "times_a_nima_step": {
            name: round(value / median["nima"], 3) for name, value in median.items()
        },
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
