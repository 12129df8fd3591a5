"""Photos per second of `nima score` over a folder, from disk, beside its two parts.

    python benchmarks/speed/folder_run.py --photos 200 --megapixels 12 --out folder_run.json

Makes the photos first (camera-like JPEG files, quality 92, 4:2:0), then measures, in turn and
several times: the whole command, reading and cutting views alone, and the network alone, each on
all cores. The bound is what the two parts' seconds allow when the cores share them without waiting.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from camera_photos import make_photos
from machine import provenance, report
from siamese_nima import Scorer, read_photo
from siamese_nima.cores import usable_cores


def seconds(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(paths: list[Path], folder: Path, model: str, *, exact: bool, rounds: int) -> dict:
    """Seconds of the command, of its views and of its network, in turn."""
    scorer = Scorer(model, exact=exact)
    view, cores = scorer.view, usable_cores()

    def cut(path: Path) -> np.ndarray:
        return view.views(read_photo(path, min_short_side_px=scorer.decode_px))

    views = cut(paths[0])[np.newaxis]
    rate = scorer.model.rate
    command = [sys.executable, "-m", "siamese_nima", "score", str(folder), "--model", model]
    command += [
        "--no-cache",
        "--quiet",
        "--out",
        str(folder / "scores.csv"),
        *(["--exact"] if exact else []),
    ]
    times: dict[str, list[float]] = {"command": [], "views": [], "network": []}
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(rounds):
            times["command"].append(seconds(lambda: subprocess.run(command, check=True)))
            times["views"].append(seconds(lambda: list(pool.map(cut, paths))))
            times["network"].append(seconds(lambda: list(pool.map(rate, [views] * len(paths)))))
    median = {part: statistics.median(values) for part, values in times.items()}
    bound = median["views"] + median["network"]
    return {
        "model": scorer.model.model_id,
        "view": str(view),
        "exact": exact,
        "seconds": {part: [round(v, 3) for v in values] for part, values in times.items()},
        "photos_per_second": {part: round(len(paths) / s, 2) for part, s in median.items()},
        "share_of_bound": round(bound / median["command"], 3),
    }


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="quality")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_photos(folder, options.photos, options.megapixels)
        size = sum(path.stat().st_size for path in paths) / len(paths)
        runs = [
            measure(paths, folder, options.model, exact=exact, rounds=options.rounds)
            for exact in (False, True)
        ]
    result = {
        **provenance(),
        "photos": options.photos,
        "megapixels": options.megapixels,
        "mean_file_mb": round(size / 1e6, 2),
        "runs": runs,
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
