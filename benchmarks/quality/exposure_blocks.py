"""What the blocks of `quality` learn of exposure, in shares from version 4 to all they learnt.

    python benchmarks/quality/exposure_blocks.py --data BIQ2021 --folder runs/exposure \\
        --out benchmarks/quality/exposure_blocks.json

All from the fourth stage on learns, with the head: from training photos and what version 4 says of
them itself, so that nothing is unlearnt (Li and Hoiem, "Learning without forgetting", 2016), and
from ladders of 900 of them, whose rungs of exposure are rated by a share of what it says of their
photo. What was learnt is mixed with the weights before (Wortsman et al., "Robust fine-tuning of
zero-shot models", 2022), and each mixture is judged on val: by people's ratings, and on ladders of
all distortions of 30 photos of the better half.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exposure_head import EXAMPLES, MODEL, above, agreement, standing
from numpy.typing import NDArray
from torch import Tensor, nn

from siamese_nima.card import ModelCard
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import build_view_cache
from siamese_nima.networks.freezing import freeze
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.photos.read import read_photo
from siamese_nima.ratings import distribution_from_mos, mean
from siamese_nima.training.batches import Photos, load_batches
from siamese_nima.training.config import StageConfig
from siamese_nima.training.data import clean_rows
from siamese_nima.training.fit import MovingAverage, make_trainer, quiet_lightning
from siamese_nima.training.ladders import DISTORTIONS, RUNGS, build_ladder_views
from siamese_nima.training.stage import Stage
from siamese_nima.training.start import read_start
from siamese_nima.training.trunk import ActivationScaling, build_trunk_cache, split_backbone

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

ROOT = Path(__file__).parents[2]
FREEZE = "backbone.blocks.2"
LADDERS, VARIANTS, STEPS, SEED = 900, 2, 240, 1
# Ladders of JPEG and noise are ordered, not rated.
OVER, UNDER = "overexposure", "underexposure"
TURNS = (OVER, UNDER, OVER, UNDER, OVER, "jpeg", OVER, UNDER, OVER, UNDER, OVER, "noise")
WORTH = {OVER: (1, 0.85, 0.65, 0.42, 0.22, 0.1), UNDER: (1, 0.95, 0.87, 0.78, 0.69, 0.61)}
PLAN = StageConfig(
    kind="siamese",
    freeze=FREEZE,
    batch_size=32,
    head_learning_rate=3e-4,
    backbone_learning_rate=2e-4,
    warmup_steps=30,
    dropout=0.0,
    emd_weight=1.0,
    weight=0.1,
    doubt=1.0,
)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
LADDER_PHOTOS = 30
BATCH = 32

Activations = NDArray[np.float16]


def main() -> None:
    """Learn, or find what was learnt; then judge every mixture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "folder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    about = provenance()
    cache = options.folder / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    start = read_start(str(MODEL), view=None, scale=None, seed=0)
    card, nima = start.card, start.nima.to(memory_format=torch.channels_last)
    freeze(nima, FREEZE)
    trunk, upper = split_backbone(nima.backbone, FREEZE)
    network = NIMA(upper, grades=card.scale.size, group_sizes=card.view.group_sizes)
    network.head = nima.head
    frozen = partial(build_trunk_cache, trunk=trunk, normalisation=card.normalisation, folder=cache)
    table = read_biq2021(options.data, ROOT / "recipes" / "quality" / "splits.csv")

    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept = options.folder / "learnt.pt"
    if not kept.exists():
        learn(network, taught(network, table.split("train"), card, frozen, cache))
        torch.save(network.state_dict(), kept)
    after = torch.load(kept, weights_only=True)

    val = table.split("val")
    photos = build_view_cache(val, card.view, cache)
    ladders = build_ladder_views(val.select(better_half(val)), card.view, cache)
    seen = [frozen(views)[0] for views in (photos, ladders)]
    examples = [read_photo(ROOT / "examples" / "photos" / f"{name}.jpg") for name in EXAMPLES]
    pixels = torch.from_numpy(np.stack([card.view.views(photo) for photo in examples]))
    with torch.inference_mode():
        views = PixelNormalisation(card.normalisation)(pixels)
        packed = trunk(views.flatten(0, 1)).unflatten(0, views.shape[:2])
    seen.append(packed.permute(0, 1, 3, 4, 2).half().numpy())

    told = []
    for share in SHARES:
        mix(network, before, after, share)
        scores, rungs, shown = (mean(rated(network, inputs), card.scale) for inputs in seen)
        told.append(
            {"share": share, "spread": round(float(scores.std() / val.means(card.scale).std()), 3)}
            | agreement(scores, val)
            | on_ladders(scores, rungs.reshape(-1, RUNGS))
            | {"examples": standing(shown, scores)}
        )
    plan = {"worth": WORTH, "ladders": LADDERS, "steps": STEPS, "batch_size": PLAN.batch_size}
    learnt = {"learnt_sha256": hashlib.sha256(kept.read_bytes()).hexdigest()}
    report(about | plan | learnt | {"ladder_photos": LADDER_PHOTOS, "mixtures": told}, options.out)


