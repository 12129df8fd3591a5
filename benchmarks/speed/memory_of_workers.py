"""Peak memory and speed of `nima score` over real photos, by workers and photos per worker.

    python benchmarks/speed/memory_of_workers.py BIQ2021/Images --out FILE.json

Every 30th photo of the folder, by name, at most 400; the released model with its own views. All
rows are of one run, in turns, so that their ratios hold on a machine that has other work too. Then
`--view native` with the other released model, whose views have one size each, over parts of the
same photos that are cut to sizes that all differ.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from memory import peak_mb

from machine import provenance, report

STEP, PHOTOS, ROUNDS = 30, 400, 3
# Workers, and photos that one takes at a time.
ROWS: dict[str, tuple[int, int]] = {
    "2 workers": (2, 1),
    "2 workers, 4 photos each": (2, 4),
    "16 workers": (16, 1),
}
# Photos of sizes that all differ.
NATIVE_PHOTOS = (100, 300, 900)
LEAST_PX = 300


def measure(photos: list[Path], rounds: int) -> dict[str, Any]:
    """Peak memory and processor time of every row, the median of the rounds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ROWS}
    with tempfile.TemporaryDirectory() as name:
        listing = Path(name) / "photos"
        listing.mkdir()
        for photo in photos:
            (listing / photo.name).symlink_to(photo.resolve())
        for _ in range(rounds):
            for row, (workers, batch) in ROWS.items():
                command = [sys.executable, "-m", "siamese_nima", "score", str(listing), "--quiet"]
                command += ["--no-cache", "--workers", str(workers), "--batch-size", str(batch)]
                command += ["--out", str(Path(name) / "t.csv")]
                found[row].append(peak_mb(command, dict(os.environ)))
                print(row, found[row][-1], file=sys.stderr)
    return {
        row: {
            "peak_mb": round(statistics.median(peak for peak, _ in runs), 1),
            "processor_ms_per_photo": round(
                1000 * statistics.median(seconds for _, seconds in runs) / len(photos), 1
            ),
        }
        for row, runs in found.items()
    }


def measure_native(photos: list[Path]) -> dict[int, float]:
    """Peak memory of a command with `--view native`, by the number of sizes that it meets."""
    random = np.random.default_rng(0)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        cut, out = Path(name) / "photos", Path(name) / "t.csv"
        cut.mkdir()
        made: set[tuple[int, int]] = set()
        for count in NATIVE_PHOTOS:
            while len(made) < count:
                with Image.open(photos[len(made) % len(photos)]) as picture:
                    width, height = (
                        int(random.integers(LEAST_PX, side + 1)) for side in picture.size
                    )
                    size = (width, height)
                    if size not in made:
                        picture.convert("RGB").crop((0, 0, *size)).save(
                            cut / f"{len(made):04d}.jpg", quality=90
                        )
                        made.add(size)
            command = [sys.executable, "-m", "siamese_nima", "score", str(cut), "--quiet"]
            command += ["--no-cache", "--workers", "2", "--model", "appeal", "--view", "native"]
            found[count] = round(peak_mb([*command, "--out", str(out)], dict(os.environ))[0], 1)
            print("native", count, found[count], file=sys.stderr)
    return found


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    photos = sorted(options.folder.iterdir())
    photos = (photos[::STEP] if len(photos) > PHOTOS else photos)[:PHOTOS]
    sizes = []
    for photo in photos:
        with Image.open(photo) as picture:
            sizes.append(picture.size)
    common = statistics.mode(sizes)
    figures = {
        **provenance(),
        "model": "quality",
        "photos": len(photos),
        "size_px": list(common),
        "rows": measure(photos, options.rounds),
        "native": {
            "model": "appeal",
            "workers": 2,
            "sides_px": [LEAST_PX, min(common)],
            "peak_mb_by_sizes": measure_native(photos),
        },
    }
    report(figures, options.out)


if __name__ == "__main__":
    main()
