"""How far our networks are from Keras' own on the same weights.

    python benchmarks/quality/keras_parity.py --out benchmarks/quality/keras_parity.json

Needs the extra `train` and Keras 3 (pip install keras), which runs here on torch. Weights and
batch-norm statistics are random. With the environment variable SIAMESE_NIMA_KERAS2_DATA naming a
folder with `mobilenet.h5` and `mobilenet.npz` of Keras 2, those are compared too.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import timm
import torch

from siamese_nima.networks.keras.read import read_keras_h5
from siamese_nima.networks.keras.write import write_keras_h5
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.onnx_export import export_onnx

# After siamese_nima, which tells it to send no telemetry.
onnxruntime = importlib.import_module("onnxruntime")

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = REPOSITORY / "tests" / "networks" / "keras" / "keras_reference.py"
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from machine import provenance, report  # noqa: E402 - beside this folder, not a package


def main() -> None:
    keras = load_reference()
    builders = {
        "inception_resnet_v2": keras.inception_resnet_v2,
        "mobilenet of Keras 2.0 to 2.1.4": lambda: keras.mobilenet("same"),
        "mobilenet of Keras 2.1.5 to 2.2.0": lambda: keras.mobilenet("timm"),
        "mobilenet of Keras 2.2.1 to 2.3": lambda: keras.mobilenet("keras2"),
        "mobilenet of Keras 3": keras.mobilenet_of_keras_3,
        "mobilenet_v2 of Keras 3": keras.mobilenet_v2_of_keras_3,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="*", default=[], help="beginnings of names; all")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    wanted = tuple(options.backbones)
    results = {}
    for name, build in builders.items():
        if not wanted or name.startswith(wanted):
            print(f"{name} ...", file=sys.stderr)
            results[name] = compare(keras, build)
    if folder := os.environ.get("SIAMESE_NIMA_KERAS2_DATA"):
        results["mobilenet written and run by Keras 2"] = compare_with_keras_2(Path(folder))
    report({**provenance(), "versions": versions(keras), "results": results}, options.out)


def load_reference() -> ModuleType:
    """The module that builds Keras' networks, shared with the tests."""
    spec = importlib.util.spec_from_file_location("keras_reference", REFERENCE)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{REFERENCE} is not Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def versions(keras: ModuleType) -> dict[str, str]:
    return {
        "keras": keras.keras.__version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def compare(keras: ModuleType, build: Any) -> dict[str, dict[str, float]]:
    """Largest differences in any probability and in the mean score, by size."""
    with tempfile.TemporaryDirectory() as folder:
        model = build()
        keras.randomise(model)
        theirs, ours, graph = (Path(folder) / name for name in ("t.h5", "o.h5", "m.onnx"))
        keras.save_as_keras_2(model, theirs)
        nima, card = read_keras_h5(theirs)
        write_keras_h5(ours, nima, card)
        reloaded = build()
        reloaded.load_weights(ours)
        export_onnx(nima, card, graph)
        session = onnxruntime.InferenceSession(graph)
        results = {}
        for height, width in keras.SIZES:
            views = np.rint(keras.pixels(height, width) * 127.5 + 127.5).astype(np.uint8)
            pixels = (views / np.float32(127.5) - 1).astype(np.float32)
            expected = model.predict(pixels, verbose=0)
            by_onnx = session.run(None, {"views": views[:, None]})[0]
            results[f"{height}x{width}"] = {
                **differences("torch", distributions(nima, pixels), expected),
                **differences("onnxruntime", by_onnx, expected),
                **differences("keras_on_our_h5", reloaded.predict(pixels, verbose=0), expected),
            }
    return results


def compare_with_keras_2(folder: Path) -> dict[str, dict[str, float]]:
    nima, _ = read_keras_h5(folder / "mobilenet.h5")
    arrays = np.load(folder / "mobilenet.npz")
    return {
        size: differences("torch", distributions(nima, arrays[f"x_{size}"]), arrays[f"y_{size}"])
        for size in ("224x224", "299x299", "333x500")
    }


def distributions(nima: NIMA, pixels: np.ndarray) -> np.ndarray:
    views = torch.from_numpy(pixels).permute(0, 3, 1, 2).unsqueeze(1)
    with torch.no_grad():
        return nima(views).numpy()


def differences(name: str, found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    grades = np.arange(1, expected.shape[1] + 1)
    return {
        f"{name}_probability": float(np.abs(found - expected).max()),
        f"{name}_mean": float(np.abs((found - expected) @ grades).max()),
    }


if __name__ == "__main__":
    main()
