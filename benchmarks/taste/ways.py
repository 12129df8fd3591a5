"""Ways to learn a taste from 200 answers, compared.

    python benchmarks/taste/ways.py --biq2021 BIQ2021 --appeal sophoappeal --work WORK \
        --out benchmarks/taste/ways.json

The simulated people, photos and random pairs are those of `answers.py`. The ways:

- `tilt`: what `nima learn` does, with averages of all depths;
- `tilt, last features`: the same from what the head reads alone;
- `strengths, ridge`: the strengths of the photos asked about (Bradley-Terry on the model's scores),
  then ridge regression of strength less score on the same averages, weighed by how sure they are;
- `head`: the Siamese stage (preference objective beside an EMD to the model's own distributions) on
  the head alone, all answers at once;
- `last block`: the same on the last block and the head, from cached activations.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answers import TASTES, Person, answered, draw_person
from numpy.typing import NDArray
from picked_photos import SPLITS, read_photos
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance
from siamese_nima.datasets.own_table import read_table_csv
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.view_cache import build_view_cache
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.onnx_weights import read_onnx_weights
from siamese_nima.ratings import Floats
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.taste.features import FeatureExtractor
from siamese_nima.taste.preference import PhotoFeatures, learn_preference
from siamese_nima.taste.strengths import Comparisons, TastePrior, estimate_strengths
from siamese_nima.training.config import StageConfig
from siamese_nima.training.objectives import stage_loss
from siamese_nima.training.pairs import Pairs
from siamese_nima.training.trunk import ActivationScaling, build_trunk_cache, split_backbone

ANSWERS = 200
LAST_FROZEN = "blocks.4.0"
EMD_WEIGHTS = (1.0, 10.0)
HEAD_STEPS, BLOCK_EPOCHS, BLOCK_PAIRS = 100, 4, 25
HEAD_RATE, BLOCK_RATE = 1e-3, 1e-4
RIDGE = (0.3, 3.0, 30.0)  # strength of the ridge, in shares of the mean square norm
_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The network that the Siamese stage trains on, and its cached inputs by data set."""

    nima: NIMA
    grades: Tensor
    activations: dict[str, NDArray[np.uint8]]


