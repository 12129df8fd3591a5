"""Make the embedded model `quality` from ImageNet weights and BIQ2021, in one command.

    python recipes/quality/train.py --data BIQ2021 --imagenet mobilenet_v1_..._extractor.tflite

Every step keeps what it made under --work; after an interruption the same command goes on.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import json
import os
import platform
import sys
import time
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from siamese_nima.card import ModelCard, Population
from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import ViewCache, build_view_cache
from siamese_nima.evaluation.metrics import measure_by_subset, srcc
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.networks.quantised_mobilenet import (
    KERAS_OPTIONS,
    MobileNetName,
    QuantisedMobileNet,
    build_dequantised,
    read_quantised_mobilenet,
)
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale, mean
from siamese_nima.scoring.model_file import ModelFile
from siamese_nima.training.nima_stage import NimaStageConfig, train_nima_stage
from siamese_nima.training.photo_loader import RatedViews, plain_loader
from siamese_nima.training.trunk import (
    ActivationScaling,
    build_trunk_cache,
    split_backbone,
)

HERE = Path(__file__).parent
BACKBONE: MobileNetName = "mobilenetv1_100"
SCORE_BATCH = 16


def main() -> None:
    """Run all steps."""
    options = _options()
    config = tomllib.loads((HERE / "config.toml").read_text())
    started = time.monotonic()
    table = read_biq2021(options.data, HERE / "splits.csv")
    table.require_photos()
    log("photos", {name: len(table.split(name)) for name in ("train", "val", "test")})

    weights = read_quantised_mobilenet(options.imagenet)
    nima, history, blends = train(table, weights, config, options.work)
    seconds = time.monotonic() - started

    view = choose_view(nima, table, weights, config, options.work)
    card = describe(table, weights, config, view["chosen"])
    card = add_population(nima, card, table, options.work)
    save_checkpoint(options.work / "quality.safetensors", nima, card)
    figures = test_once(nima, card, table, options.work)
    card = dataclasses.replace(card, metrics={"BIQ2021 test split by scene": summary(figures)})
    options.out.mkdir(parents=True, exist_ok=True)
    export_onnx(nima, card, options.out / "quality.onnx", half_storage=True)

    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python recipes/quality/train.py --data BIQ2021 --imagenet "
        + options.imagenet.name,
        "machine": machine(),
        "seconds_of_last_call": round(seconds),
        "model_sha256": hashlib.sha256((options.out / "quality.onnx").read_bytes()).hexdigest(),
        "view_on_val": view,
        "history": history,
        "blends": blends,
        "test": figures,
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    log("test", summary(figures))


def train(
    table: RatingTable, weights: QuantisedMobileNet, config: dict[str, Any], work: Path
) -> tuple[NIMA, list[dict[str, Any]], list[dict[str, Any]]]:
    """All stages; returns the network, the figures of each epoch, and those of each blend."""
    scale = RatingScale(*config["scale"])
    policy = ViewPolicy.parse(config["view"])
    parts = {name: table.split(name) for name in ("train", "val")}
    views = {
        "train": cached(parts["train"], policy, work, variants=config["variants"]),
        "val": cached(parts["val"], policy, work),
    }
    every = max(1, len(parts["train"]) // config["calibration_photos"])
    nima = initial_network(
        weights, views["train"].pixels[0, ::every, 0], scale, policy, work / "initial.safetensors"
    )
    backbone = nima.backbone

    history: list[dict[str, Any]] = []
    blends: list[dict[str, Any]] = []
    for number, settings in enumerate(config["stage"], start=1):
        freeze = settings.get("freeze")
        stage = NimaStageConfig(
            **{name: settings[name] for name in settings if name not in ("freeze", "cache_trunk")}
        )
        log(f"stage {number}", {"freeze": freeze, **dataclasses.asdict(stage)})
        inputs = {name: view.pixels for name, view in views.items()}
        network: NIMA = nima
        prepare: nn.Module = PixelNormalisation(weights.normalisation)
        for parameter in nima.parameters():
            parameter.requires_grad_(True)
        if freeze:
            split = split_backbone(backbone, freeze)
            for parameter in split.trunk.parameters():
                parameter.requires_grad_(False)
        if freeze and settings["cache_trunk"]:
            inputs = {
                name: build_trunk_cache(
                    view,
                    split.trunk,
                    weights.normalisation,
                    work / "cache",
                    report=lambda done, n: log("trunk", f"{done}/{n}"),
                )
                for name, view in views.items()
            }
            network = NIMA(split.upper, grades=scale.size, group_sizes=policy.group_sizes)
            network.head = nima.head
            prepare = ActivationScaling()
        rated = {
            name: RatedViews(
                inputs[name], parts[name].distributions(scale), parts[name].means(scale)
            )
            for name in parts
        }
        before = copy.deepcopy(nima.state_dict())
        figures = train_nima_stage(
            network,
            prepare,
            rated["train"],
            rated["val"],
            work / f"stage{number}",
            scale=scale,
            config=stage,
            report=lambda epoch: log("epoch", epoch),
        )
        if number > 1:
            subsets = parts["val"].subsets
            blend = choose_blend(nima, before, network, prepare, rated["val"], subsets, config)
            log(f"blend {number}", blend)
            blends.append({"stage": number, **blend})
        history += [{"stage": number, **epoch} for epoch in figures]
    return nima.eval(), history, blends


def choose_blend(
    nima: NIMA,
    before: dict[str, torch.Tensor],
    network: NIMA,
    prepare: nn.Module,
    val: RatedViews,
    subsets: Sequence[str],
    config: dict[str, Any],
) -> dict[str, Any]:
    """Leave `nima` with the blend of its weights and those before the stage that val likes best.

    By the mean SRCC over the subsets: an SRCC over all of them together mostly tells the subsets
    apart, which is of no use to somebody who ranks photos of one kind.
    """
    after = copy.deepcopy(nima.state_dict())

    def load(share: float) -> None:
        nima.load_state_dict(
            {
                name: torch.lerp(before[name], value, share)
                for name, value in after.items()
                if value.is_floating_point()
            }
            | {name: value for name, value in after.items() if not value.is_floating_point()}
        )

    grades = torch.tensor(RatingScale(*config["scale"]).grades, dtype=torch.float32)
    names = np.asarray(subsets)
    tried: dict[float, dict[str, float]] = {}
    for share in config["blends"]:
        load(share)
        scores = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for inputs, _ in plain_loader(val, SCORE_BATCH):
                scores.append(network(prepare(inputs)) @ grades)
        means = torch.cat(scores).float().numpy()
        within = {
            str(name): srcc(means[names == name], val.means[names == name])
            for name in np.unique(names)
        }
        tried[share] = {"all": srcc(means, val.means), **within}
    chosen = max(tried, key=lambda share: sum(v for k, v in tried[share].items() if k != "all"))
    load(chosen)
    return {
        "chosen": chosen,
        "val_srcc": {
            str(share): {name: round(value, 4) for name, value in figures.items()}
            for share, figures in tried.items()
        },
    }


def initial_network(
    weights: QuantisedMobileNet,
    photos: NDArray[np.uint8],
    scale: RatingScale,
    policy: ViewPolicy,
    kept: Path,
) -> NIMA:
    """The dequantised backbone with a head that knows nothing.

    It is kept: measured batch-norm statistics could differ in the last bit another time, and the
    cache of trunk activations would be made anew.
    """
    torch.manual_seed(0)
    if kept.exists():
        backbone = build_dequantised(BACKBONE, weights)
        backbone.load_state_dict(load_file(kept))
    else:
        backbone = build_dequantised(BACKBONE, weights, np.array(photos))
        save_file(backbone.state_dict(), kept)
    nima = NIMA(backbone, grades=scale.size, group_sizes=policy.group_sizes)
    nn.init.normal_(nima.head.weight, std=0.01)
    nn.init.zeros_(nima.head.bias)
    return nima.to(memory_format=torch.channels_last)


def cached(table: RatingTable, policy: ViewPolicy, work: Path, *, variants: int = 1) -> ViewCache:
    """The views of a table, cut now or earlier."""
    return build_view_cache(
        table,
        policy,
        work / "cache",
        variants=variants,
        report=lambda done, n: log("views", f"{done}/{n}") if done % 1024 == 0 else None,
    )


def describe(
    table: RatingTable,
    weights: QuantisedMobileNet,
    config: dict[str, Any],
    view: str,
) -> ModelCard:
    """The model card, as yet without population and metrics."""
    training = table.split("train")
    return ModelCard(
        name=config["name"],
        version=config["version"],
        description="Technical quality of a photo as people rate it (sharpness, noise, exposure, "
        "compression), 1 to 10; higher is better.",
        licence="MIT, for what is ours in the weights; they began as Apache-2.0 ImageNet weights "
        "and were trained on BIQ2021, whose repository states no licence (see credits).",
        backbone=BACKBONE,
        backbone_options=KERAS_OPTIONS.to_dict(),
        scale=RatingScale(*config["scale"]),
        view=ViewPolicy.parse(view),
        normalisation=weights.normalisation,
        training={
            "recipe": "recipes/quality",
            "data": "BIQ2021, train split by scene (recipes/quality/splits.csv)",
            "photos": len(training),
            "fingerprint": training.fingerprint(),
            "labels": "mean opinion scores 0..1 mapped to 1..10, maximum-entropy distributions",
            "initial_weights": "ImageNet, google-coral/test_data "
            "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
            "stages": config["stage"],
        },
        credits=(
            "MobileNet v1 ImageNet weights: google-coral/test_data, Apache-2.0.",
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


def choose_view(
    nima: NIMA,
    table: RatingTable,
    weights: QuantisedMobileNet,
    config: dict[str, Any],
    work: Path,
) -> dict[str, Any]:
    """The view policy with the best val SRCC, of those within the budget."""
    val = table.split("val")
    tried: dict[str, float] = {}
    for text in config["view_candidates"]:
        policy = ViewPolicy.parse(text)
        network = NIMA(nima.backbone, grades=nima.head.out_features, group_sizes=policy.group_sizes)
        network.head = nima.head
        bare = ModelCard(
            name="candidate",
            backbone=BACKBONE,
            backbone_options=KERAS_OPTIONS.to_dict(),
            view=policy,
            normalisation=weights.normalisation,
        )
        scores = score(network, bare, cached(val, policy, work), work)
        tried[text] = srcc(scores, val.mos)
        log("view", {text: round(tried[text], 4)})
    affordable = [
        text for text in tried if sum(ViewPolicy.parse(text).group_sizes) <= config["max_views"]
    ]
    return {"chosen": max(affordable, key=lambda text: tried[text]), "val_srcc": tried}


def add_population(nima: NIMA, card: ModelCard, table: RatingTable, work: Path) -> ModelCard:
    """The card with the val photos' scores as reference population."""
    val = table.split("val")
    scores = np.sort(score(nima, card, cached(val, card.view, work), work))
    population = Population(
        "BIQ2021 val photos (not trained on)", tuple(float(s) for s in np.round(scores, 3))
    )
    return dataclasses.replace(card, population=population)


