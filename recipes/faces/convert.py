"""The face networks of MediaPipe as ONNX files with weights in half precision.

    python3 -m venv faces && faces/bin/pip install tensorflow-cpu==2.18.1 tf2onnx==1.17.0
    pip download --no-deps --only-binary :all: --platform manylinux_2_28_x86_64 \
        --python-version 3.11 mediapipe==0.10.21
    faces/bin/python recipes/faces/convert.py mediapipe-0.10.21-*.whl --out src/siamese_nima/scoring

Prints how far each differs from what the TensorFlow Lite interpreter computes for the same input.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import tensorflow as tf
import tf2onnx
from onnx import numpy_helper
from onnx.helper import make_node

# By the name of our file: the network's file in the wheel, and what its input goes through there.
NETWORKS = {
    "face_detection": ("face_detection/face_detection_short_range.tflite", (-1.0, 1.0)),
    "face_mesh": ("face_landmark/face_landmark.tflite", (0.0, 1.0)),
    "face_eye": ("iris_landmark/iris_landmark.tflite", (0.0, 1.0)),
}
_FROM_SIZE = 256


def in_half(graph: onnx.GraphProto) -> None:
    """Store large weights as float16; ONNX Runtime brings them back when it opens the file."""
    stored, restoring = [], []
    for weights in graph.initializer:
        values = numpy_helper.to_array(weights)
        if weights.data_type != onnx.TensorProto.FLOAT or values.size < _FROM_SIZE:
            stored.append(weights)
            continue
        half = f"{weights.name}.half"
        stored.append(numpy_helper.from_array(values.astype(np.float16), half))
        restoring.append(make_node("Cast", [half], [weights.name], to=onnx.TensorProto.FLOAT))
    nodes = [*restoring, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)


def convert(tflite: Path, out: Path, source: str) -> None:
    """Write one network, with the names of its source and nothing of this machine."""
    model, _ = tf2onnx.convert.from_tflite(str(tflite), opset=17)
    in_half(model.graph)
    for node in model.graph.node:
        node.doc_string = ""
        node.ClearField("name")
    model.graph.name, model.graph.doc_string = out.stem, ""
    model.doc_string = f"{source} of MediaPipe 0.10.21, Apache-2.0, converted"
    onnx.checker.check_model(model)
    out.write_bytes(model.SerializeToString())


def difference(tflite: Path, converted: Path, between: tuple[float, float]) -> float:
    """The largest difference of any output, as a share of that output's largest value."""
    lite = tf.lite.Interpreter(str(tflite))
    lite.allocate_tensors()
    (given,) = lite.get_input_details()
    session = ort.InferenceSession(converted)
    random = np.random.default_rng(0)
    worst = 0.0
    for _ in range(8):
        values = random.uniform(*between, given["shape"]).astype(np.float32)
        lite.set_tensor(given["index"], values)
        lite.invoke()
        got = session.run(None, {session.get_inputs()[0].name: values})
        for wanted, found in zip(lite.get_output_details(), got, strict=True):
            right = lite.get_tensor(wanted["index"])
            worst = max(
                worst,
                float(
                    np.abs(right - found.reshape(right.shape)).max() / max(np.abs(right).max(), 1)
                ),
            )
    return worst


def main() -> None:
    """Convert all three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(options.wheel) as wheel:
        for name, (member, between) in NETWORKS.items():
            tflite = Path(wheel.extract(f"mediapipe/modules/{member}", folder))
            out = options.out / f"{name}.onnx"
            convert(tflite, out, member)
            far = difference(tflite, out, between)
            print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, differs by {far:.1e}")


if __name__ == "__main__":
    main()
