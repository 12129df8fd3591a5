"""What people say that overexposure costs, and what `quality` says.

    python benchmarks/quality/exposure.py --data BIQ2021 --kadid dmos.csv \\
        --out benchmarks/quality/exposure.json

Three things: how people rated photos of BIQ2021 with much blown-out area, as they were found; what
they said of pictures that were brightened on purpose (KADID-10k, whose `dmos.csv` names
distortion and level of each picture); and where `quality` sees val photos of BIQ2021 that are
exposed too long or too short, beside blurred ones.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.photos.read import read_photo
from siamese_nima.ratings import mean
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.ladders import LEVELS, ladder

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "photos"
BLOWN = 250  # of 255, in all three channels
SIDE_PX = 128
SHARES = (0, 0.001, 0.02, 0.05, 0.1, 0.2, 0.35, 1.01)
KADID = {"01": "Gaussian blur", "10": "JPEG", "16": "brightened", "17": "darkened"}
# KADID-10k bends values (of 1; two parts of RGB, one of lightness) so that .5 becomes .5 + .5 a.
BRIGHTENED = (0.1, 0.2, 0.4, 0.7, 1.1)
PHOTOS = 24  # of the better half of val
DISTORTIONS = ("overexposure", "underexposure", "blur")


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kadid", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    about = provenance()
    table = read_biq2021(options.data, ROOT / "recipes" / "quality" / "splits.csv")
    val = table.split("val")
    half = np.sort(np.argsort(-val.mos, kind="stable")[: len(val) // 2])
    photos = val.select(half[:: len(half) // PHOTOS][:PHOTOS])
    report(
        about
        | {
            "found": found(table.select(np.flatnonzero(np.array(table.splits) != "test"))),
            "kadid": kadid(options.kadid),
            "brightened_stops": [round(stops(share), 2) for share in BRIGHTENED],
            "quality": judged(photos),
        },
        options.out,
    )


def found(table: RatingTable) -> dict[str, list[dict[str, Any]]]:
    """By subset and share of blown-out area: photos, mean rating (0..1), mean percentile."""
    shares = np.array([blown(path) for path in table.paths])
    subsets = np.array(table.subsets)
    told: dict[str, list[dict[str, Any]]] = {}
    for subset in sorted(set(table.subsets)):
        mos = table.mos[subsets == subset]
        places, own = above(mos, mos), shares[subsets == subset]
        told[subset] = []
        for low, high in pairwise(SHARES):
            rows = (own >= low) & (own < high)
            told[subset].append(
                {
                    "from": low,
                    "photos": int(rows.sum()),
                    "mos": round(float(mos[rows].mean()), 3) if rows.any() else None,
                    "percentile": round(float(places[rows].mean()), 1) if rows.any() else None,
                }
            )
    return told


def blown(path: Path) -> float:
    """Share of the photo that is white or nearly so."""
    with Image.open(path) as photo:
        photo.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))
        small = photo.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    return float((np.asarray(small).min(axis=2) >= BLOWN).mean())


def kadid(path: Path) -> dict[str, list[float]]:
    """Mean opinion scores (1..5) over the 81 pictures, by distortion and level."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if named := re.fullmatch(r"I\d+_(\d+)_(\d+)\.png", row["dist_img"]):
                scores[named[1], named[2]].append(float(row["dmos"]))
    return {
        name: [round(float(np.mean(scores[number, f"{level:02}"])), 2) for level in range(1, 6)]
        for number, name in KADID.items()
    }


def stops(share: float) -> float:
    """How much more light makes of a value of .5 what that curve makes of it."""
    return float(np.log2(light(min(0.5 + 0.5 * share, 1.0)) / light(0.5)))


def light(value: float) -> float:
    """Of an sRGB value above .04, of 1."""
    return float(((value + 0.055) / 1.055) ** 2.4)


def judged(photos: RatingTable) -> dict[str, Any]:
    """Mean scores and mean percentiles of each rung, and of the examples."""
    model = ModelFile(find_model("quality"), threads=usable_cores())
    assert model.card.population is not None
    population = np.asarray(model.card.population.means)
    told: dict[str, Any] = {"model": model.model_id}
    for distortion in DISTORTIONS:
        scores = np.array(
            [
                score(model, ladder(read_photo(file), distortion, seed=row))
                for row, file in enumerate(photos.paths)
            ]
        )
        places = above(scores.ravel(), population).reshape(-1, LEVELS + 1)
        told[distortion] = {
            "scores": scores.mean(axis=0).round(2).tolist(),
            "percentiles": places.mean(axis=0).round(0).tolist(),
        }
    files = sorted(EXAMPLES.glob("*-bright.jpg"))
    scores = np.concatenate([score(model, (read_photo(file),)) for file in files])
    places = above(scores, population)
    told["examples"] = {
        file.stem: [round(float(value), 2), round(float(place))]
        for file, value, place in zip(files, scores, places, strict=True)
    }
    return told


def above(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the others that are lower, in percent."""
    return 100 * np.searchsorted(np.sort(others), scores) / len(others)


def score(model: ModelFile, photos: tuple[Image.Image, ...]) -> NDArray[np.float64]:
    """Mean scores of photos, on the model's scale."""
    views = np.stack([model.card.view.views(photo) for photo in photos])
    return mean(model.rate(views), model.card.scale)


if __name__ == "__main__":
    main()