def taught(network: NIMA, table: RatingTable, card: ModelCard, frozen: Any, cache: Path) -> Photos:
    """Training photos as the network rates them now, and ladders whose rungs are rated by that."""
    views = build_view_cache(table, card.view, cache, variants=VARIANTS, random_crop=True)
    inputs, scale = frozen(views), card.scale
    own = rated(network, inputs[0])
    rows = clean_rows(table.mos, 0.5, LADDERS, seed=0)
    ladders = build_ladder_views(table.select(rows), card.view, cache, per_photo=1, turns=TURNS)
    photos = Photos(
        inputs,
        own,
        mean(own, scale),
        scale,
        standard_errors=table.standard_errors(scale),
        scenes=table.scenes,
    ).with_ladders(frozen(ladders), rows)

    unrated = (1, *(np.nan,) * (RUNGS - 1))
    kinds = (TURNS[place % len(TURNS)] for place in range(len(rows)))
    shares = np.array([WORTH.get(kind, unrated) for kind in kinds])
    means = scale.low + shares * (mean(own, scale)[rows, None] - scale.low)
    worth = np.where(np.arange(RUNGS) > 0, means, np.nan).ravel()
    known = len(table) + np.flatnonzero(np.isfinite(worth))
    told = distribution_from_mos(worth[np.isfinite(worth)], scale)
    photos.labels.means[known] = torch.from_numpy(told @ scale.grades).float()
    photos.labels.distributions[known] = torch.from_numpy(told).float()
    return photos


def learn(network: NIMA, photos: Photos) -> None:
    """Train all that is not frozen for some steps, of which every batch has other photos."""
    stage = Stage(network, ActivationScaling(), photos, PLAN, seed=SEED)
    stage.total_steps = min(STEPS, len(stage.draws))
    stage.config = PLAN.fitted_to(stage.total_steps)
    averages = MovingAverage(stage.config.average_decay or 0.0)
    with quiet_lightning():
        make_trainer(
            [averages],
            max_epochs=1,
            limit_train_batches=stage.total_steps,
            accelerator="cpu",
            enable_checkpointing=False,
        ).fit(stage, load_batches(photos, stage.draws, stage.config))
    network.eval()


def better_half(table: RatingTable) -> NDArray[np.intp]:
    """Photos that ladders are made of, spread over the better half."""
    half = np.sort(np.argsort(-table.mos, kind="stable")[: len(table) // 2])
    return half[:: len(half) // LADDER_PHOTOS][:LADDER_PHOTOS]


def mix(
    network: nn.Module, before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float
) -> None:
    """Give the network so much of what was learnt."""
    network.load_state_dict(
        {
            name: torch.lerp(old, after[name], share) if old.is_floating_point() else old
            for name, old in before.items()
        }
    )


def rated(network: nn.Module, inputs: Activations) -> NDArray[np.float64]:
    """Rating distributions (N, K) from what the frozen blocks gave."""
    prepare = ActivationScaling()
    network.eval()
    with torch.inference_mode():
        parts = [
            network(prepare(torch.from_numpy(np.array(inputs[start : start + BATCH]))))
            for start in range(0, len(inputs), BATCH)
        ]
    return torch.cat(parts).double().numpy()


def on_ladders(scores: NDArray[np.float64], rungs: NDArray[np.float64]) -> dict[str, Any]:
    """Mean percentiles of the rungs among all photos, and the share of steps that cost score."""
    down = np.diff(rungs, axis=1) < 0
    told: dict[str, Any] = {"steps": round(float(down.mean()), 4)}
    for place, kind in enumerate(DISTORTIONS):  # which take turns
        own = rungs[place :: len(DISTORTIONS)]
        places = above(own.ravel(), scores).reshape(own.shape)
        told[kind] = {
            "percentiles": places.mean(axis=0).round().tolist(),
            "steps": round(float(down[place :: len(DISTORTIONS)].mean()), 4),
        }
    return told


if __name__ == "__main__":
    main()