def test_once(nima: NIMA, card: ModelCard, table: RatingTable, work: Path) -> dict[str, Any]:
    """The figures on the test split, from the model file itself."""
    test = table.split("test")
    scores = score(nima, card, cached(test, card.view, work), work)
    with (work / "test_scores.csv").open("w") as file:
        file.write("file_name,score,mos,subset,scene\n")
        for row in zip(test.paths, scores, test.mos, test.subsets, test.scenes, strict=True):
            file.write(f"{row[0].name},{row[1]:.5f},{row[2]:.4f},{row[3]},{row[4]}\n")
    # Scores at their place on the labels' scale 0..1, for the RMSE and the gap of .1.
    low, high = card.scale.low, card.scale.high
    agreement = measure_by_subset(
        (scores - low) / (high - low), test.mos, test.scenes, test.subsets
    )
    return {name: figures.to_json() for name, figures in agreement.items()}


def score(nima: NIMA, card: ModelCard, views: ViewCache, work: Path) -> NDArray[np.float64]:
    """Mean scores as the exported model file gives them."""
    path = work / "candidate.onnx"
    export_onnx(nima, card, path, half_storage=True)
    model = ModelFile(path, threads=os.cpu_count() or 1)
    pixels = views.pixels[0]
    rated = [
        model.rate(np.array(pixels[start : start + SCORE_BATCH]))
        for start in range(0, len(pixels), SCORE_BATCH)
    ]
    return mean(np.concatenate(rated), card.scale)


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """What the card and the log hold of the figures."""
    return {
        name: {
            key: part[key] for key in ("photos", "srcc", "plcc", "rmse", "pairs", "pair_accuracy")
        }
        for name, part in figures.items()
    }


def machine() -> dict[str, Any]:
    """The processor that trained."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def log(what: str, value: object) -> None:
    """One line with the time."""
    print(datetime.now().strftime("%H:%M:%S"), what, value, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="caches and logs")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="for the model file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
