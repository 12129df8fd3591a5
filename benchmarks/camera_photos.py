"""Photos as a camera writes them, made from the examples: as many and as large as asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from siamese_nima import read_photo

EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"


def make_photos(folder: Path, count: int, megapixels: float) -> list[Path]:
    """Enlarged examples with film grain, each file different."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (width, round(width * 3 / 4))
    sources = [read_photo(path) for path in sorted(EXAMPLES.glob("*.jpg"))]
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 4, (size[1], size[0], 1)).astype(np.float32)
    paths = []
    for number in range(count):
        picture = sources[number % len(sources)].resize(size, Image.Resampling.BICUBIC)
        grained = np.asarray(picture) + np.roll(grain, 97 * number, axis=1)
        path = folder / f"photo{number}.jpg"
        Image.fromarray(grained.clip(0, 255).astype(np.uint8)).save(path, quality=92)
        paths.append(path)
    return paths


def photos_of(kept: Path, count: int, megapixels: float) -> list[Path]:
    """That many photos, made unless they are there."""
    folder = kept / f"photos-{count}x{megapixels:g}mp"
    if not folder.exists():
        making = folder.with_suffix(".part")
        making.mkdir(parents=True, exist_ok=True)
        make_photos(making, count, megapixels)
        making.rename(folder)
    return sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem.removeprefix("photo")))
