"""How far a score moves when the same photo is framed anew, encoded anew or stored smaller.

    python benchmarks/quality/steadiness.py --photos PHOTOS --out benchmarks/quality/steadiness.json

Takes photos as they came from cameras. Framing: windows of 97 % of both sides at random places, in
JPEG of a quality drawn from 85 to 95; the standard deviation among the views of one photo is the
noise by which two frames of one thing differ although neither is better. Stored size: the photo
scaled (Lanczos) to smaller short sides, JPEG of quality 92.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer, read_photo
from siamese_nima.errors import PhotoError

SIDES_PX = (2048, 1536, 1024, 768, 512, 384, 256)
KEPT = 0.97
LEAST_PIXELS = 6_000_000


def framed(photo: Image.Image, folder: Path, views: int, draw: np.random.Generator) -> list[Path]:
    """The photo in slightly other frames and encodings."""
    width, height = round(KEPT * photo.width), round(KEPT * photo.height)
    paths = []
    for view in range(views):
        left = int(draw.integers(0, photo.width - width + 1))
        top = int(draw.integers(0, photo.height - height + 1))
        paths.append(folder / f"framed-{view}.jpg")
        quality = int(draw.integers(85, 96))
        photo.crop((left, top, left + width, top + height)).save(paths[-1], quality=quality)
    return paths


def stored(photo: Image.Image, folder: Path) -> dict[int, Path]:
    """The photo at smaller sizes, by the short side."""
    paths = {}
    for side in (side for side in SIDES_PX if side < min(photo.size)):
        scale = side / min(photo.size)
        size = (round(scale * photo.width), round(scale * photo.height))
        paths[side] = folder / f"stored-{side}.jpg"
        photo.resize(size, Image.Resampling.LANCZOS).save(paths[side], quality=92)
    return paths


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos of cameras")
    parser.add_argument("--model", default="quality")
    parser.add_argument("--count", type=int, default=40, help="photos to take, drawn at random")
    parser.add_argument("--views", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    about = provenance()  # of the files that run
    scorer = Scorer(options.model, eight_bits=False)
    draw = np.random.default_rng(0)
    found = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() == ".jpg")
    spreads: list[float] = []
    moves: dict[int, list[float]] = {side: [] for side in SIDES_PX}
    for place in draw.permutation(len(found)):
        if len(spreads) == options.count:
            break
        try:
            photo = read_photo(found[place])
        except PhotoError as error:
            print(error, file=sys.stderr)
            continue
        if photo.width * photo.height < LEAST_PIXELS:
            continue
        with tempfile.TemporaryDirectory() as name:
            views = framed(photo, Path(name), options.views, draw)
            sizes = stored(photo, Path(name))
            whole = Path(name) / "whole.jpg"
            photo.save(whole, quality=95)
            scores = {
                Path(result.path).name: result.mean or np.nan
                for result in scorer.score([whole, *views, *sizes.values()])
            }
        values = [scores[path.name] for path in (whole, *views)]
        spreads.append(float(np.std(values, ddof=1)))
        for side, path in sizes.items():
            moves[side].append(scores[path.name] - scores["whole.jpg"])
    pooled = float(np.sqrt(np.mean(np.square(spreads))))
    report(
        {
            "provenance": about,
            "model": f"{scorer.card.name}-{scorer.card.version}",
            "photos": len(spreads),
            "framing": {
                "views": options.views + 1,
                "sd": round(pooled, 3),
                "median_sd": round(float(np.median(spreads)), 3),
                "gap_of_two_below_in_95_percent": round(1.96 * 2**0.5 * pooled, 3),
            },
            "stored_size": [
                {
                    "short_side_px": side,
                    "photos": len(own),
                    "mean": round(float(np.mean(own)), 3),
                    "sd": round(float(np.std(own)), 3),
                    "lowest": round(float(np.min(own)), 3),
                    "highest": round(float(np.max(own)), 3),
                }
                for side, own in moves.items()
                if own
            ],
        },
        options.out,
    )


if __name__ == "__main__":
    main()
