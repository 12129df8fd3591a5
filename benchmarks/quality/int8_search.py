"""What ways of quantising a model cost, on validation photos: how the defaults were chosen.

    python benchmarks/quality/int8_search.py --data BIQ2021 --work runs/int8 \\
        --out benchmarks/quality/int8_search.json

Every way quantises with photos of the train split, evenly spread, and is judged by those of val;
the test split is not touched. What is in the folder of work already is not made again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from quality.int8 import SPLITS, agreement, difference, scores
from siamese_nima import Scorer
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.networks.quantise import Quantisation, quantise_model
from siamese_nima.scoring.catalogue import find_model

# By name: photos that ranges and rounding are measured on, whose subset, and the way.
WAYS = {
    "all in 8 bits": (100, None, Quantisation(float_ends=False)),
    "30 photos": (30, None, Quantisation()),
    "60 photos": (60, None, Quantisation()),
    "100 photos": (100, None, Quantisation()),
    "200 photos": (200, None, Quantisation()),
    "100 photos of ss03": (100, "ss03", Quantisation()),
    "symmetric": (100, None, Quantisation(symmetric=True)),
    "percentile 99.999": (30, None, Quantisation(ranges="percentile")),
    "percentile 99.99": (30, None, Quantisation(ranges="percentile", percentile=99.99)),
    "entropy": (30, None, Quantisation(ranges="entropy")),
}


def main() -> None:
    """Quantise in every way that is asked for, then score val with all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--model", default="quality")
    parser.add_argument("--work", type=Path, required=True, help="keeps what was quantised")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--every", type=int, default=1, help="judge by every nth photo of val")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    data = read_biq2021(options.data, SPLITS)
    train, val = data.split("train"), data.split("val")
    val = val.select(np.arange(0, len(val), options.every))
    source = find_model(options.model)
    options.work.mkdir(parents=True, exist_ok=True)
    files = {name: options.work / f"{name}.onnx" for name in options.ways}
    for name, target in files.items():
        count, subset, how = WAYS[name]
        table = train if subset is None else train.select(np.asarray(train.subsets) == subset)
        places = np.linspace(0, len(table) - 1, 2 * count).astype(int)
        if not target.exists():
            cost = quantise_model(source, [table.paths[place] for place in places], target, how)
            print(f"{name}: moved by {cost.mean_absolute} on average, {cost.largest} at most")
    before, *found = scores([source, *files.values()], val)
    ways = {
        name: {
            "photos": WAYS[name][0],
            **asdict(WAYS[name][2]),
            "difference": difference(before, after),
            "srcc": agreement(after, val),
        }
        for name, after in zip(files, found, strict=True)
    }
    result = {
        "model": Scorer(source).model.model_id,
        "photos": len(val),
        "fp32": agreement(before, val),
    }
    report({**provenance(), **result, "ways": ways}, options.out)


if __name__ == "__main__":
    main()
