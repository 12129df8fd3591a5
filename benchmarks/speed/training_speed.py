"""How fast photos come to training, and how fast it takes them: the plan for AVA, measured.

    python benchmarks/speed/training_speed.py --work runs/fake-ava --out FILE.json

Writes a fake AVA first: `AVA.txt` and a folder of --photos JPEG files, each with bytes of its own,
of --pictures different pictures. Then, by turns:

- decode: photos a second that --workers processes decode and cut, nothing else, and photos a second
  of their processor time, which other programs on the machine change little;
- loader: the same of what comes out of the training batches, and the memory of all processes at a
  tenth of the photos and at their end;
- waits: how often, within --waits steps of a stage, Python asks the device for a number;
- steps: steps a second in bf16, with batches that lie in memory and with decoded ones, of each
  --networks at each --sizes;
- scoring: photos a second of `nima score` with the embedded model, by ONNX Runtime.

On a machine with a GPU, `--device cuda --steps 60 --photos 4000` ends within 8 minutes.
"""

from __future__ import annotations

import argparse
import inspect
import io
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from siamese_nima import Scorer
from siamese_nima.card import Normalisation
from siamese_nima.datasets.sources import read_source
from siamese_nima.datasets.view_cache import LiveViews
from siamese_nima.networks.nima import PixelNormalisation, build_nima
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.batches import Batch, Photos, load_batches
from siamese_nima.training.config import StageConfig
from siamese_nima.training.fit import StageLog, train_stage
from siamese_nima.training.run_log import RunLog
from siamese_nima.training.stage import Stage
from siamese_nima.training.watch import Watch

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report


def write_fake_ava(folder: Path, photos: int, pictures: int) -> None:
    """Photos of 640 x 427, as most of AVA are, and votes."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    contents = []
    for _ in range(pictures):
        coarse = generator.integers(0, 256, (27, 40, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((640, 427), Image.Resampling.BICUBIC)
        grain = generator.normal(0, 6, (427, 640, 1))
        pixels = (np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        contents.append(file.getvalue())
    lines = []
    for number in range(1, photos + 1):
        path = images / f"{number}.jpg"
        if not path.exists():
            # A decoder stops before it; no two files have the same bytes.
            path.write_bytes(contents[number % pictures] + str(number).encode())
        votes = generator.multinomial(200, generator.dirichlet(np.ones(10)))
        lines.append(f"{number} {number} {' '.join(map(str, votes))} 0 0 1")
    (folder / "AVA.txt").write_text("\n".join(lines) + "\n")


def photos_of(folder: Path, view: str) -> Photos:
    """The fake AVA, decoded when a photo is asked for."""
    table = read_source(f"ava:{folder}").table
    return Photos(
        inputs=LiveViews(table, ViewPolicy.parse(view), random_crop=True),
        distributions=table.distributions(AVA_SCALE),
        means=table.means(AVA_SCALE),
        scale=AVA_SCALE,
    )


def _decode(job: tuple[Path, str, int, int, float]) -> tuple[int, float]:
    folder, view, first, step, seconds = job
    views = photos_of(folder, view).inputs
    end, done, busy = time.perf_counter() + seconds, 0, time.process_time()
    while time.perf_counter() < end:
        views[1 + done, (first + done * step) % views.shape[1]]
        done += 1
    return done, time.process_time() - busy


def decode_limit(folder: Path, view: str, workers: int, seconds: float) -> dict[str, float]:
    """Photos a second of `workers` processes that do nothing else."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        jobs = [(folder, view, place, workers, seconds) for place in range(workers)]
        counts, busy = zip(*pool.map(_decode, jobs), strict=True)
    return {
        "photos_a_second": round(sum(counts) / seconds, 1),
        "photos_a_processor_second": round(sum(counts) / sum(busy), 1),
    }


def loader_speed(photos: Photos, config: StageConfig, workers: int) -> dict[str, float]:
    """An epoch of batches that nobody learns from."""
    loader = load_batches(photos, photos.draws(config, 0), config, workers=workers)
    started, seen, early, busy = 0.0, 0, 0.0, 0.0
    for number, batch in enumerate(loader):
        if number == workers:  # processes have started
            started, seen, busy = time.perf_counter(), 0, processor_s()
        seen += len(batch.inputs)
        if not early and number * config.batch_size >= len(photos) / 10:
            early = memory_mb()
    return {
        "photos_a_second": round(seen / (time.perf_counter() - started), 1),
        "photos_a_processor_second": round(seen / (processor_s() - busy), 1),
        "memory_mb_at_a_tenth": round(early),
        "memory_mb_at_the_end": round(memory_mb()),
    }


def memory_mb() -> float:
    """Of this process and its children; what they share counts once."""
    total = 0
    for pid in _processes():
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def processor_s() -> float:
    """Processor time of this process and its children, which live."""
    ticks = 0
    for pid in _processes():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _processes() -> list[int]:
    children = [child.pid for child in multiprocessing.active_children()]
    return [os.getpid(), *(pid for pid in children if pid is not None)]


