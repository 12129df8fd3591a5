"""What scoring a photo consists of, against what the machine can do.

    python benchmarks/speed/parts.py --work FOLDER --out benchmarks/speed/parts.json

- decoding on one core, in full and at reduced scale, beside libjpeg-turbo called without Pillow
  (pip install simplejpeg)
- networks on one core, beside float32 matrix products, the best of numpy's and torch's; rounds in
  turn, so that both see the same machine
- the whole pipeline on all cores, beside the bound that the seconds of its parts allow
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from equal_networks import BACKBONES, equal_network, multiply_adds

from camera_photos import photos_of
from machine import provenance, report
from siamese_nima import Scorer, read_photo
from siamese_nima.cores import usable_cores
from siamese_nima.scoring.model import open_network

MATRIX_SIDES = (512, 1024, 1536, 2048)
NETWORK_RUNS = 12


def seconds(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Least, median and greatest."""
    figures = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in figures.items()}


def decoding(paths: list[Path], short_side_px: int) -> dict[str, Any]:
    """Milliseconds a photo on one core, by Pillow as we use it and by libjpeg-turbo alone."""
    files = [path.read_bytes() for path in paths]
    with_margin = 2 * short_side_px
    ways: dict[str, Callable[[bytes], object]] = {
        "in full": lambda data: read_photo(data),
        "in full, libjpeg-turbo alone": lambda data: simplejpeg.decode_jpeg(data),
        "reduced": lambda data: read_photo(data, min_short_side_px=with_margin),
        "reduced, libjpeg-turbo alone": lambda data: simplejpeg.decode_jpeg(
            data, min_height=with_margin, min_width=with_margin
        ),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for data in files:
        for way, decode in ways.items():
            times[way].append(1e3 * seconds(partial(decode, data)))
    pairs = {
        way: (times[way], times[f"{way}, libjpeg-turbo alone"]) for way in ("in full", "reduced")
    }
    return {
        "photos": len(paths),
        "short_side_kept_px": with_margin,
        "milliseconds": {way: spread(values, 1) for way, values in times.items()},
        "share_of_libjpeg_turbo": {
            way: spread([b / a for a, b in zip(*both, strict=True)], 3)
            for way, both in pairs.items()
        },
    }


def matrix_rate() -> float:
    """GFLOP/s of float32 matrix products on one core, the best library and size."""
    best = 0.0
    for side in MATRIX_SIDES:
        left = np.random.default_rng(0).random((side, side), np.float32)
        tensor = torch.from_numpy(left)
        for product in (lambda a=left: a @ a, lambda a=tensor: a @ a):
            product()
            best = max(best, 2e-9 * side**3 / min(seconds(product) for _ in range(3)))
    return best


def networks(work: Path, rounds: int) -> dict[str, Any]:
    """Rates of each network in float and in 8 bits on one core, beside matrix products."""
    torch.set_num_threads(1)
    files = {name: equal_network(name, work) for name in BACKBONES}
    flops = {name: 2e-9 * multiply_adds(file.model) for name, file in files.items()}
    views = np.random.default_rng(0).integers(0, 256, (1, 1, 224, 224, 3), np.uint8)
    models = {
        (name, kind): open_network(path, path.read_bytes(), threads=1, device=device)
        for name, file in files.items()
        for kind, path, device in (
            ("fp32", file.model, "cpu"),
            ("int8", file.int8, "cpu"),
            ("OpenVINO fp32", file.model, "openvino"),
            ("OpenVINO int8", file.int8, "openvino"),
        )
    }
    products: list[float] = []
    times: dict[tuple[str, str], list[float]] = {key: [] for key in models}
    for network in models.values():
        network(views)
    for _ in range(rounds):
        products.append(matrix_rate())
        for key, network in models.items():
            runs = [seconds(partial(network, views)) for _ in range(NETWORK_RUNS)]
            times[key].append(statistics.median(runs))
    found = {}
    for name in files:
        fp32, int8 = times[name, "fp32"], times[name, "int8"]
        found[name] = {
            "gflop": round(flops[name], 2),
            "milliseconds": {
                kind: spread([1e3 * value for value in values], 1)
                for (of, kind), values in times.items()
                if of == name
            },
            "share_of_matrix_product_rate": spread(
                [flops[name] / t / rate for t, rate in zip(fp32, products, strict=True)], 3
            ),
            "int8_over_fp32": spread([a / b for a, b in zip(fp32, int8, strict=True)], 2),
        }
    return {"matrix_product_gflop_per_second": spread(products, 1), "networks": found}


def pipeline(model: str, paths: list[Path], rounds: int) -> dict[str, Any]:
    """Photos per second of the whole on all cores, of views alone and of the network alone."""
    scorer = Scorer(model)
    view, rate = scorer.view, scorer.model.rate

    def cut(path: Path) -> np.ndarray:
        return view.views(read_photo(path, min_short_side_px=scorer.decode_px))

    batch = np.stack([cut(path) for path in paths[: scorer.batch_size]])
    batches = [batch] * (len(paths) // scorer.batch_size)
    times: dict[str, list[float]] = {"whole": [], "views": [], "network": []}
    with ThreadPoolExecutor(usable_cores()) as pool:
        for _ in range(rounds):
            times["whole"].append(seconds(lambda: list(scorer.score(paths))))
            times["views"].append(seconds(lambda: list(pool.map(cut, paths))))
            times["network"].append(seconds(lambda: list(pool.map(rate, batches))))
    bound = [
        (views + network) / whole for whole, views, network in zip(*times.values(), strict=True)
    ]
    return {
        "model": scorer.model.model_id,
        "view": str(view),
        "photos_per_second": {
            part: spread([len(paths) / value for value in values], 2)
            for part, values in times.items()
        },
        "share_of_bound": spread(bound, 3),
    }


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="keeps photos and networks")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--decoded", type=int, default=25, help="photos to time decoding with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--models", nargs="+", default=["quality"], help="for the pipeline; names or files"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    paths = photos_of(options.work, options.photos, 12)
    result = {
        **provenance(),
        "rounds": options.rounds,
        "decoding": decoding(paths[: options.decoded], 224),
        **networks(options.work, options.rounds),
        "photos": len(paths),
        "pipelines": [pipeline(model, paths, options.rounds) for model in options.models],
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
