"""How often damage inside JPEG files is seen, and how often sound files are suspected.

python benchmarks/dependability/jpeg_damage.py --photos data/BIQ2021/Images --out damage.json
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from siamese_nima.photos.jpeg_scan import damage_in_scans

KINDS = {
    "noise": lambda rng, size: rng.randbytes(size),
    "zeros": lambda _, size: bytes(size),
    "text": lambda _, size: (b"The quick brown fox jumps over the lazy dog. " * size)[:size],
}
SIZES = (64, 512, 1024, 2048, 4096)
PHOTOS_PER_CASE = 200


def seen(paths: list[Path], kind: str, size: int) -> dict[str, int]:
    """Photos in whose coded pixels a block is overwritten at a random place, and those noticed."""
    rng = random.Random(f"{kind} {size}")
    counts = {"photos": 0, "seen": 0}
    for path in rng.sample(paths, len(paths)):
        contents = path.read_bytes()
        first = contents.find(b"\xff\xda") + 20
        last = len(contents) - size - 2
        if counts["photos"] == PHOTOS_PER_CASE:
            break
        if last <= first:
            continue
        place = rng.randrange(first, last)
        damaged = contents[:place] + KINDS[kind](rng, size) + contents[place + size :]
        counts["photos"] += 1
        counts["seen"] += damage_in_scans(damaged) is not None
    return counts


def main() -> None:
    """Check all photos as they are, and some of them damaged."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from machine import provenance, report

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    paths = sorted(arguments.photos.glob("*.jpg"))
    suspected, size, seconds = 0, 0, 0.0
    for path in paths:
        contents = path.read_bytes()
        started = time.process_time()
        suspected += damage_in_scans(contents) is not None
        seconds += time.process_time() - started
        size += len(contents)
    result = {
        "sound": {
            "photos": len(paths),
            "suspected": suspected,
            "ms_per_megabyte": round(seconds * 1e9 / size, 2),
        },
        "damaged": {
            kind: {f"{size} bytes": seen(paths, kind, size) for size in SIZES} for kind in KINDS
        },
    }
    report(provenance() | result, arguments.out)


if __name__ == "__main__":
    main()