class Waits(TorchDispatchMode, Callback):
    """Counts, within steps, what makes a GPU's queue run dry: numbers that Python asks for.

    Steps are counted by the optimiser and by the moving average on the processor itself, wherever
    the weights are; those do not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.within = False
        self.found = 0
        self.trainer: Any = None

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        name = str(function)
        asked = any(kind in name for kind in ("_local_scalar_dense", "nonzero", "masked_select"))
        if self.within and asked and not self._counter(arguments[0]):
            self.found += 1
        return function(*arguments, **(named or {}))

    def _counter(self, tensor: torch.Tensor) -> bool:
        states = self.trainer.optimizers[0].state.values()
        of_optimizer = any(tensor is state.get("step") for state in states)
        return of_optimizer or any("swa_utils" in frame.filename for frame in inspect.stack(0))

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """A step begins."""
        self.trainer, self.within = trainer, True

    def on_train_epoch_end(self, *_: Any) -> None:
        """Steps are over."""
        self.within = False

    def on_validation_start(self, *_: Any) -> None:
        """Steps are over."""
        self.within = False


def count_waits(steps: int) -> dict[str, float]:
    """Of a stage with all that `nima train` hangs on it: pairs, clipping, moving average, log."""
    generator = np.random.default_rng(0)

    def noise(photos: int) -> Photos:
        votes = generator.dirichlet(np.ones(10), photos)
        pixels = generator.integers(0, 256, (1, photos, 1, 32, 32, 3), dtype=np.uint8)
        return Photos(
            inputs=pixels,
            distributions=votes,
            means=votes @ AVA_SCALE.grades,
            scale=AVA_SCALE,
        )

    config = StageConfig(kind="siamese", epochs=1, batch_size=4, clip=1.0, average_decay=0.99)
    waits = Waits()
    with tempfile.TemporaryDirectory() as name, waits:
        folder = Path(name)
        log = RunLog(folder, Watch())
        network = build_nima("mobilenetv1_100")
        prepare = PixelNormalisation(Normalisation())
        train_stage(
            Stage(network, prepare, noise(4 * steps), config, val=noise(8)),
            folder / "stage",
            log=StageLog(lambda epochs: log.note(1, epochs), lambda _step, _loss: None),
            callbacks=[waits],
        )
    return {"steps": steps, "waits": waits.found}


def step_speed(
    photos: Photos, config: StageConfig, network: str, device: str, steps: int, workers: int
) -> dict[str, float]:
    """Steps a second in bf16, with one batch again and again and with decoded ones."""
    nima = build_nima(network).to(memory_format=torch.channels_last).to(device).train()
    prepare = PixelNormalisation(Normalisation()).to(device)
    stage = Stage(nima, prepare, photos, config).to(device)
    optimizer = stage.configure_optimizers()["optimizer"]

    def run(batches: Iterator[Batch], count: int) -> None:
        for _ in range(count):
            batch = move_data_to_device(next(batches), torch.device(device))
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = stage.batch_loss(batch).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    def timed(batches: Iterator[Batch]) -> float:
        run(batches, max(1, steps // 10))
        started = time.perf_counter()
        run(batches, steps)
        return round(steps / (time.perf_counter() - started), 3)

    def decoded() -> Generator[Batch]:
        while True:
            draws = photos.draws(config, 0)
            yield from load_batches(photos, draws, config, workers=workers)

    batches = decoded()
    first = next(batches)
    found = {"in_memory": timed(iter(lambda: first, None)), "decoded": timed(batches)}
    batches.close()
    return found


def main() -> None:
    """Measure all parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the fake AVA")
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="of decoding alone")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--waits", type=int, default=100, help="steps to count waits in")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=0, help="0 leaves out steps and scoring")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 299])
    parser.add_argument("--networks", nargs="+", default=["inception_resnet_v2", "mobilenetv1_100"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    write_fake_ava(options.work, options.photos, options.pictures)
    config = StageConfig(kind="siamese", batch_size=options.batch_size)
    view = f"warp:{options.sizes[0]}"
    limit = [decode_limit(options.work, view, options.workers, options.seconds)]
    loader = loader_speed(photos_of(options.work, view), config, options.workers)
    limit.append(decode_limit(options.work, view, options.workers, options.seconds))
    result: dict[str, Any] = provenance() | {
        "photos": options.photos,
        "workers": options.workers,
        "decode": limit,
        "loader": loader,
        "loader_by_decode": {
            kind: round(loader[kind] / float(np.mean([found[kind] for found in limit])), 3)
            for kind in limit[0]
        },
        "asked_of_the_device": count_waits(options.waits),
    }
    if options.steps:
        result["steps_on"] = options.device
        result["steps_a_second"] = {
            f"{network} {size}": step_speed(
                photos_of(options.work, f"warp:{size}"),
                config,
                network,
                options.device,
                options.steps,
                options.workers,
            )
            for network in options.networks
            for size in options.sizes
        }
        scorer = Scorer(device=options.device)
        paths = sorted((options.work / "images").iterdir())[:1000]
        started = time.perf_counter()
        scored = sum(1 for _ in scorer.score(paths))
        speed = scored / (time.perf_counter() - started)
        result["scoring_photos_a_second"] = round(speed, 1)
    report(result, options.out)


if __name__ == "__main__":
    main()
