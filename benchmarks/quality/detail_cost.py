"""What looking at a photo's detail costs, beside decoding it, in processor time of one core.

    python benchmarks/quality/detail_cost.py FOLDER [FOLDER ...] --out detail_cost.json

JPEG files as cameras wrote them. Each is decoded in colour, as scoring does, and in luminance
alone; then its tiles are chosen and read. The least of several rounds counts, as the machine may be
busy, and is stated per 12 megapixels, but for all of the detail, most of which is 64 tiles of any
photo.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from siamese_nima.scoring.detail import choose_tiles, detail_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

ROUNDS = 5
MEGAPIXELS = 12


def main() -> None:
    """Measure every photo, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    about = provenance()
    paths = [
        path
        for folder in options.folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in {".jpg", ".jpeg"}
    ]
    rows = [measured(path) for path in paths]
    names = [name for name in rows[0] if name.endswith("_ms")]
    report(
        about
        | {
            "photos": len(rows),
            "rounds": ROUNDS,
            "megapixels": [min(r["megapixels"] for r in rows), max(r["megapixels"] for r in rows)],
            "median": {n: round(statistics.median(r[n] for r in rows), 1) for n in names},
            "most": {n: round(max(r[n] for r in rows), 1) for n in names},
        },
        options.out,
    )


def measured(path: Path) -> dict[str, Any]:
    """Processor milliseconds of the steps of one photo."""
    luminance = np.asarray(Image.open(path).convert("L"))
    share = MEGAPIXELS / (luminance.size / 1e6)
    return {
        "megapixels": round(luminance.size / 1e6, 1),
        "decode_colour_ms": share * least(lambda: Image.open(path).load()),
        "luminance_of_colour_ms": share * least(lambda: np.asarray(Image.open(path).convert("L"))),
        "decode_luminance_ms": share * least(lambda: _luminance_alone(path)),
        "choose_tiles_ms": share * least(lambda: choose_tiles(luminance)),
        "detail_ms": least(lambda: detail_of(luminance)),
    }


def least(work: Callable[[], object]) -> float:
    """Processor milliseconds of the quickest of several rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        found.append(1000 * (time.process_time() - start))
    return min(found)


def _luminance_alone(path: Path) -> object:
    photo = Image.open(path)
    photo.draft("L", photo.size)
    return np.asarray(photo)


if __name__ == "__main__":
    main()
