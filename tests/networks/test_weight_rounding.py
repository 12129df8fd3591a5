"""Rounded weights lie on their grid; sums over what a layer sees change less than by rounding."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from siamese_nima.networks.weight_rounding import round_weights, rounded


def problem(seed, outputs=6, inputs=12):
    """Weights, and correlated inputs as neighbouring channels give them."""
    random = np.random.default_rng(seed)
    seen = random.normal(size=(400, 3)) @ random.normal(size=(3, inputs))
    return random.normal(size=(outputs, inputs)), seen + 0.2 * random.normal(size=seen.shape)


@given(st.integers(0, 10_000), st.sampled_from([7, 64]))
@settings(max_examples=25)
def test_weights_are_whole_multiples_of_the_step_and_no_larger_than_allowed(seed, levels):
    rows, seen = problem(seed)
    found, steps = rounded(rows, seen.T @ seen, levels)
    whole = found / steps[:, None]
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-9)
    assert np.abs(whole).max() <= levels + 1e-9
    np.testing.assert_allclose(steps, np.abs(rows).max(1) / levels)


def test_sums_change_by_less_than_half_of_what_rounding_to_the_nearest_changes():
    ours = nearest = 0.0
    for seed in range(20):
        rows, seen = problem(seed)
        found, steps = rounded(rows, seen.T @ seen, 7)
        plain = np.round(rows / steps[:, None]) * steps[:, None]
        ours += np.square(seen @ (found - rows).T).mean()
        nearest += np.square(seen @ (plain - rows).T).mean()
    assert ours < 0.5 * nearest


def test_inputs_that_were_never_seen_change_nothing_for_others():
    rows, seen = problem(0)
    seen[:, 4] = 0
    found, _ = rounded(rows, seen.T @ seen, 64)
    assert np.isfinite(found).all()


def test_rows_of_nothing_stay_nothing():
    found, steps = rounded(np.zeros((2, 3)), np.eye(3), 64)
    assert not found.any()
    assert (steps > 0).all()


@pytest.mark.parametrize(("group", "levels"), [(1, 64), (4, 127)])
def test_a_layer_computes_nearly_the_same_with_rounded_weights(group, levels):
    random = np.random.default_rng(0)
    kernel = random.normal(size=(4, 4 // group, 3, 3)).astype(np.float32)
    layer = helper.make_node(
        "Conv", ["pixels", "kernel"], ["out"], group=group, pads=[1] * 4, strides=[2, 2]
    )
    graph = helper.make_graph(
        [helper.make_node("Cast", ["views"], ["pixels"], to=onnx.TensorProto.FLOAT), layer],
        "layer",
        [helper.make_tensor_value_info("views", onnx.TensorProto.UINT8, [1, 4, 16, 16])],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    views = [random.integers(0, 255, (1, 4, 16, 16)).astype(np.uint8) for _ in range(4)]
    grids = round_weights(model, views, levels=64, levels_of_depthwise=127)
    found = numpy_helper.to_array(model.graph.initializer[0])
    assert grids["kernel"].levels == levels
    assert 0 < np.abs(found - kernel).max() < 2 * np.abs(kernel).max() / levels
