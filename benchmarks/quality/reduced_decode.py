"""How far scores move when large JPEG files are decoded at a reduced scale.

    python benchmarks/quality/reduced_decode.py --out benchmarks/quality/reduced_decode.json

For each margin: the JPEG decoder may leave out detail as long as the short side stays at least that
many times what the views need. Differences are against a full decode, in rating points.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from camera_photos import make_photos
from machine import provenance, report
from siamese_nima import Scorer, read_photo
from siamese_nima.photos.views import DECODE_MARGIN
from siamese_nima.ratings import mean


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--model", default="quality")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    scorer = Scorer(options.model, eight_bits=False)
    needed = scorer.view.short_side_px
    if needed is None:
        sys.exit(f"{scorer.view} shows photos at their own size; nothing is ever left out")

    def score(path: Path, margin: int | None) -> float:
        least = None if margin is None else margin * needed
        views = scorer.view.views(read_photo(path, min_short_side_px=least))
        return float(mean(scorer.model.rate(views[np.newaxis])[0], scorer.card.scale))

    with tempfile.TemporaryDirectory() as name:
        paths = make_photos(Path(name), options.photos, options.megapixels)
        full = np.array([score(path, None) for path in paths])
        margins = {
            margin: np.array([score(path, margin) for path in paths]) - full for margin in (1, 2)
        }
    result = {
        **provenance(),
        "model": scorer.model.model_id,
        "photos": options.photos,
        "megapixels": options.megapixels,
        "margin_in_use": DECODE_MARGIN,
        "difference_by_margin": {
            margin: {
                "mean": round(float(moved.mean()), 4),
                "mean_absolute": round(float(np.abs(moved).mean()), 4),
                "largest": round(float(np.abs(moved).max()), 4),
            }
            for margin, moved in margins.items()
        },
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
