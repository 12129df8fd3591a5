"""The dequantised MobileNet beside the 8-bit file it is made from, on photos of the val split.

    pip install ai-edge-litert
    python recipes/quality/compare_tflite.py --data BIQ2021 --imagenet FILE.tflite

Compares pooled features of the whole photo at 224 x 224. Writes tflite.json.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from siamese_nima import ViewPolicy, read_photo
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.networks.quantised_mobilenet import (
    QuantisedMobileNet,
    build_dequantised,
    read_quantised_mobilenet,
)

HERE = Path(__file__).parent
WHOLE = ViewPolicy.parse("warp:224")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--imagenet", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--photos", type=int, default=100)
    options = parser.parse_args()
    val = read_biq2021(options.data, HERE / "splits.csv").split("val")
    chosen = np.linspace(0, len(val) - 1, options.photos).astype(int)
    photos = np.concatenate([WHOLE.views(read_photo(val.paths[i])) for i in chosen])
    weights = read_quantised_mobilenet(options.imagenet)
    expected, step = features_of_interpreter(options.imagenet, photos)
    plain = features(weights, photos, measured=False)
    found = features(weights, photos, measured=True)
    result = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"python recipes/quality/compare_tflite.py --data BIQ2021 --imagenet "
        f"{options.imagenet.name} --photos {options.photos}",
        "photos": options.photos,
        "correlation": round(float(np.corrcoef(expected.ravel(), found.ravel())[0, 1]), 4),
        "mean_absolute_difference": round(float(np.abs(expected - found).mean()), 4),
        "mean_feature": round(float(expected.mean()), 3),
        "step_of_8_bits": round(step, 4),
        "largest_change_by_batch_norms": float(np.abs(plain - found).max()),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    (HERE / "tflite.json").write_text(text)


def features_of_interpreter(
    path: Path, photos: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], float]:
    """Features (N, F) as the interpreter gives them, and the step between two 8-bit values."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    step, zero = exit_["quantization"]
    rows = []
    for photo in photos:
        interpreter.set_tensor(entry["index"], photo[None])
        interpreter.invoke()
        rows.append((interpreter.get_tensor(exit_["index"]).ravel().astype(float) - zero) * step)
    return np.array(rows), float(step)


def features(
    weights: QuantisedMobileNet, photos: NDArray[np.uint8], *, measured: bool
) -> NDArray[np.float64]:
    """Features (N, F) of the float network; with batch norms measured on the photos, or plain."""
    backbone = build_dequantised("mobilenetv1_100", weights, photos if measured else None)
    with torch.inference_mode():
        pixels = PixelNormalisation(weights.normalisation)(torch.from_numpy(photos)[None])[0]
        result: NDArray[np.float64] = backbone(pixels).double().numpy()
    return result


if __name__ == "__main__":
    main()
