"""Whether the map of blur follows the focal plane through a focus sweep.

    python benchmarks/quality/focus_sweep.py FOLDER --out benchmarks/quality/focus_sweep.json

The frames of the folder, in the order of their names, differ in focus alone; the recorded run is
over `examples/depthmap` of PetteriAimonen/focus-stack. In each cell of the map that has texture in
three frames or more, the frame with the least blur is compared with the one in which the variance
of the Laplacian is largest, which is how focus stacking chooses among frames of one scene (Pertuz
et al., "Analysis of focus measure operators for shape-from-focus", Pattern Recognition 46, 2013).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.photos.read import open_photo
from siamese_nima.scoring.detail import detail_of


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    paths = sorted(p for p in options.folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg"})
    frames = [np.asarray(open_photo(path).luminance()) for path in paths]
    blurs = np.stack([detail_of(frame).map() for frame in frames])
    sharpness = np.stack([laplacian(frame, blurs.shape[1:]) for frame in frames])
    seen = np.sum(~np.isnan(blurs), axis=0) >= 3
    by_map = np.argmin(np.where(np.isnan(blurs), np.inf, blurs), axis=0)
    by_laplacian = np.argmax(sharpness, axis=0)
    apart = np.abs(by_map - by_laplacian)[seen]
    report(
        {
            **provenance(),
            "frames": len(frames),
            "cells": int(seen.sum()),
            "sharpest_frame": np.where(seen, by_map, -1).tolist(),
            "sharpest_by_laplacian": np.where(seen, by_laplacian, -1).tolist(),
            "frames_that_are_sharpest_somewhere": np.unique(by_map[seen]).tolist(),
            "same_frame": round(float((apart == 0).mean()), 4),
            "one_frame_apart_at_most": round(float((apart <= 1).mean()), 4),
        },
        options.out,
    )


def laplacian(luminance: np.ndarray, cells: tuple[int, ...]) -> np.ndarray:
    """Variance of the Laplacian in each cell, shape (rows, columns)."""
    edges = ndimage.laplace(luminance.astype(np.float32))
    rows = np.array_split(edges, cells[0], axis=0)
    return np.array([[part.var() for part in np.array_split(row, cells[1], 1)] for row in rows])


if __name__ == "__main__":
    main()
