"""Does it help to average the weights that the stages of `quality` left? Judged on val photos.

    python benchmarks/quality/averaged_stages.py --data BIQ2021 --imagenet FILE.pth \
        --work runs/quality --out benchmarks/quality/averaged_stages.json

The recipe's stages start from each other, so that networks between them may be as good or better.
Nothing is trained; --work is the recipe's, after it has run.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from averaged_networks import figures_of
from torch import Tensor

from siamese_nima.ratings import mean

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quality"))
from inputs import SCALE, SplitInputs, TrainingInputs
from stages import distributions, load_stage
from train import HERE, ladder_figures, shown

from machine import provenance, report

Weights = Mapping[str, Tensor]
MIXTURES: Mapping[str, Mapping[str, float]] = {
    "the last stage": {"last": 1},
    "3/4 last stage, 1/4 NIMA stage": {"last": 0.75, "nima": 0.25},
    "1/2 last stage, 1/2 NIMA stage": {"last": 0.5, "nima": 0.5},
    "1/2 last stage, 1/2 Siamese stage": {"last": 0.5, "siamese": 0.5},
}


def main() -> None:
    """Measure every mixture."""
    options = _options()
    config = tomllib.loads((HERE / "config.toml").read_text())
    sources = options.data, options.imagenet, options.work
    upper = TrainingInputs(*sources, config["freeze"], **shown(config["inputs"]))
    last = dict(config["last_stage"])
    lower = TrainingInputs(*sources, last.pop("freeze"), **shown(last))
    stages = {name: _weights(upper, options.work / name) for name in ("nima", "siamese")}
    stages["last"] = _weights(lower, options.work / "last")
    val = lower.split("val")
    rows = [
        {"name": name, **_judged(lower, val, _mixed(stages, shares))}
        for name, shares in MIXTURES.items()
    ]
    report(provenance() | {"rows": rows}, options.out)


def _weights(inputs: TrainingInputs, folder: Path) -> Weights:
    whole = inputs.whole_network()
    # The last stage has its free layers in slices, which changes the names of its weights.
    free = inputs.view_of(whole) if folder.name == "last" else inputs.free_layers(whole, 0)
    load_stage(free, folder)
    return {name: tensor.clone() for name, tensor in whole.state_dict().items()}


def _mixed(stages: Mapping[str, Weights], shares: Mapping[str, float]) -> dict[str, Tensor]:
    mixed = dict(stages["last"])
    for name, tensor in mixed.items():
        if tensor.is_floating_point():
            parts = [share * stages[stage][name] for stage, share in shares.items()]
            mixed[name] = sum(parts[1:], parts[0])
    return mixed


def _judged(inputs: TrainingInputs, val: SplitInputs, weights: Weights) -> dict[str, Any]:
    whole = inputs.whole_network()
    whole.load_state_dict(weights)
    free = inputs.view_of(whole)
    scores, rungs = (
        mean(distributions(free, inputs.prepare, np.asarray(cached[0])), SCALE)
        for cached in (val.rated.inputs, val.ladder_inputs)
    )
    ladders = ladder_figures(rungs, val.ladders)
    return {"val": figures_of(scores, val.table), "ladder_steps": ladders["steps"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .pth file")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="of the recipe")
    parser.add_argument("--out", type=Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
