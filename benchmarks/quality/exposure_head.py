"""What another head of `quality` alone can learn of exposure, and what it costs elsewhere.

    python benchmarks/quality/exposure_head.py --data BIQ2021 --cache runs/exposure \\
        --out benchmarks/quality/exposure_head.json

The network stays as it is: its features of training and val photos, and of rungs of exposure, are
computed once and kept. Rungs are rated by a share of what their photo has above the lowest grade.
The rated photos keep people's ratings, or what the head said of them itself, so that it unlearns
nothing (Li and Hoiem, "Learning without forgetting", 2016).
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import PAIR_GAP, pair_accuracy, same_scene_pairs, srcc
from siamese_nima.networks.conversion import read_weights
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.read import read_photo
from siamese_nima.ratings import AVA_SCALE, distribution_from_mos, mean
from siamese_nima.scoring.features import FeatureModel
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.ladders import LEVELS, distort
from siamese_nima.training.objectives import emd

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "src" / "siamese_nima" / "models" / "quality.onnx"
EXAMPLES = ("chelsea", "chelsea-bright", "coffee", "coffee-bright")
LADDERS = {"train": 1000, "val": 200}  # of photos of the better half
TURNS = ("overexposure", "underexposure", "overexposure")
RUNGS = LEVELS + 1
# More than pictures of KADID-10k lose that were brightened on purpose: a head goes half of the way.
WORTH = {
    "overexposure": (1, 0.8, 0.6, 0.42, 0.25, 0.15),
    "underexposure": (1, 0.95, 0.87, 0.78, 0.69, 0.61),
}
EPOCHS, BATCH, RUNGS_PER_BATCH, RATE, WARMUP = 3, 64, 48, 1e-3, 40
TOLD = {
    "model": ModelFile(MODEL, threads=1).model_id,
    "worth": WORTH,
    "ladders": LADDERS,
    "epochs": EPOCHS,
}
ARMS = (
    ("itself", 0.03),
    ("itself", 0.1),
    ("itself", 0.3),
    ("itself", 1.0),
    ("people", 0.0),
    ("people", 0.1),
)  # whose ratings of the photos are learnt; weight of the rungs beside them

Features = NDArray[np.float16]
See = Callable[[Image.Image], Features]  # what a head reads of a photo


@dataclass(frozen=True)
class Split:
    """Photos, the rows of those that have a ladder, its distortion, and features of all."""

    table: RatingTable
    rows: NDArray[np.intp]
    kinds: NDArray[np.str_]
    photos: Tensor
    rungs: Tensor


class Head(nn.Module):
    """The last layer of a network.

    Args:
        last: Makes logits of features.
    """

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.last = last

    def forward(self, features: Tensor) -> Tensor:
        """Rating distributions (N, 10)."""
        return torch.softmax(self.last(features), 1)

    def scores(self, features: Tensor) -> NDArray[np.float64]:
        """Mean scores (N,)."""
        with torch.no_grad():
            return mean(self(features).double().numpy(), AVA_SCALE)


def main() -> None:
    """Compute features, train the heads, and write the figures."""
    options = asked(__doc__)
    about = provenance()
    train, val, examples = seen(options, of_network(), options.cache)
    start = Head(read_weights(MODEL)[0].head)
    rows = [{"teacher": None} | figures(start, val, examples)]
    for teacher, weight in ARMS:
        head = trained(start, train, teacher, weight)
        rows.append({"teacher": teacher, "weight": weight} | figures(head, val, examples))
    report(about | TOLD | {"heads": rows}, options.out)


def asked(about: str) -> argparse.Namespace:
    """The folders of a call."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    for name in ("data", "cache", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    torch.set_num_threads(1)
    return parser.parse_args()


def of_network() -> See:
    """What the network's last layer reads of a photo."""
    network = FeatureModel(ModelFile(MODEL, threads=usable_cores()), device="cpu")
    return lambda photo: network.rate(network.card.view.views(photo)[None])[0].astype(np.float16)


def seen(options: argparse.Namespace, see: See, cache: Path) -> tuple[Split, Split, Tensor]:
    """Training photos, val photos and the examples."""
    cache.mkdir(parents=True, exist_ok=True)
    table = read_biq2021(options.data, ROOT / "recipes" / "quality" / "splits.csv")
    train, val = (split(table.split(name), name, see, cache) for name in LADDERS)
    photos = [(ROOT / "examples" / "photos" / f"{name}.jpg", "", 0) for name in EXAMPLES]
    return train, val, torch.from_numpy(features(see, photos).astype(np.float32))


