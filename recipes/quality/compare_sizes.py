"""What larger EfficientNet-Lites tell of quality: frozen ImageNet features and ridge, on val.

    python recipes/quality/compare_sizes.py --data BIQ2021 --lite0 F.pth --lite1 F.pth \\
        --lite2 F.pth --out benchmarks/quality/lite_sizes.json

In the views of `quality`. Fitted on a part of the train split; a part of val judges, and chooses
the penalty of each row, which flatters all of them alike. `gain` is on the same features of the
first network. What a head that reads frozen features
begins with says little about what training the network would bring.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from compare_views import HERE, Floats, figures_of, fitted
from numpy.typing import NDArray

from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import bootstrap_by_scene, srcc
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.views import ViewPolicy

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1]))
from seen import Look, Seen, lite_look

from machine import provenance, report

NETWORKS = ("lite0", "lite1", "lite2")
VIEWS = ("warp:288", "centre:288@512")
PENALTIES = (300.0, 1000.0, 3000.0, 10000.0, 30000.0)
TIMED = 30  # photos
REPEATS = 200


def main() -> None:
    """See all photos by every network, fit, judge."""
    options = _options()
    about = provenance()  # before files are written
    table = read_biq2021(options.data, options.splits)
    train = _drawn(table.split("train"), options.train)
    val = _drawn(table.split("val"), options.val)
    weights = {name: getattr(options, name) for name in NETWORKS}
    rows: list[dict[str, Any]] = []
    smallest: dict[str, Floats] = {}
    for network in NETWORKS:
        cost = sum(network_ms(Seen(network, view), weights[network], val) for view in VIEWS)
        blocks = [
            [
                Seen(network, view).means(f"{name}{len(part)}", part.paths, weights, options.work)
                for view in VIEWS
            ]
            for name, part in (("train", train), ("val", val))
        ]
        levels = list(blocks[0][0])
        for features, kept in (("last layer", levels[-1:]), ("all depths", levels)):
            known, unknown = (
                np.concatenate([seen[level] for seen in part for level in kept], axis=1)
                for part in blocks
            )
            penalty, scores = fitted(_wide(known), _wide(unknown), train, val, PENALTIES)
            row = {"network": network, "features": features, "channels": known.shape[1]}
            row |= {"network_ms": round(cost, 1), "penalty": penalty} | figures_of(scores, val)
            rows.append(row | {"gain": gain(scores, smallest.setdefault(features, scores), val)})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    counts = {"train_photos": len(train), "val_photos": len(val)}
    report(about | counts | {"views": "+".join(VIEWS), "rows": rows}, options.out)


def gain(scores: Floats, others: Floats, val: RatingTable) -> list[float]:
    """How much higher the SRCC is than that of other scores, with 95 % by scenes drawn again."""
    found = bootstrap_by_scene(
        lambda rows: srcc(scores[rows], val.mos[rows]) - srcc(others[rows], val.mos[rows]),
        val.scenes,
        repeats=REPEATS,
    )
    return [round(value, 4) for value in (found.value, found.low, found.high)]


def network_ms(seen: Seen, weights: Path, table: RatingTable) -> float:
    """Median processor time of the network for the view of one photo, on one thread."""
    look, policy = lite_look(seen, weights), ViewPolicy.parse(seen.view)

    def cut(path: Path) -> dict[str, NDArray[np.float32]]:
        policy.views(read_photo(path))
        return {}

    paths = table.paths[:TIMED]
    return _median_ms(look, paths) - _median_ms(cut, paths)


def _median_ms(look: Look, paths: tuple[Path, ...]) -> float:
    found = []
    for path in paths:
        begun = time.process_time()
        look(path)
        found.append(1000 * (time.process_time() - begun))
    return median(found)


def _drawn(table: RatingTable, count: int) -> RatingTable:
    return table.select(np.sort(np.random.default_rng(0).permutation(len(table))[:count]))


def _wide(features: NDArray[np.float32]) -> Floats:
    return features.astype(np.float64)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    for name in NETWORKS:
        parser.add_argument(f"--{name}", type=Path, required=True, help="its .pth file")
    parser.add_argument("--splits", type=Path, default=HERE / "splits.csv")
    parser.add_argument("--train", type=int, default=2500, help="photos to fit on")
    parser.add_argument("--val", type=int, default=1000, help="photos to judge by")
    parser.add_argument("--work", type=Path, default=Path("runs/sizes"), help="features are kept")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