def main() -> None:
    """Learn in every way and write the JSON; what is there already is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--biq2021", type=Path, required=True)
    parser.add_argument("--appeal", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = FeatureExtractor(find_model("quality"))
    folders = {"biq2021": options.biq2021, "appeal": options.appeal}
    sets = {name: read_photos(folder, model, options.work) for name, folder in folders.items()}
    network = read_network(folders, options.work)
    result: dict[str, Any] = {**provenance(), "model": model.model_id, "answers": ANSWERS}
    result["tastes"] = {name: [] for name in TASTES}
    if options.out.exists():
        result["tastes"] |= json.loads(options.out.read_text())["tastes"]
    for seed in range(options.seeds):
        for name, runs in result["tastes"].items():
            if len(runs) > seed:
                continue
            which, attribute, weight = TASTES[name]
            person = draw_person(sets[which], attribute, weight, seed)
            runs.append({"seed": seed, **every_way(person, network, which, seed)})
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            print(name, seed, json.dumps(runs[-1]["new photos"]), flush=True)


def every_way(person: Person, network: Network, which: str, seed: int) -> dict[str, Any]:
    """Agreement on new photos and seconds of processor time, by way."""
    rated = person.photos.rated
    scores = rated.scores()
    comparisons = next(c for n, c, _ in answered(person, scores, "random", seed) if n == ANSWERS)
    last = replace(rated, features=rated.features[:, -rated.levels[-1] :], levels=rated.levels[-1:])
    ways: dict[str, Callable[[], Floats]] = {
        "tilt": lambda: tilted(rated, comparisons),
        "tilt, last features": lambda: tilted(last, comparisons),
    }
    for share in RIDGE:
        ways[f"strengths, ridge {share:g}"] = lambda share=share: ridge(rated, comparisons, share)
    for weight in EMD_WEIGHTS:
        ways[f"head, EMD {weight:g}"] = lambda weight=weight: head(
            network.nima, rated, comparisons, weight
        )
        ways[f"last block, EMD {weight:g}"] = lambda weight=weight: last_block(
            network, which, rated, comparisons, weight
        )
    found: dict[str, Any] = {"new photos": {"general": person.agreement(scores)["new photos"]}}
    found["seconds"] = {}
    for name, way in ways.items():
        started = time.process_time()
        new = way()
        found["seconds"][name] = round(time.process_time() - started, 2)
        found["new photos"][name] = person.agreement(new)["new photos"]
    return found


def tilted(rated: PhotoFeatures, comparisons: Comparisons) -> Floats:
    """Scores of all photos, as `nima learn` has them."""
    return rated.scores(learn_preference(rated, comparisons).of(rated.features))


def ridge(rated: PhotoFeatures, comparisons: Comparisons, share: float) -> Floats:
    """Scores from strengths first, then a regression on them."""
    scores = rated.scores()
    strengths = estimate_strengths(scores, comparisons, prior=TastePrior.on(rated.scale))
    asked = strengths.asked
    features = rated.features - rated.features[asked].mean(axis=0)
    ends = np.cumsum((0, *rated.levels))
    norms = np.sqrt(np.add.reduceat((features[asked] ** 2).mean(axis=0), ends[:-1]))
    features = features / np.repeat(norms, rated.levels) / len(rated.levels) ** 0.5
    # What an unasked photo would have: answers are worth what they took off the prior's variance.
    worth = strengths.prior.spread**2 / strengths.variances[asked] - 1
    kernel = features[asked] @ features[asked].T
    dual = np.linalg.solve(
        kernel + share * np.diag(1 / np.maximum(worth, 1e-6)), (strengths.values - scores)[asked]
    )
    return np.asarray(scores + features @ (features[asked].T @ dual))


def head(nima: NIMA, rated: PhotoFeatures, comparisons: Comparisons, weight: float) -> Floats:
    """Scores after the Siamese stage on the head alone."""
    torch.manual_seed(0)
    layer = copy.deepcopy(nima.head)
    features = torch.tensor(rated.features[:, -rated.levels[-1] :], dtype=torch.float32)
    before = torch.tensor(rated.tilted(), dtype=torch.float32)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=HEAD_RATE)
    photos = asked_photos(comparisons)
    for _ in range(HEAD_STEPS):
        predicted = layer(features[photos]).softmax(-1)
        step(optimiser, predicted, before[photos], comparisons, photos, rated, weight)
    with torch.inference_mode():
        scores: Floats = layer(features).softmax(-1).double().numpy() @ rated.scale.grades
    return scores


def last_block(
    network: Network, which: str, rated: PhotoFeatures, comparisons: Comparisons, weight: float
) -> Floats:
    """Scores after the Siamese stage on the last block and the head."""
    torch.manual_seed(0)
    whole = copy.deepcopy(network.nima)
    upper = NIMA(
        split_backbone(whole.backbone, LAST_FROZEN).upper,
        grades=rated.scale.size,
        group_sizes=whole.group_sizes,
    )
    upper.head = whole.head
    upper.eval()  # batch norms keep their statistics: the batches are small
    prepare: nn.Module = ActivationScaling()
    inputs = network.activations[which]
    before = torch.tensor(rated.tilted(), dtype=torch.float32)
    optimiser = torch.optim.AdamW(
        [
            {"params": upper.backbone.parameters(), "lr": BLOCK_RATE},
            {"params": upper.head.parameters(), "lr": HEAD_RATE},
        ]
    )
    draw = np.random.default_rng(0)
    for _ in range(BLOCK_EPOCHS):
        for rows in np.array_split(
            draw.permutation(len(comparisons)), len(comparisons) // BLOCK_PAIRS
        ):
            batch = comparisons.select(rows)
            photos = asked_photos(batch)
            predicted = upper(prepare(torch.from_numpy(inputs[photos])))
            step(optimiser, predicted, before[photos], batch, photos, rated, weight)
    found = []
    with torch.inference_mode():
        for start in range(0, len(inputs), _BATCH):
            found.append(upper(prepare(torch.from_numpy(inputs[start : start + _BATCH]))).numpy())
    scores: Floats = np.concatenate(found).astype(np.float64) @ rated.scale.grades
    return scores


def step(
    optimiser: torch.optim.Optimizer,
    predicted: Tensor,
    before: Tensor,
    comparisons: Comparisons,
    photos: NDArray[np.intp],
    rated: PhotoFeatures,
    weight: float,
) -> None:
    """One step of the Siamese stage on answers."""
    first, second = (
        torch.from_numpy(np.searchsorted(photos, side))
        for side in (comparisons.left, comparisons.right)
    )
    known = torch.zeros(len(comparisons), dtype=torch.bool)
    preference = torch.tensor(comparisons.outcome, dtype=torch.float32)
    pairs = Pairs(first, second, preference, torch.ones(len(comparisons)), known, known)
    grades = torch.tensor(rated.scale.grades, dtype=torch.float32)
    objective = StageConfig(kind="siamese", emd_weight=weight)
    optimiser.zero_grad()
    stage_loss(objective, predicted, before, grades, pairs).total.backward()
    optimiser.step()


def asked_photos(comparisons: Comparisons) -> NDArray[np.intp]:
    """Numbers of the photos that answers are about, ascending."""
    return np.unique(np.concatenate([comparisons.left, comparisons.right]))


def read_network(folders: dict[str, Path], work: Path) -> Network:
    """The network of `quality`, and what its last block reads of all photos."""
    nima, card = read_onnx_weights(find_model("quality"))
    trunk = split_backbone(nima.backbone, LAST_FROZEN).trunk
    tables = {
        "biq2021": read_biq2021(folders["biq2021"], SPLITS).split("test"),
        "appeal": read_table_csv(folders["appeal"] / "votes.csv"),
    }
    activations = {}
    for name, table in tables.items():
        views = build_view_cache(table, card.view, work / "cache", threads=1)
        cached = build_trunk_cache(views, trunk, card.normalisation, work / "cache")
        activations[name] = np.asarray(cached[0])
    return Network(nima, torch.tensor(card.scale.grades), activations)


if __name__ == "__main__":
    main()
