"""What a photo costs with `nima score --engine ray`, beside the local run on the same photos.

    python benchmarks/scale/per_photo.py --work ../speed --out benchmarks/scale/per_photo.json

Both commands take turns, over all photos and over a few of them: the difference is what the other
photos cost, the rest is the start, which large runs do not notice. Also measured: how large the
files of results are, and the memory that a driver takes for each name that it was given.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from camera_photos import photos_of
from machine import provenance, report

ENGINES = ("local", "ray")
NAME = "s3://bucket-of-photos/2026/11/23/camera-7/photo-{:09d}.jpg"
# Finds the names of a listing and begins a run on them, then says how much memory that took.
DRIVER = """
import resource, sys
from siamese_nima.scale.plan import open_plan
from siamese_nima.photos.sources import find_sources
from siamese_nima.scale.plan import Folder
sources = find_sources([sys.argv[1]])
slices = open_plan(Folder(sys.argv[2]), sources, ("none",), None)
print(sources.photos, len(slices), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def seconds(engine: str, photos: list[Path], out: Path, per_file: int) -> float:
    """Seconds that the whole command takes."""
    listing = out.with_suffix(".txt")
    listing.write_text("".join(f"{path}\n" for path in photos))
    command = [sys.executable, "-m", "siamese_nima", "score", "--no-cache", "--quiet", "--out"]
    if engine == "ray":
        shutil.rmtree(out, ignore_errors=True)
        command += [str(out), "--engine", "ray", "--photos-per-file", str(per_file), str(listing)]
    else:
        command += [f"{out}.parquet", "-"]
    with listing.open("rb") as names:
        started = time.perf_counter()
        subprocess.run(command, check=True, stdin=names, stderr=subprocess.PIPE)
        return time.perf_counter() - started


def measure(photos: list[Path], few: int, rounds: int, per_file: int, work: Path) -> dict[str, Any]:
    """Seconds of both engines over all photos and over a few, in turn."""
    times: dict[str, dict[str, list[float]]] = {
        engine: {"all": [], "few": []} for engine in ENGINES
    }
    for _ in range(rounds):
        for engine in ENGINES:
            times[engine]["all"].append(seconds(engine, photos, work / engine, per_file))
        stored = [path.stat().st_size for path in (work / "ray").glob("part-*.parquet")]
        for engine in ENGINES:
            times[engine]["few"].append(seconds(engine, photos[:few], work / "few", per_file))
    more = len(photos) - few
    each = {
        engine: [(a - f) / more for a, f in zip(kind["all"], kind["few"], strict=True)]
        for engine, kind in times.items()
    }
    ratios = [ray / local for ray, local in zip(each["ray"], each["local"], strict=True)]
    return {
        "seconds": {
            engine: {part: [round(t, 3) for t in values] for part, values in kind.items()}
            for engine, kind in times.items()
        },
        "ms_per_photo": {engine: _spread([1000 * t for t in own]) for engine, own in each.items()},
        "start_s": {
            engine: round(
                statistics.median(
                    f - few * t for f, t in zip(times[engine]["few"], each[engine], strict=True)
                ),
                2,
            )
            for engine in ENGINES
        },
        "ray_over_local": _spread(ratios),
        "result_bytes_per_photo": round(sum(stored) / len(photos), 1),
    }


def driver_bytes_per_name(work: Path, names: int) -> dict[str, Any]:
    """Memory of a driver that was given so many names, over that of one with a hundredth."""
    peaks = []
    for count in (names // 100, names):
        listing, out = work / f"{count}.txt", work / f"driver-{count}"
        listing.write_text("".join(NAME.format(number) + "\n" for number in range(count)))
        command = [sys.executable, "-c", DRIVER, str(listing), str(out)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.split()[2]))
    more = names - names // 100
    return {"names": names, "bytes_per_name": round((peaks[1] - peaks[0]) / more)}


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 4),
        "low": round(min(values), 4),
        "high": round(max(values), 4),
    }


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where test photos are kept")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--photos-per-file", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    photos = photos_of(options.work.resolve(), options.photos, options.megapixels)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        measured = measure(photos, options.few, options.rounds, options.photos_per_file, work)
        driver = driver_bytes_per_name(work, options.names)
    result = {
        **provenance(),
        "load_before": round(load, 1),
        "model": "quality",
        "photos": options.photos,
        "few": options.few,
        "megapixels": options.megapixels,
        "mean_file_mb": round(sum(path.stat().st_size for path in photos) / len(photos) / 1e6, 2),
        "photos_per_file": options.photos_per_file,
        **measured,
        "driver": driver,
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
