"""What can be told at all about the photos of subset ss02: is an SRCC of .55 within reach?

    python benchmarks/quality/ss02_signal.py --data BIQ2021 --out FILE.json

Three witnesses, for ss02 and, to compare, ss01 (near-copies: ss03 too):

- statistics: 89 hand-made ones per photo (luminance, contrast, colour, sharpness and
  noise at four scales, blocks of JPEG), in trees fitted on the train photos of the subset;
- the network `quality`, and the mean of both ranks: what either misses, the other may see;
- near-copies: how far apart people rate photos that are nearly the same.

Figures are of test photos, with intervals (95 %) by scene. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata
from sklearn.ensemble import ExtraTreesRegressor

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer, read_photo
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.evaluation.metrics import bootstrap_by_scene, srcc

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
TREES = 400
LEAF_PHOTOS = 3
TRIED_SHARE = 0.3  # of the statistics, at each fork
SCALES = 4
JUDGED = ("ss02", "ss01")

Floats = NDArray[np.float64]


def main() -> None:
    """Measure each subset and write the JSON."""
    options = _options()
    table = read_biq2021(options.data, SPLITS)
    scorer = Scorer("quality", eight_bits=False)
    names = np.asarray(table.subsets)
    copies = {
        str(name): _near_copies(table.select(np.flatnonzero(names == name)))
        for name in np.unique(names)
    }
    print(copies, file=sys.stderr, flush=True)
    result = provenance() | {
        "model": scorer.model.model_id,
        "trees": TREES,
        "near_copies": copies,
        "subsets": {
            name: _judged(name, table.select(np.flatnonzero(names == name)), scorer, options.work)
            for name in JUDGED
        },
    }
    report(result, options.out)


def _judged(name: str, subset: RatingTable, scorer: Scorer, work: Path) -> dict[str, Any]:
    train, test = subset.split("train"), subset.split("test")
    known, unknown = (
        _all_statistics(part, work / f"statistics-{name}-{split}.npy")
        for split, part in (("train", train), ("test", test))
    )
    trees = ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF_PHOTOS, max_features=TRIED_SHARE, random_state=0
    ).fit(known, train.mos)
    by_statistics = trees.predict(unknown)
    by_network = np.array([photo.mean for photo in scorer.score(test.paths)])
    both = rankdata(by_statistics) + rankdata(by_network)
    return {
        "train_photos": len(train),
        "test_photos": len(test),
        "label_deviation": round(float(subset.mos.std()), 4),
        "statistics_per_photo": known.shape[1],
        "statistics": _agreement(by_statistics, test),
        "statistics_on_train": round(srcc(trees.predict(known), train.mos), 4),
        "network": _agreement(by_network, test),
        "both": _agreement(both, test),
    }


def photo_statistics(path: Path) -> Floats:
    """The hand-made statistics of one photo."""
    pixels = np.asarray(read_photo(path), dtype=np.float32)
    luminance = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    found = [luminance.mean(), luminance.std(), (luminance > 250).mean(), (luminance < 5).mean()]
    found += np.percentile(luminance, [1, 5, 25, 50, 75, 95, 99]).tolist()
    for opponent in (red - green, (red + green) / 2 - blue):
        found += [opponent.mean(), opponent.std()]
    found.append((pixels.max(-1) - pixels.min(-1)).mean())
    steps = np.abs(np.diff(luminance, axis=1)).mean(axis=0)
    found.append(steps[7::8].mean() / (steps.mean() + 1e-6))  # borders of JPEG's blocks
    for scale in range(SCALES):
        found += _at_scale(luminance)
        if scale < SCALES - 1:
            luminance = ndimage.zoom(luminance, 0.5, order=1)
    return np.array(found, dtype=np.float64)


def _at_scale(luminance: NDArray[np.float32]) -> Iterator[float]:
    """Sharpness, contrast within 7 x 7 pixels, and how natural contrast-free detail looks."""
    edges = np.abs(ndimage.laplace(luminance))
    yield from np.log1p([edges.var(), *np.percentile(edges, [50, 99])]).tolist()
    for axis in (0, 1):
        slopes = np.abs(np.diff(luminance, axis=axis))
        yield from np.log1p(np.percentile(slopes, [50, 90, 99])).tolist()
    local = ndimage.uniform_filter(luminance, 7)
    variance = np.clip(ndimage.uniform_filter(luminance**2, 7) - local**2, 0, None)
    yield from np.log1p(np.percentile(variance, [1, 10, 50, 90, 99])).tolist()
    detail = (luminance - local) / (np.sqrt(variance) + 1)
    yield float(detail.std())
    yield float((detail**4).mean())
    yield float((detail[:, 1:] * detail[:, :-1]).mean())
    yield float((detail[1:] * detail[:-1]).mean())


def _all_statistics(table: RatingTable, kept: Path) -> Floats:
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            np.save(kept, list(pool.map(photo_statistics, table.paths, chunksize=16)))
    found: Floats = np.load(kept)
    return found


def _agreement(scores: Floats, table: RatingTable) -> dict[str, float]:
    interval = bootstrap_by_scene(
        lambda rows: srcc(scores[rows], table.mos[rows]), table.scenes, repeats=1000
    )
    return {name: round(getattr(interval, name), 4) for name in ("value", "low", "high")}


def _near_copies(table: RatingTable) -> dict[str, float]:
    """How far apart people rate photos of one scene, and any two of the subset (of 0..1).

    The share of the labels' variance that near-copies have in common is the square of the
    correlation that a judge could reach to whom they look the same.
    """
    scenes: dict[str, list[float]] = {}
    for scene, rating in zip(table.scenes, table.mos.tolist(), strict=True):
        scenes.setdefault(scene, []).append(rating)
    pairs = np.array([pair for found in scenes.values() for pair in combinations(found, 2)])
    gaps = np.abs(pairs[:, 0] - pairs[:, 1])
    any_two = np.abs(np.subtract.outer(table.mos, table.mos))
    drawn = gaps[np.random.default_rng(0).integers(0, len(gaps), (1000, len(gaps)))]
    shared = 1 - (drawn**2).mean(axis=1) / 2 / table.mos.var()
    return {
        "pairs": len(pairs),
        "mean_gap": round(float(gaps.mean()), 4),
        "mean_gap_of_any_two": round(float(any_two[np.triu_indices(len(any_two), 1)].mean()), 4),
        "shared_variance": round(float(1 - (gaps**2).mean() / 2 / table.mos.var()), 4),
        "shared_variance_low": round(float(np.quantile(shared, 0.025)), 4),
        "shared_variance_high": round(float(np.quantile(shared, 0.975)), 4),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="statistics")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
