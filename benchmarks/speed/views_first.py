"""What cutting views before colours and orientation are applied does to scores and to time.

    python benchmarks/speed/views_first.py FOLDER --out views_first.json

Every photo is decoded once, then its views are cut in both ways: from the whole photo, converted
upright, and from the pixels as they are stored. The embedded model rates both. It rates too what
averages of blocks before the filter, as `reducing_gap` has them, make of the whole view.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance
from siamese_nima.errors import PhotoError
from siamese_nima.photos import find_photos, open_photo
from siamese_nima.photos.read import Photo
from siamese_nima.photos.views import DECODE_MARGIN, ViewPolicy, Views, Warp
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.model import ModelFile

LEAST_PIXELS = 1_000_000
GAPS = (2.0, 3.0, 3.5)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What comes of `work`, and the milliseconds of processor time that it took."""
    started = time.process_time()
    result = work()
    return result, 1000 * (time.process_time() - started)


def in_blocks_first(photo: Photo, view: ViewPolicy, gap: float) -> Views:
    """Views of which those of the whole photo are cut from averages of blocks."""
    cuts: list[Image.Image] = []
    for group in view.groups:
        if isinstance(group, Warp):
            height, width = group.view_size
            cuts.append(photo.resize((width, height), reducing_gap=gap))
        else:
            cuts += group.cut(photo, view.resample)
    return np.stack([np.asarray(cut) for cut in cuts])


def kind_of(photo: Photo) -> str:
    """What is to be done to a photo besides cutting."""
    stored = photo._stored
    plain = Photo(replace(stored, profile=None), photo.name)
    wide = stored.profile is not None and photo.whole().tobytes() != plain.whole().tobytes()
    turned = stored.orientation != 1
    return {
        (False, False): "upright, sRGB",
        (True, False): "turned",
        (False, True): "other colours",
        (True, True): "turned, other colours",
    }[turned, wide]


def measure(path: Path, model: ModelFile) -> dict[str, Any] | None:
    """Scores and times of one photo; None if it is small or not a photo."""
    view = model.card.view
    short_side = DECODE_MARGIN * (view.short_side_px or 0)
    try:
        with Image.open(path) as image:
            if image.width * image.height < LEAST_PIXELS:
                return None
        photo, decode_ms = timed(lambda: open_photo(path, min_short_side_px=short_side))
    except (PhotoError, OSError):
        return None
    whole_photo = Photo(photo._stored, photo.name)
    first, first_ms = timed(lambda: view.views(photo))
    whole, convert_ms = timed(whole_photo.whole)
    after, after_ms = timed(lambda: view.views(whole))
    blocks = {gap: timed(partial(in_blocks_first, photo, view, gap)) for gap in GAPS}
    every = [first, after, *(views for views, _ in blocks.values())]
    votes, network_ms = timed(lambda: model.rate(np.stack(every)))
    means = np.asarray(votes, dtype=np.float64) @ model.card.scale.grades
    return {
        "kind": kind_of(whole_photo),
        "moved": float(means[0] - means[1]),
        "decode": decode_ms,
        "views first": first_ms,
        "convert whole": convert_ms,
        "views after": after_ms,
        "network": network_ms / len(every),
        "blocks": {
            gap: (float(mean - means[1]), ms)
            for (gap, (_, ms)), mean in zip(blocks.items(), means[2:], strict=True)
        },
    }


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Movements of scores and median times of some photos."""
    moved = [abs(row["moved"]) for row in rows]
    blocks = {}
    for gap in GAPS:
        movements, ms = zip(*(row["blocks"][gap] for row in rows), strict=True)
        sizes = np.abs(movements)
        blocks[str(gap)] = {
            "moved": {"mean": round(float(sizes.mean()), 4), "most": round(float(sizes.max()), 4)},
            "median ms": round(statistics.median(ms), 1),
        }
    times = ("decode", "convert whole", "views after", "views first", "network")
    return {
        "photos": len(rows),
        "moved": {"mean": round(statistics.mean(moved), 4), "most": round(max(moved), 4)},
        "median ms": {
            name: round(statistics.median(row[name] for row in rows), 1) for name in times
        },
        "blocks first, by reducing_gap": blocks,
    }


def main() -> None:
    """Measure a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="quality")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = ModelFile(find_model(arguments.model), threads=1)
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    count = 0
    for path in find_photos([arguments.folder]).paths:
        row = measure(path, model)
        if row is None:
            continue
        kinds[row["kind"]].append(row)
        count += 1
        if count == arguments.limit:
            break
    everything = [row for rows in kinds.values() for row in rows]
    result = {
        **provenance(),
        "model": arguments.model,
        "all": table(everything),
        "kinds": {kind: table(rows) for kind, rows in sorted(kinds.items())},
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
