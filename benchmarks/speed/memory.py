"""Peak memory of `nima score` and `nima rank` over folders of 1,000 to 100,000 photos.

    python benchmarks/speed/memory.py --out benchmarks/speed/memory.json
    python benchmarks/speed/memory.py --megapixels 200 --out benchmarks/speed/large_photo.json

The photos are small, and so are the views, since it is their number that matters here. Memory that
grows with it would fill the machine at some number; a ranking must hold its results. With
--megapixels, of `nima score` over one large JPEG file instead.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

VIEW = "warp:32+centre:32@64"
FOLDER_SIZE = 1000
COMMANDS = {
    "score to CSV, no cache": ("score", "csv", False),
    "score to JSON lines, with cache": ("score", "jsonl", True),
    "rank to CSV, no cache": ("rank", "csv", False),
}


def make_folder(folder: Path, count: int) -> None:
    """That many JPEG files of 64 x 48 pixels, no two alike, a thousand to a folder."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(20):
        buffer = io.BytesIO()
        pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(buffer, "JPEG")
        pictures.append(buffer.getvalue())
    for number in range(count):
        below = folder / f"{number // FOLDER_SIZE:04d}"
        below.mkdir(exist_ok=True)
        picture = pictures[number % len(pictures)]
        # A comment segment with the number behind the first marker makes every file another one.
        comment = b"\xff\xfe" + struct.pack(">HI", 6, number)
        (below / f"photo{number}.jpg").write_bytes(picture[:2] + comment + picture[2:])


def peak_mb(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Peak resident memory of a command in MB, and its seconds of processor time."""
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def measure(folder: Path, out: Path, model: str) -> dict[str, Any]:
    """Peak memory of every command over one folder."""
    found = {}
    for name, (verb, ending, cached) in COMMANDS.items():
        table, cache = out / f"table.{ending}", out / "cache.sqlite"
        command = [sys.executable, "-m", "siamese_nima", verb, str(folder), "--quiet"]
        command += ["--model", model, "--view", VIEW, "--out", str(table)]
        command += ["--cache", str(cache)] if cached else ["--no-cache"]
        peak, processor = peak_mb(command, dict(os.environ))
        lines = sum(1 for _ in table.open()) - (ending == "csv")
        found[name] = {
            "peak_mb": round(peak, 1),
            "rows": lines,
            "processor_seconds": round(processor, 1),
        }
        cache.unlink(missing_ok=True)
        print(name, found[name], file=sys.stderr)
    return found


def measure_large(megapixels: float, model: str) -> dict[str, Any]:
    """Peak memory of scoring one JPEG file, and one small one for comparison."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small.jpg", Path(name) / "large.jpg"
        # In a process of its own: a command's peak counts what its parent held when it began.
        making = get_context("spawn").Process(target=_make_two, args=(small, large, megapixels))
        making.start()
        making.join()
        for kind, path, more in (
            ("a small photo", small, []),
            ("large", large, []),
            ("large, --exact", large, ["--exact"]),
        ):
            command = [sys.executable, "-m", "siamese_nima", "score", str(path), "--quiet"]
            command += ["--model", model, "--no-cache", "--out", str(Path(name) / "t.csv"), *more]
            found[kind] = round(peak_mb(command, dict(os.environ))[0], 1)
    return found


def _make_two(small: Path, large: Path, megapixels: float) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    picture.save(small)
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    picture.resize((width, round(width * 3 / 4))).save(large)


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--model", default="quality")
    parser.add_argument("--megapixels", type=float, help="one photo of this size instead")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.megapixels:
        peaks = measure_large(options.megapixels, options.model)
        report({**provenance(), "megapixels": options.megapixels, "peak_mb": peaks}, options.out)
        return
    runs = []
    for count in options.photos:
        with tempfile.TemporaryDirectory() as name:
            folder, out = Path(name) / "photos", Path(name) / "out"
            folder.mkdir()
            out.mkdir()
            make_folder(folder, count)
            runs.append({"photos": count, "commands": measure(folder, out, options.model)})
    report({**provenance(), "view": VIEW, "runs": runs}, options.out)


if __name__ == "__main__":
    main()
