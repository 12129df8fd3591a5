"""Make version 3 of `quality` (or 2) from ImageNet weights and BIQ2021, in one command.

    python recipes/quality/train.py --data BIQ2021 --imagenet mobilenet_v1_..._extractor.tflite

Every step keeps what it made under --work; after an interruption the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from inputs import SCALE, LadderPlan, TrainingInputs
from numpy.typing import NDArray
from stages import distributions, history, log, train_one

from siamese_nima.card import ModelCard, Population
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.contamination import training_record
from siamese_nima.evaluation.metrics import measure_by_subset
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import mean
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.calibration import calibrate
from siamese_nima.training.config import StageConfig
from siamese_nima.training.ladder_views import LadderViews
from siamese_nima.training.ladders import DISTORTIONS, LEVELS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from machine import provenance

HERE = Path(__file__).parent

SCORE_BATCH = 16
STAGES = ("nima", "siamese", "last")
Floats = NDArray[np.float64]


def main() -> None:
    """Run all steps."""
    options = _options()
    config = tomllib.loads(options.config.read_text())
    sources = options.data, options.imagenet, options.work
    upper = inputs = TrainingInputs(*sources, config["freeze"], **shown(config.get("inputs", {})))
    if last := dict(config.get("last_stage", {})):
        inputs = TrainingInputs(*sources, last.pop("freeze"), **shown(last))
    nima, calibration = train(upper, inputs, config, options.work)

    card = describe(inputs, config, calibration)
    card = with_val_figures(nima, card, inputs, options.work)
    save_checkpoint(options.work / "quality.safetensors", nima, card)
    figures = test_figures(nima, card, inputs, options.work)
    metrics = {**card.metrics, "BIQ2021 test split by scene": summary(figures)}
    card = dataclasses.replace(card, metrics=metrics)
    options.out.mkdir(parents=True, exist_ok=True)
    export_onnx(nima, card, options.out / "quality.onnx", storage="float16")

    result = provenance() | {
        "command": "python recipes/quality/train.py --data BIQ2021 --imagenet "
        + f"{options.imagenet.name} --config {options.config.name}",
        "model_sha256": hashlib.sha256((options.out / "quality.onnx").read_bytes()).hexdigest(),
        "history": {name: history(options.work / name) for name in STAGES if name in config},
        "stages": {
            name: after_stage(inputs, options.work / name) for name in STAGES if name in config
        },
        "calibration": calibration,
        **figures,
    }
    options.result.write_text(json.dumps(result, indent=1) + "\n")
    log(summary(figures))


def train(
    upper: TrainingInputs, inputs: TrainingInputs, config: dict[str, Any], work: Path
) -> tuple[NIMA, dict[str, float]]:
    """All stages and the calibration; returns the whole network and what calibration did.

    Args:
        upper: Inputs of the upper layers, for the first two stages.
        inputs: Views, for the last; the same where there is none.
        config: The recipe's.
        work: Each stage has a folder here.
    """
    whole = upper.whole_network()
    free = upper.free_layers(whole, config["nima"]["seed"])
    for name in STAGES:
        if name not in config:
            continue
        if name == "last":
            upper, free = inputs, inputs.view_of(whole)
        entries = dict(config[name])
        seed = entries.pop("seed")
        ladders = entries.get("kind") == "siamese"
        train_one(upper, free, work / name, StageConfig(**entries), seed=seed, ladders=ladders)
    val = inputs.splits["val"]
    calibration, _ = calibrate(
        free.head,
        distributions(free, inputs.prepare, val.inputs[0]),
        val.table.means(SCALE),
        SCALE,
        spread_ratio=config["calibration"]["spread_ratio"],
    )
    return whole.eval(), calibration


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """What a table of the configuration says of views, variants and ladders."""
    shown = dict(settings)
    if "view" in shown:
        shown["view"] = ViewPolicy.parse(shown["view"])
    if "ladders" in shown:
        shown["ladders"] = LadderPlan(**shown["ladders"])
    return shown


def describe(
    inputs: TrainingInputs, config: dict[str, Any], calibration: dict[str, float]
) -> ModelCard:
    """The model card, as yet without population and metrics."""
    training = inputs.splits["train"].table
    return ModelCard(
        name=config["name"],
        version=config["version"],
        description="Technical quality of a photo as people rate it (sharpness, noise, exposure, "
        "compression), 1 to 10; higher is better.",
        licence="MIT, for what is ours in the weights; they began as Apache-2.0 ImageNet weights "
        "and were trained on BIQ2021, whose repository states no licence (see credits).",
        backbone=inputs.start.backbone,
        backbone_options=inputs.start.options.to_dict(),
        scale=SCALE,
        view=inputs.view,
        normalisation=inputs.start.normalisation,
        training={
            "recipe": "recipes/quality",
            "data": "BIQ2021, train split by scene (recipes/quality/splits.csv), and distortion "
            f"ladders of {len(set(inputs.splits['train'].ladder_rows.tolist()))} of its photos",
            **training_record(training),
            "labels": "mean opinion scores 0..1 mapped to 1..10, maximum-entropy distributions",
            "initial_weights": f"ImageNet, {inputs.start.source}",
            "stages": {name: config[name] for name in STAGES if name in config},
            "calibration": calibration,
        },
        credits=(
            inputs.start.credit,
            "BIQ2021: Ahmed and Asif, BIQ2021: a large-scale blind image quality assessment "
            "database, Journal of Electronic Imaging 31(5), 053010, 2022; GitHub "
            "nisarahmedrana/BIQ2021. The repository states no licence; of its 12,000 photos 8,000 "
            "are from Unsplash and 4,000 the authors' own. No photo is part of this model file.",
            "Method: Talebi and Milanfar, NIMA: Neural Image Assessment, 2018, arXiv:1709.05424.",
        ),
        limits=(
            "Judges technical quality, not beauty, subject or moment.",
            "Learnt from 512-pixel photos on a laboratory screen: flaws that only show at a larger "
            "size are not seen.",
            "Ratings are by 30 observers from one laboratory; within a subset of alike photos "
            "(indoor test shots, ss02) agreement is weak.",
            "Screenshots, drawings, documents and generated pictures were not in the data.",
            "BIQ2021 publishes means alone, so the shape and the spread of the distribution follow "
            "from the assumption of maximum entropy; they do not tell how much people disagree.",
            "Compare photos by score or percentile; 7.0 is no grade that anybody gave.",
        ),
    )


def with_val_figures(nima: NIMA, card: ModelCard, inputs: TrainingInputs, work: Path) -> ModelCard:
    """The card with the val photos' scores as reference population, and the error of pairs.

    Pairs are of photos of one subset, as people compare photos of one kind.
    """
    part = inputs.splits["val"]
    scores = score(nima, card, inputs.views("val").pixels[0], work)
    error = measure_pair_error(
        scores, part.table.means(SCALE), part.table.scenes, groups=part.table.subsets
    )
    return dataclasses.replace(
        card,
        population=Population(
            "BIQ2021 val photos (not trained on)",
            tuple(float(s) for s in np.round(np.sort(scores), 3)),
        ),
        metrics={"pair_error": error.to_json()},
    )


def test_figures(nima: NIMA, card: ModelCard, inputs: TrainingInputs, work: Path) -> dict[str, Any]:
    """The figures on the test split and on ladders of its best photos, from the model file."""
    part = inputs.splits["test"]
    table = part.table
    scores = score(nima, card, inputs.views("test").pixels[0], work)
    # Scores at their place on the labels' scale 0..1, for the RMSE and the gap of .1.
    placed = (scores - SCALE.low) / (SCALE.high - SCALE.low)
    agreement = measure_by_subset(placed, table.mos, table.scenes, table.subsets)
    rungs = score(nima, card, part.ladders.views.pixels[0], work)
    return {
        "test": {name: figures.to_json() for name, figures in agreement.items()},
        "spread_ratio": round(float(placed.std() / table.mos.std()), 4),
        "ladders": ladder_figures(rungs, part.ladders),
    }


def after_stage(inputs: TrainingInputs, folder: Path) -> dict[str, Any]:
    """How the network agreed with people when a stage had ended, before calibration and export."""
    found = np.load(folder / "distributions.npz")
    figures: dict[str, Any] = {}
    for name in ("val", "test"):
        table = inputs.splits[name].table
        placed = (mean(found[name], SCALE) - SCALE.low) / (SCALE.high - SCALE.low)
        agreement = measure_by_subset(placed, table.mos, table.scenes, table.subsets)
        figures[name] = {
            **{part: measured.to_json()["srcc"] for part, measured in agreement.items()},
            "pair_accuracy": agreement["all"].to_json()["pair_accuracy"],
            "spread_ratio": round(float(placed.std() / table.mos.std()), 4),
        }
    rungs = mean(found["test_ladders"], SCALE)
    return figures | {"ladders": ladder_figures(rungs, inputs.splits["test"].ladders)}


def ladder_figures(scores: Floats, ladders: LadderViews) -> dict[str, Any]:
    """Shares of ladder steps and of pairs of rungs in order; `scores` has one per rung."""
    rungs = scores.reshape(-1, LEVELS + 1)
    steps = np.diff(rungs, axis=1) < 0
    first, second = np.triu_indices(LEVELS + 1, 1)
    kinds = np.asarray(ladders.distortions)
    return {
        "photos": len(set(ladders.photos.tolist())),
        "steps": round(float(steps.mean()), 4),
        "pairs": round(float((rungs[:, first] > rungs[:, second]).mean()), 4),
        "steps_by_distortion": {
            name: round(float(steps[kinds == name].mean()), 4) for name in DISTORTIONS
        },
    }


def score(nima: NIMA, card: ModelCard, pixels: NDArray[np.uint8], work: Path) -> Floats:
    """Mean scores of views (N, V, H, W, 3) as the exported model file gives them."""
    path = work / "candidate.onnx"
    export_onnx(nima, card, path, storage="float16")
    model = ModelFile(path, threads=usable_cores())
    rated = [
        model.rate(np.array(pixels[start : start + SCORE_BATCH]))
        for start in range(0, len(pixels), SCORE_BATCH)
    ]
    return mean(np.concatenate(rated), card.scale)


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """What the card and the log hold of the figures."""
    kept = ("photos", "srcc", "plcc", "rmse", "pairs", "pair_accuracy")
    return {
        **{name: {key: part[key] for key in kept} for name, part in figures["test"].items()},
        "spread_ratio": figures["spread_ratio"],
        "ladders": figures["ladders"],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="see ImageNetStart")
    parser.add_argument("--config", type=Path, default=HERE / "efficientnet.toml")
    parser.add_argument("--result", type=Path, help="JSON file; named like the configuration")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="caches and logs")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="for the model file")
    options = parser.parse_args()
    if options.result is None:
        options.result = HERE / f"{options.config.stem}.json"
    return options


if __name__ == "__main__":
    main()
