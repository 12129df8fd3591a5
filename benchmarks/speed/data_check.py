"""What `nima data check` takes for a table as long as AVA's, beyond decoding its photos.

    python benchmarks/speed/data_check.py

A table of 255,530 rows of votes, of which 240 photos are there, as in a folder that is still being
filled. Prints seconds of processor: of the whole check, and of reading the photos that are there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.checks import check_set
from siamese_nima.datasets.sources import describe_ratings, read_source
from siamese_nima.photos.similarity import read_signatures

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=255_530)
    parser.add_argument("--photos", type=int, default=240)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_ava(Path(name), options.rows, options.photos)
        began = time.process_time()
        reading = read_source(f"ava:{name}")
        describe_ratings(reading)
        read = time.process_time()
        found = check_set(reading.table, threads=usable_cores())
        ended = time.process_time()
        present = found.check.photos - len(found.check.missing)
        there = [path for path in reading.table.paths if path.is_file()]
        decoding = time.process_time()
        read_signatures(there, threads=usable_cores())
        decoded = time.process_time() - decoding
    result = provenance() | {
        "rows": options.rows,
        "photos": present,
        "processor_s": round(ended - began, 2),
        "reading_the_table_s": round(read - began, 2),
        "decoding_s": round(decoded, 2),
        "beyond_decoding_s": round(ended - began - decoded, 2),
    }
    report(result, options.out)


def write_ava(folder: Path, rows: int, photos: int) -> None:
    """AVA.txt with that many lines, and every so manieth photo of it."""
    generator = np.random.default_rng(0)
    votes = generator.integers(0, 60, (rows, 10))
    lines = [
        f"{row + 1} {row + 1} {' '.join(map(str, counts))} 0 0 0"
        for row, counts in enumerate(votes.tolist())
    ]
    (folder / "AVA.txt").write_text("\n".join(lines) + "\n")
    (folder / "images").mkdir()
    for row in range(0, rows, -(-rows // photos)):
        pixels = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        photo = Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC)
        photo.save(folder / "images" / f"{row + 1}.jpg", quality=90)


if __name__ == "__main__":
    main()
