"""Weights stored smaller, and what the graph computes with."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from siamese_nima.networks.onnx_storage import from_bytes, in_bytes, store_smaller, stored_weights

WEIGHTS = st.floats(-1e3, 1e3, width=32, allow_subnormal=False).filter(
    lambda w: w == 0 or abs(w) > 1e-6
)


def a_model() -> onnx.ModelProto:
    """A convolution with 64 weights per channel, one with 9, and a matrix."""
    random = np.random.default_rng(0)
    shapes = {"pointwise": (32, 64, 1, 1), "depthwise": (128, 1, 3, 3), "head": (2, 1024)}
    tensors = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "depthwise"], ["a"], group=128),
            helper.make_node("Conv", ["y", "pointwise"], ["b"]),
            helper.make_node("Gemm", ["z", "head"], ["c"], transB=1),
        ],
        "three",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 128, 5, 5]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 2, 2]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1024]),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)
            for name, rank in (("a", 4), ("b", 4), ("c", 2))
        ],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=WEIGHTS, fill=WEIGHTS
    )
)
def test_no_weight_moves_by_more_than_half_a_scale(values: np.ndarray) -> None:
    numbers, scales = in_bytes(values)
    assert numbers.dtype == np.int8
    assert scales.shape == (len(values), 1)
    largest = np.abs(values).max(1, keepdims=True)
    # 1e-6: of float32 arithmetic
    assert (np.abs(from_bytes(numbers, scales) - values) <= scales / 2 + 1e-6 * largest).all()
    assert np.array_equal(np.abs(numbers).max(1), np.where(largest[:, 0] > 0, 127, 0))


def test_a_known_channel() -> None:
    numbers, scales = in_bytes(np.array([[2.54, -1.27, 0.011], [0, 0, 0]], np.float32))
    assert numbers.tolist() == [[127, -64, 1], [0, 0, 0]]
    np.testing.assert_allclose(scales, [[0.02], [0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("storage", "types"),
    [
        ("float32", {"pointwise": np.float32, "depthwise": np.float32, "head": np.float32}),
        (
            "float16",
            {"pointwise.half": np.float16, "depthwise.half": np.float16, "head.half": np.float16},
        ),
        (
            "int8",
            {
                "pointwise.bytes": np.int8,
                "pointwise.scales": np.float32,
                "depthwise.half": np.float16,
                "head.half": np.float16,
            },
        ),
    ],
)
def test_bytes_are_for_sums_of_many_weights(storage, types) -> None:
    model = a_model()
    before = stored_weights(model.graph)
    store_smaller(model.graph, storage)
    onnx.checker.check_model(model, full_check=True)
    found = {t.name: numpy_helper.to_array(t).dtype.type for t in model.graph.initializer}
    assert found == types
    after = stored_weights(model.graph)
    assert sorted(after) == sorted(before)
    for name, values in before.items():
        bound = 0.0 if storage == "float32" else 0.02
        np.testing.assert_allclose(after[name], values, atol=bound, err_msg=name)


def test_onnx_runtime_restores_weights_once_and_to_the_bit(tmp_path: Path) -> None:
    model = a_model()
    store_smaller(model.graph, "int8")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "opened.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    opened = onnx.load(tmp_path / "opened.onnx").graph
    assert {node.op_type for node in opened.node} == {"Conv", "Gemm"}
    computed = [numpy_helper.to_array(tensor) for tensor in opened.initializer]
    for values in stored_weights(model.graph).values():
        assert any(np.array_equal(values, found) for found in computed)
