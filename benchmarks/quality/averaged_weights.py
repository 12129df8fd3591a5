"""Averages of the weights before and after the last stage of the recipe, on val photos.

    python benchmarks/quality/averaged_weights.py --data BIQ2021 --imagenet FILE.tflite \
        --work runs/quality --out benchmarks/quality/averaged_weights.json

Needs a finished run of recipes/quality/train.py under --work. Share 0 is the network of the first
two stages, 1 that of the last; in between every weight is the mean of both in these shares. (Within
a stage weights are averaged in any case, as `average_decay` of recipes/quality/config.toml says.)
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quality"))
from inputs import SCALE, TrainingInputs
from stages import distributions, load_stage

from machine import provenance, report
from siamese_nima.evaluation.metrics import pair_accuracy, rmse, same_scene_pairs, srcc
from siamese_nima.networks.nima import NIMA
from siamese_nima.ratings import mean
from siamese_nima.training.ladder_views import RUNGS

CONFIG = Path(__file__).parents[2] / "recipes" / "quality" / "config.toml"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Measure each share and write the JSON."""
    options = _options()
    depth = tomllib.loads(CONFIG.read_text())["freeze"]
    partly = TrainingInputs(options.data, options.imagenet, options.work, depth)
    inputs = TrainingInputs(options.data, options.imagenet, options.work, None)
    before, after = partly.whole_network(), partly.whole_network()
    load_stage(partly.view_of(before), options.work / "siamese")
    load_stage(inputs.view_of(after), options.work / "whole")
    rows = []
    for share in SHARES:
        both = inputs.whole_network()
        first, last = before.state_dict(), after.state_dict()
        both.load_state_dict(
            {name: torch.lerp(first[name].float(), last[name].float(), share) for name in first}
        )
        rows.append({"share": share} | _judged(inputs.view_of(both), inputs))
        print(rows[-1], file=sys.stderr, flush=True)
    report(provenance() | {"rows": rows}, options.out)


def _judged(network: NIMA, inputs: TrainingInputs) -> dict[str, float]:
    val = inputs.table.split("val")
    scores = _scores(network, inputs, inputs.views("val").pixels[0])
    placed = (scores - SCALE.low) / (SCALE.high - SCALE.low)
    subsets = np.asarray(val.subsets)
    rungs = _scores(network, inputs, inputs.ladders("val").views.pixels[0])
    return {
        "srcc": round(srcc(scores, val.mos), 4),
        **{
            str(name): round(srcc(scores[subsets == name], val.mos[subsets == name]), 4)
            for name in np.unique(subsets)
        },
        "pair_accuracy": round(pair_accuracy(scores, same_scene_pairs(val.mos, val.scenes)), 4),
        "rmse": round(rmse(placed, val.mos), 4),
        "ladder_steps": round(float((np.diff(rungs.reshape(-1, RUNGS), axis=1) < 0).mean()), 4),
    }


def _scores(
    network: NIMA, inputs: TrainingInputs, pixels: NDArray[np.uint8]
) -> NDArray[np.float64]:
    return mean(distributions(network, inputs.prepare, pixels).astype(np.float64), SCALE)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="of the recipe")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
