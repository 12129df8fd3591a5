"""A model file small enough to check by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from siamese_nima.card import METADATA_KEY, ModelCard


def tiny_graph(card: ModelCard) -> onnx.ModelProto:
    """Mean colour of all views -> linear -> softmax; rates any size, brighter is better."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.2, (3, card.scale.size)).astype(np.float32)
    weights += np.linspace(-3, 3, card.scale.size, dtype=np.float32)
    nodes = [
        helper.make_node("Cast", ["views"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["colour"], keepdims=0),
        helper.make_node("Div", ["colour", "full"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "half"], ["centred"]),
        helper.make_node("MatMul", ["centred", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["distribution"], axis=-1),
    ]
    sizes = ["photos", "views", "height", "width", 3]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("views", TensorProto.UINT8, sizes)],
        [helper.make_tensor_value_info("distribution", TensorProto.FLOAT, ["photos", None])],
        [
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.array(255, np.float32), "full"),
            numpy_helper.from_array(np.array(0.5, np.float32), "half"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def rate_tiny(card: ModelCard, photo: Image.Image) -> np.ndarray:
    """What the tiny graph computes, in numpy."""
    graph = tiny_graph(card).graph
    weights = next(numpy_helper.to_array(i) for i in graph.initializer if i.name == "weights")
    colour = card.view.views(photo).mean(axis=(0, 1, 2), dtype=np.float64) / 255 - 0.5
    logits = colour @ weights
    return np.exp(logits) / np.exp(logits).sum()


def write_model(path: Path, card: ModelCard) -> Path:
    """Write the tiny graph with `card`."""
    model = tiny_graph(card)
    helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, path)
    return path
