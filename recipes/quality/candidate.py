"""Record what a candidate for the next version reaches on test photos and their ladders.

    python recipes/quality/candidate.py --run runs/quality4/run --data BIQ2021 \
        --judged runs/quality4/judged --out recipes/quality/quality4.json

after `nima train recipes/quality/quality4.toml` and `nima evaluate runs/quality4/run/model.onnx
--data biq2021:BIQ2021 --splits recipes/quality/splits.csv --out runs/quality4/judged`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from train import ladder_figures

from siamese_nima.cores import usable_cores
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.ratings import mean
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.ladder_views import build_ladder_views

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from machine import provenance, report

HERE = Path(__file__).parent
LADDER_PHOTOS = 50  # those that people rated best, as for every version
BATCH = 16


def main() -> None:
    """Rate the ladders, and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("run", "data", "judged", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    model = ModelFile(options.run / "model.onnx", threads=usable_cores())
    judged = json.loads((options.judged / "figures.json").read_text())
    test = read_biq2021(options.data, HERE / "splits.csv").split("test")
    best = np.sort(np.argsort(-test.mos, kind="stable")[:LADDER_PHOTOS])
    ladders = build_ladder_views(test.select(best), model.card.view, options.judged / "cache")
    rungs = ladders.views.pixels[0]
    rated = [model.rate(np.array(rungs[row : row + BATCH])) for row in range(0, len(rungs), BATCH)]
    card = model.card
    report(
        provenance()
        | {
            "model_bytes": model.path.stat().st_size,
            "mixed": card.training["mixed"],
            "calibration": card.training["calibration"],
            "val": card.metrics["val photos"],
            "val_before": card.metrics["the same before training"],
            "test": {
                name: figures["agreement"] | {"spread_ratio": figures["spread_ratio"]}
                for name, figures in judged["figures"].items()
            },
            "ladders": ladder_figures(mean(np.concatenate(rated), card.scale), ladders),
        },
        options.out,
    )


if __name__ == "__main__":
    main()