def split(table: RatingTable, name: str, see: See, cache: Path) -> Split:
    """Features of a split's photos and of the rungs of some of them, computed or found."""
    best = np.argsort(-table.mos, kind="stable")[: round(len(table) / 2)]
    drawn = np.random.default_rng((0, len(table))).permutation(best)[: LADDERS[name]]
    rows = np.sort(drawn)
    kinds = np.array([TURNS[place % len(TURNS)] for place in range(len(rows))])
    photos = [(path, "", 0) for path in table.paths]
    rungs = [
        (table.paths[row], kind, level)
        for row, kind in zip(rows, kinds, strict=True)
        for level in range(RUNGS)
    ]
    kept = []
    for file, wanted in ((f"{name}.npy", photos), (f"{name}-ladders.npy", rungs)):
        if not (cache / file).exists():
            np.save(cache / file, features(see, wanted))
        kept.append(torch.from_numpy(np.load(cache / file).astype(np.float32)))
    return Split(table, rows, kinds, *kept)


def features(see: See, wanted: list[tuple[Path, str, int]]) -> Features:
    """What the head reads of photos, each as it is or on a rung of a distortion."""

    def one(photo: tuple[Path, str, int]) -> Features:
        path, kind, level = photo
        return see(distort(read_photo(path), kind, level) if kind else read_photo(path))

    return np.stack(list(map_in_order(one, wanted, workers=usable_cores())))


def trained(start: Head, train: Split, teacher: str, weight: float) -> Head:
    """The head after some epochs on rated photos and rated rungs."""
    own = start(train.photos).detach()
    people = torch.from_numpy(train.table.distributions(AVA_SCALE)).float()
    photos = own if teacher == "itself" else people
    clean = photos.double().numpy()[train.rows] @ AVA_SCALE.grades
    shares = np.array([WORTH[kind] for kind in train.kinds])
    worth = AVA_SCALE.low + shares * (clean[:, None] - AVA_SCALE.low)
    rungs = torch.from_numpy(distribution_from_mos(worth.ravel(), AVA_SCALE)).float()

    learnt = copy.deepcopy(start).requires_grad_()
    optimizer = torch.optim.AdamW(learnt.parameters(), lr=RATE, weight_decay=0.0)
    generator = np.random.default_rng(1)
    batches = len(photos) // BATCH
    steps = EPOCHS * batches
    for step in range(steps):
        if step % batches == 0:
            order = generator.permutation(len(photos))
        for group in optimizer.param_groups:
            rising = min(1.0, (step + 1) / WARMUP)
            group["lr"] = RATE * rising * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.from_numpy(order[step % batches * BATCH :][:BATCH])
        drawn = torch.from_numpy(generator.integers(0, len(rungs), RUNGS_PER_BATCH))
        loss = emd(learnt(train.photos[rows]), photos[rows]).mean()
        loss = loss + weight * emd(learnt(train.rungs[drawn]), rungs[drawn]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return learnt


def figures(head: Head, val: Split, examples: Tensor) -> dict[str, Any]:
    """Agreement with people on val photos; where rungs and examples stand among these."""
    scores = head.scores(val.photos)
    told = agreement(scores, val.table)
    rungs = head.scores(val.rungs).reshape(-1, RUNGS)
    for kind in sorted(WORTH):
        own = rungs[val.kinds == kind]
        places = above(own.ravel(), scores).reshape(-1, RUNGS)
        told[kind] = {
            "percentiles": places.mean(axis=0).round(0).tolist(),
            "steps": round(float((np.diff(own, axis=1) < 0).mean()), 4),
        }
    return told | {"examples": standing(head.scores(examples), scores)}


def agreement(scores: NDArray[np.float64], table: RatingTable) -> dict[str, Any]:
    """With people: over all photos, by subset, and of pairs of one scene."""
    told: dict[str, Any] = {"srcc": round(srcc(scores, table.mos), 4)}
    subsets = np.array(table.subsets)
    for subset in sorted(set(table.subsets)):
        rows = subsets == subset
        told[subset] = round(srcc(scores[rows], table.mos[rows]), 4)
    pairs = same_scene_pairs(table.mos, table.scenes, gap=PAIR_GAP)
    return told | {"same_scene_pairs": round(pair_accuracy(scores, pairs), 4)}


def standing(examples: NDArray[np.float64], scores: NDArray[np.float64]) -> dict[str, int]:
    """The percentile of each example among the photos."""
    places = above(examples, scores)
    return {name: round(float(place)) for name, place in zip(EXAMPLES, places, strict=True)}


def above(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the others that are lower, in percent."""
    return 100 * np.searchsorted(np.sort(others), scores) / len(others)


if __name__ == "__main__":
    main()
