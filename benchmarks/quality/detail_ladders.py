"""Read photos at native resolution and worse copies of them, as detail and as score.

    python benchmarks/quality/detail_ladders.py FOLDER [FOLDER ...] --out readings.csv

Each JPEG of the folders is taken as it is and made worse step by step: Gaussian blur of 0 to 4
pixels in steps of half a pixel, motion of 4 to 20 pixels, noise, JPEG; and the same frame is
cropped and saved anew four times. Rows are kept as they are made, so a run that was stopped goes
on. What the rows say: recipes/detail/order.py.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from siamese_nima import Scorer, read_photo
from siamese_nima.scoring.detail import detail_of

BLURS = [x / 2 for x in range(9)]
MOTIONS = [4, 8, 12, 16, 20]
NOISES = [2, 4, 8, 16]
QUALITIES = [90, 75, 60, 45, 30]
ANEW = 4
COLUMNS = (
    "photo",
    "kind",
    "level",
    "score",
    "blur",
    "shake",
    "direction",
    "noise",
    "compression",
    "light",
    "laplacian",
    "tenengrad",
    "cleanvision",
)
Pixels = NDArray[np.uint8]
Copy = tuple[str, str, str]


def main() -> None:
    """Make the copies of every photo, read them, append a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", type=int, default=None, help="photos per folder")
    parser.add_argument("--model", default="quality")
    parser.add_argument("--detail-from", type=Path, help="an earlier table of the same photos")
    options = parser.parse_args()
    scorer = Scorer(options.model, workers=1)
    earlier = {} if options.detail_from is None else rows_by_copy(options.detail_from)
    done = rows_by_copy(options.out) if options.out.exists() else {}
    with options.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not done:
            writer.writeheader()
        for folder in options.folders:
            paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg"})
            for path in paths[: options.only]:
                name = f"{folder.name}/{path.name}"
                original = np.asarray(read_photo(path))
                for kind, level, pixels in copies(original, name, done):
                    if known := earlier.get((name, kind, str(level))):
                        [result] = scorer.score(Image.fromarray(pixels))
                        row = known | {"score": round(result.mean or float("nan"), 5)}
                    else:
                        row = {"photo": name, "kind": kind, "level": level, **read(scorer, pixels)}
                    writer.writerow(row)
                    file.flush()
                print(name, file=sys.stderr, flush=True)


def rows_by_copy(table: Path) -> dict[Copy, dict[str, Any]]:
    """Rows that were read before, by photo, kind and level."""
    with table.open(newline="") as file:
        return {(row["photo"], row["kind"], row["level"]): row for row in csv.DictReader(file)}


def copies(
    original: Pixels, name: str, done: Container[Copy]
) -> Iterator[tuple[str, float, Pixels]]:
    """Kind, level and pixels of each copy that is not read yet."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    angle = random.uniform(0, 180)
    plan: list[tuple[str, float]] = [
        *(("blur", level) for level in BLURS),
        *(("motion", level) for level in MOTIONS),
        *(("noise", level) for level in NOISES),
        *(("jpeg", level) for level in QUALITIES),
        *(("anew", level) for level in range(ANEW)),
    ]
    for kind, level in plan:
        shifts, quality = random.uniform(0, 0.04, 4), int(random.integers(85, 96))
        grain = int(random.integers(2**31))
        if (name, kind, str(level)) in done:
            continue
        if kind == "blur":
            sigma = (level, level, 0)
            pixels = ndimage.gaussian_filter(original, sigma) if level else original
        elif kind == "motion":
            pixels = moved(original, level, angle)
        elif kind == "noise":
            noise = np.random.default_rng(grain).standard_normal(original.shape[:2], np.float32)
            noisy = original + level * noise[..., None]
            pixels = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
        elif kind == "jpeg":
            pixels = saved(original, int(level))
        else:
            height, width = original.shape[:2]
            top, left = int(shifts[0] * height), int(shifts[1] * width)
            bottom, right = height - int(shifts[2] * height), width - int(shifts[3] * width)
            pixels = saved(original[top:bottom, left:right], quality)
        yield kind, level, pixels


def moved(original: Pixels, length: float, angle: float) -> Pixels:
    """Even motion of `length` pixels at `angle` degrees, counter-clockwise from the right."""
    size = int(np.ceil(length)) // 2 * 2 + 3
    kernel = np.zeros((size, size), np.float32)
    for step in np.linspace(-length / 2, length / 2, 20 * size):
        x = step * np.cos(np.radians(angle)) + size // 2
        y = -step * np.sin(np.radians(angle)) + size // 2
        x0, y0 = int(x), int(y)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            if x0 + dx < size and y0 + dy < size:
                weight = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
                kernel[y0 + dy, x0 + dx] += weight
    kernel /= kernel.sum()
    rows, columns = np.nonzero(kernel)
    half = size // 2
    padded = np.pad(original, ((half, half), (half, half), (0, 0)), mode="edge").astype(np.float32)
    height, width = original.shape[:2]
    out = np.zeros(original.shape, np.float32)
    for row, column in zip(rows, columns, strict=True):
        out += kernel[row, column] * padded[row : row + height, column : column + width]
    return np.round(out).astype(np.uint8)


def saved(pixels: Pixels, quality: int) -> Pixels:
    """As it comes back from a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def read(scorer: Scorer, pixels: Pixels) -> dict[str, float]:
    """Score, detail, and what others measure."""
    [result] = scorer.score(Image.fromarray(pixels))
    luminance = np.asarray(Image.fromarray(pixels).convert("L"))
    detail = detail_of(luminance)
    plane = luminance.astype(np.float32)
    laplacian = float(ndimage.laplace(plane).var())
    tenengrad = float(
        (ndimage.sobel(plane, 0) ** 2 + ndimage.sobel(plane, 1) ** 2).mean(dtype=np.float64)
    )
    row = {
        "score": result.mean,
        "blur": detail.blur,
        "shake": detail.shake,
        "direction": detail.direction,
        "noise": detail.noise,
        "compression": detail.compression,
        "light": detail.light,
        "laplacian": laplacian,
        "tenengrad": tenengrad,
        "cleanvision": cleanvision(luminance),
    }
    return {name: float("nan") if value is None else round(value, 5) for name, value in row.items()}


def cleanvision(luminance: Pixels) -> float:
    """The raw blurriness of cleanvision 0.3.7: the deviation of edges at 64 pixels, high if sharp.

    Its function image_property.calc_blurriness: edges by Pillow's FIND_EDGES on the photo shrunk to
    a long side of 64.
    """
    photo = Image.fromarray(luminance)
    ratio = max(max(photo.size) / 64, 1)
    small = photo.resize((max(int(photo.width // ratio), 1), max(int(photo.height // ratio), 1)))
    return float(np.asarray(small.filter(ImageFilter.FIND_EDGES), np.float64).std())


if __name__ == "__main__":
    main()
