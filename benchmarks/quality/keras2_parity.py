"""Largest difference from Keras 2.2.4 on TensorFlow 1.12, given what keras2_reference.py made.

    python benchmarks/quality/keras2_parity.py FOLDER --out benchmarks/quality/keras2_parity.json

Also writes FOLDER/*_ours.h5, which `keras2_reference.py check FOLDER` loads in that Keras.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.networks.keras.read import read_keras_h5
from siamese_nima.networks.keras.write import write_keras_h5
from siamese_nima.ratings import mean


def differences(folder: Path, name: str) -> dict[str, dict[str, float]]:
    """Largest difference of any probability and of any mean score, by input size."""
    nima, card = read_keras_h5(folder / f"{name}.h5")
    write_keras_h5(folder / f"{name}_ours.h5", nima, card)
    arrays = np.load(folder / f"{name}.npz")
    found = {}
    for key in (key for key in arrays if key.startswith("x_")):
        with torch.inference_mode():
            views = torch.from_numpy(arrays[key]).permute(0, 3, 1, 2)[:, None]
            ours = nima.eval()(views).numpy()
        theirs = arrays["y" + key[1:]]
        found[key[2:]] = {
            "probability": float(np.abs(ours - theirs).max()),
            "mean": float(np.abs(mean(ours) - mean(theirs)).max()),
        }
    return found


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    networks = ("inception_resnet_v2", "mobilenet")
    result = {
        **provenance(),
        "command": "python benchmarks/quality/keras2_parity.py FOLDER",
        "reference": "Keras 2.2.4, TensorFlow 1.12.0",
        "largest_difference": {name: differences(options.folder, name) for name in networks},
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
