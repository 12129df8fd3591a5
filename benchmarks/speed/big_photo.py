"""Peak memory of reading one very large photo, by format.

    python benchmarks/speed/big_photo.py --megapixels 200 --out benchmarks/speed/big_photo.json

Every photo is read in a process of its own, as scoring with the embedded model reads it (short side
448 pixels at least) and in full; what the process needs before it reads anything is taken off. JPEG
files have film grain, as their memory depends on their length; the others are of one colour.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SHORT_SIDE_PX = 448
KINDS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 92},
    "jpeg progressive": {"format": "JPEG", "quality": 92, "progressive": True},
    "png": {"format": "PNG", "compress_level": 1},
    "png with alpha": {"format": "PNG", "compress_level": 1, "mode": "RGBA"},
    "png palette": {"format": "PNG", "compress_level": 1, "mode": "P"},
    "png 16 bit grey": {"format": "PNG", "compress_level": 1, "mode": "I;16"},
    # TIFF is not here: Pillow refuses more than 179 million pixels.
}


def make(kind: str, path: str, megapixels: float) -> None:
    """Write a photo with some detail."""
    import numpy as np
    from PIL import Image

    options = dict(KINDS[kind])
    mode = options.pop("mode", "RGB")
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = width, round(width * 3 / 4)
    photo = Image.new(mode, size, (90, 120, 150, 200)[: len(Image.new(mode, (1, 1)).getbands())])
    if options["format"] == "JPEG":
        grain = np.random.default_rng(0).normal(128, 40, (256, 256, 3)).clip(0, 255)
        tile = Image.fromarray(grain.astype(np.uint8)).resize(
            (1024, 1024), Image.Resampling.BICUBIC
        )
        for top in range(0, size[1], 1024):
            for left in range(0, size[0], 1024):
                photo.paste(tile, (left, top))
    photo.save(path, **options)


def read(path: str, short_side_px: int | None) -> None:
    """Read a photo; prints peak memory in MB and the size."""
    from siamese_nima import read_photo

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = read_photo(path, min_short_side_px=short_side_px).size
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(round((after - before) / 1024), *size)


def measured(path: Path, short_side_px: int | None) -> dict[str, Any]:
    """What a process that reads one photo says."""
    call = f"import big_photo; big_photo.read({str(path)!r}, {short_side_px})"
    memory_mb, width, height = run(call).split()
    return {"peak_mb": int(memory_mb), "read_as": [int(width), int(height)]}


def run(call: str) -> str:
    """Standard output of Python code in a process of its own, this module importable."""
    done = subprocess.run(
        [sys.executable, "-c", call],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def main() -> None:
    """Make and read every kind of photo."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from machine import provenance, report

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    photos = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder) / "photo"
            run(
                f"import big_photo; big_photo.make({kind!r}, {str(path)!r}, {arguments.megapixels})"
            )
            photos[kind] = {
                "file_mb": round(path.stat().st_size / 2**20),
                "for_scoring": measured(path, SHORT_SIDE_PX),
                "in_full": measured(path, None),
            }
            print(kind, photos[kind], file=sys.stderr, flush=True)
    result = {"megapixels": arguments.megapixels, "short_side_px": SHORT_SIDE_PX, "photos": photos}
    report(provenance() | result, arguments.out)


if __name__ == "__main__":
    main()
