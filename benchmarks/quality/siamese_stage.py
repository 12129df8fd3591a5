"""Does the Siamese stage help? Every objective from the same NIMA stage, seed by seed.

    python benchmarks/quality/siamese_stage.py --data BIQ2021 --start FILE.tflite

Runs `nima train` for each where it has not run to its end, and keeps the rating distributions that
the model files give; `measure_stages.py` turns them into figures. As always in `nima train`, a
second stage that does not better the SRCC on val is dropped: its row is the NIMA stage's.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.splits import splits_text
from siamese_nima.datasets.view_cache import ViewCache, build_view_cache
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import Floats
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.config import config_from
from siamese_nima.training.ladders import build_ladder_views
from siamese_nima.training.run import train

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
VIEW = "warp:224+centre:224@512"
DROPOUT = 0.2  # NIMA's .75 learns far slower here (docs/results.md)
CLEAN_PHOTOS = {"train": 300, "test": 50}  # those that people rated best, for ladders
EMD_WEIGHT = 30.0  # where none is named: the pairs' gradient is then a tenth of the EMD's
DOUBT = 1.0  # rating points, about the network's RMSE on val
_BATCH = 16

_EVERY = {
    "batch_size": 32,
    "warmup_steps": 100,
    "average_decay": 0.995,
    "patience": 0,
    "monitor": "val_srcc",
}
NIMA_STAGE = _EVERY | {"epochs": 5, "head_learning_rate": 1e-3, "backbone_learning_rate": 3e-4}
_SECOND = _EVERY | {"epochs": 2, "head_learning_rate": 3e-4, "backbone_learning_rate": 1e-4}


def _arm(**entries: Any) -> dict[str, Any]:
    """A second stage on pairs. An epoch with ladders has 1.4 times as many steps."""
    return _SECOND | {"kind": "siamese", "emd_weight": EMD_WEIGHT} | entries


ARMS = {
    "control": _SECOND,  # more of the NIMA stage
    "preference+emd": _arm(doubt=0.0),
    "preference": _arm(doubt=0.0, emd_weight=0.0),
    "contrastive": _arm(objective="contrastive", emd_weight=0.0),
    "contrastive+emd": _arm(objective="contrastive"),
    "margin": _arm(objective="margin", emd_weight=0.0),
    "margin+emd": _arm(objective="margin"),
    "preference+emd, ladders": _arm(doubt=0.0, sampler="scene"),
    "preference, doubt": _arm(emd_weight=0.0, doubt=DOUBT),
    "preference+emd, doubt": _arm(emd_weight=0.2, doubt=DOUBT),
    "preference+emd, doubt, ladders": _arm(emd_weight=0.2, doubt=DOUBT, sampler="scene"),
    "preference+emd, scene": _arm(doubt=0.0, sampler="scene"),
    "preference+emd, hard": _arm(doubt=0.0, sampler="hard"),
}


def main() -> None:
    """Train what is missing, and rate."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    test = read_biq2021(options.data, options.splits).split("test")
    best = np.sort(np.argsort(-test.mos, kind="stable")[: CLEAN_PHOTOS["test"]])
    view = ViewPolicy.parse(options.view)
    shown = {
        "test": build_view_cache(test, view, options.work / "cache"),
        "test_ladders": build_ladder_views(test.select(best), view, options.work / "cache"),
    }
    for seed in options.seeds:
        folder = options.runs / place_of(options) / f"seed{seed}"
        for name in ("nima", *options.arms):
            kept = folder / name / "distributions.npz"
            if kept.exists():
                continue
            print(kept.parent, flush=True)
            model = ModelFile(
                train(config_from(settings(options, folder, name, seed))).model,
                threads=usable_cores(),
            )
            partial = kept.with_name("partial.npz")
            np.savez(partial, **{part: rated(model, views) for part, views in shown.items()})  # type: ignore[arg-type]
            partial.replace(kept)


def place_of(options: argparse.Namespace) -> str:
    """Folder of the runs with the same layers free, photos and dropout."""
    place: str = options.depth
    if options.share < 1:
        place += f"@{options.share:g}"
    if options.dropout != DROPOUT:
        place += f"@dropout {options.dropout:g}"
    return place


def settings(options: argparse.Namespace, folder: Path, name: str, seed: int) -> dict[str, Any]:
    """What `nima train` would be given as a TOML file."""
    stage = NIMA_STAGE if name == "nima" else ARMS[name]
    if name == "nima":  # as many steps with fewer photos
        stage = stage | {"epochs": round(NIMA_STAGE["epochs"] / options.share)}
    source = f"biq2021:{options.data}"
    splits, photos = _without_test(options)
    start = options.start if name == "nima" else folder / "nima" / "checkpoint.safetensors"
    raw: dict[str, Any] = {
        "start": str(start),
        "out": str(folder / name),
        "cache": str(options.work / "cache"),
        "view": options.view,
        "seed": seed,
        "precision": "bf16-mixed",
        "device": "cpu",
        "data": {"source": source, "splits": str(splits), "variants": 2, "random_crop": False},
        "stage": [stage | {"freeze": options.depth, "dropout": options.dropout}],
    }
    if name.endswith("ladders"):
        clean = min(CLEAN_PHOTOS["train"], photos)
        ladders = {"ladders": clean, "ladders_per_photo": 2, "ladders_best": clean / photos}
        raw["data"] |= ladders
    return raw


def rated(model: ModelFile, views: ViewCache) -> Floats:
    """Rating distributions of views as a model file gives them."""
    pixels = views.pixels[0]
    return np.concatenate(
        [
            model.rate(np.array(pixels[start : start + _BATCH]))
            for start in range(0, len(pixels), _BATCH)
        ]
    )


def _without_test(options: argparse.Namespace) -> tuple[Path, int]:
    """A splits file with a share of the training photos, all val photos, and others kept out.

    Returns:
        The file, and how many training photos there are.
    """
    table = read_biq2021(options.data, options.splits)
    rows = np.flatnonzero(np.array(table.splits) == "train")
    count = round(options.share * len(rows))
    taken = set(rows[np.random.default_rng(0).permutation(len(rows))[:count]].tolist())
    kept = [name == "val" or row in taken for row, name in enumerate(table.splits)]
    named = zip(kept, table.splits, table.scenes, table.paths, strict=True)
    # Of a scene whose other photos are trained on, what is kept out counts as another.
    shown = [
        (split, scene) if one else ("kept out", f"kept out {path.name}")
        for one, split, scene, path in named
    ]
    splits, scenes = zip(*shown, strict=True)
    file: Path = options.work / f"splits-{options.share:g}.csv"
    file.write_text(splits_text(replace(table, splits=splits, scenes=scenes)))
    return file, count


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--start", type=Path, required=True, help="the .tflite file of MobileNet")
    parser.add_argument("--splits", type=Path, default=SPLITS)
    parser.add_argument("--view", default=VIEW)
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="caches")
    parser.add_argument("--runs", type=Path, default=Path("runs/stages"), help="results")
    parser.add_argument("--depth", default="blocks.4", help="the last frozen block")
    parser.add_argument("--dropout", type=float, default=DROPOUT)
    parser.add_argument("--share", type=float, default=1.0, help="of the training photos")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
