"""How much of subset ss02's ratings do plain statistics of the pixels explain?

    pip install scikit-learn
    python benchmarks/quality/ss02_signal.py --data BIQ2021 --out ss02_signal.json

The model agrees weakly with people on ss02, test shots indoors. A regression forest on hand-made
statistics (light, colour, gradients and Laplacians at four scales, local contrast, block edges) is
another witness: what neither finds, nor both together, is hardly in the pixels.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata
from sklearn.ensemble import ExtraTreesRegressor

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer, read_photo
from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.evaluation.metrics import srcc

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
SUBSET = "ss02"
SCALES = 4
JPEG_BLOCK = 8
SPREAD_POINTS = (1, 10, 50, 90, 99)  # percentiles

Floats = NDArray[np.float64]


def main() -> None:
    """Fit on train and val, judge on test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    whole = read_biq2021(options.data, SPLITS)
    table = whole.select([subset == SUBSET for subset in whole.subsets])
    with ThreadPoolExecutor() as pool:
        features = np.array(list(pool.map(statistics, table.paths)))
    test = np.array([split == "test" for split in table.splits])
    forest = ExtraTreesRegressor(400, min_samples_leaf=3, max_features=0.3, random_state=0)
    forest.fit(features[~test], table.mos[~test])
    guessed = forest.predict(features[test])
    judged = table.select(test)
    scorer = Scorer("quality")
    scores = np.array([result.mean for result in scorer.score(judged.paths)])
    both = rankdata(guessed) + rankdata(scores)
    result = provenance() | {
        "model": scorer.model.model_id,
        "photos": {"fitted": int((~test).sum()), "test": int(test.sum())},
        "statistics": features.shape[1],
        "label_deviation": round(float(table.mos.std()), 4),
        "srcc": {
            "statistics": round(srcc(guessed, judged.mos), 4),
            "model": round(srcc(scores, judged.mos), 4),
            "both": round(srcc(both, judged.mos), 4),
            "statistics_on_the_photos_fitted": round(
                srcc(forest.predict(features[~test]), table.mos[~test]), 4
            ),
        },
    }
    report(result, options.out)


def statistics(path: Path) -> Floats:
    """One row of statistics of a photo."""
    pixels = np.asarray(read_photo(path), dtype=np.float64)
    light = pixels @ (0.299, 0.587, 0.114)
    red_green = pixels[..., 0] - pixels[..., 1]
    yellow_blue = pixels[..., :2].mean(-1) - pixels[..., 2]
    found = [
        light.std(),
        *np.percentile(light, SPREAD_POINTS),
        (light > 250).mean(),
        (light < 5).mean(),
        *(value for part in (red_green, yellow_blue) for value in (part.mean(), part.std())),
        np.ptp(pixels, axis=-1).mean(),
        _blockiness(light),
    ]
    for _ in range(SCALES):
        found += _texture(light)
        light = ndimage.zoom(light, 0.5, order=1)
    return np.array(found)


def _texture(light: Floats) -> list[float]:
    edges = np.abs(ndimage.laplace(light))
    local = ndimage.uniform_filter(light, 7)
    variance = np.maximum(ndimage.uniform_filter(light**2, 7) - local**2, 0)
    normal = (light - local) / (np.sqrt(variance) + 1)
    slopes = [np.abs(np.diff(light, axis=axis)) for axis in (0, 1)]
    spread = [
        np.percentile(part, SPREAD_POINTS) for part in (edges, variance, slopes[0], slopes[1])
    ]
    shape = [
        normal.std(),
        (normal**4).mean(),
        (normal[:, 1:] * normal[:, :-1]).mean(),
        (normal[1:] * normal[:-1]).mean(),
    ]
    return [*np.log1p(np.concatenate(spread)).tolist(), *(float(value) for value in shape)]


def _blockiness(light: Floats) -> float:
    steps = np.abs(np.diff(light, axis=1)).mean(axis=0)
    return float(steps[JPEG_BLOCK - 1 :: JPEG_BLOCK].mean() / (steps.mean() + 1e-6))


if __name__ == "__main__":
    main()
