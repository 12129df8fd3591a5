"""Weights of a network on a coarse grid, rounded so that what it computes moves least.

To the nearest value each weight errs by itself, and the errors of a sum add up. Here a weight takes
the errors of those before it along: minimal is the error of the sums over what the layer sees on
real photos. On `quality` in 8 bits this moves scores a third as far (benchmarks/quality/int8.py).

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", ICLR 2023. arXiv:2210.17323
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from siamese_nima.ratings import Floats

_DAMPING = 0.01  # of the mean square input: what was seen on a few photos is not all there is
_PATCHES = 600  # of one photo and layer; neighbours say the same


@dataclass(frozen=True, slots=True)
class Grid:
    """What the weights of a layer were rounded to.

    Attributes:
        levels: They are whole multiples, from -levels to levels, of a step.
        steps: The step of every output, shape (outputs,).
    """

    levels: int
    steps: Floats


def round_weights(
    graph: onnx.ModelProto,
    views: Iterable[NDArray[np.uint8]],
    *,
    levels: int,
    levels_of_depthwise: int,
    spared: Collection[str] = (),
) -> dict[str, Grid]:
    """Round the weights of all convolutions, in place.

    Args:
        graph: A network with constant weights; its input is called "views".
        views: Of photos such as will be scored, each of shape (1, V, H, W, 3).
        levels: Weights become whole multiples, from -levels to levels, of a step for each output.
        levels_of_depthwise: The same where each output sees one channel.
        spared: Names of weights that stay as they are.

    Returns:
        The grids by the names of the weights.
    """
    weights = {tensor.name: tensor for tensor in graph.graph.initializer}
    layers = [
        node
        for node in graph.graph.node
        if node.op_type == "Conv" and node.input[1] not in spared and _plain(node)
    ]
    grids = {}
    for layer, squares in zip(layers, _input_squares(graph, layers, views), strict=True):
        tensor = weights[layer.input[1]]
        kernel = numpy_helper.to_array(tensor)
        rows = kernel.reshape(len(kernel), -1)
        own = len(rows) // len(squares)  # outputs that see the same inputs
        most = levels_of_depthwise if kernel.shape[1] == 1 and len(squares) > 1 else levels
        parts = [
            rounded(rows[own * group : own * (group + 1)], square, most)
            for group, square in enumerate(squares)
        ]
        values = np.concatenate([part for part, _ in parts]).reshape(kernel.shape)
        grids[tensor.name] = Grid(most, np.concatenate([step for _, step in parts]))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return grids


def rounded(rows: NDArray[Any], squares: Floats, levels: int) -> tuple[Floats, Floats]:
    """Rows of weights on a grid, so that rows @ input changes least in the mean square.

    Args:
        rows: Shape (outputs, inputs).
        squares: Sum of input @ input.T over the inputs that were seen, shape (inputs, inputs).
        levels: As `round_weights` has it.

    Returns:
        The rows, and the step of each, shape (outputs,).

    >>> rounded(np.array([[0.5, 0.26]]), np.eye(2), 2)[0].tolist()
    [[0.5, 0.25]]
    """
    steps = np.abs(rows).max(1, initial=0.0).astype(np.float64) / levels
    steps[steps == 0] = 1.0
    count = rows.shape[1]
    scale = float(np.trace(squares)) / count or 1.0
    curvature = squares + _DAMPING * scale * np.eye(count)
    # What matters most is rounded first, while others are left to make up for it.
    order = np.argsort(-np.diag(curvature))
    factor = np.linalg.cholesky(np.linalg.inv(curvature[np.ix_(order, order)])).T
    left = rows[:, order].astype(np.float64)
    found = np.empty_like(left)
    for place in range(count):
        whole = np.clip(np.round(left[:, place] / steps), -levels, levels)
        found[:, place] = whole * steps
        error = (left[:, place] - found[:, place]) / factor[place, place]
        left[:, place + 1 :] -= np.outer(error, factor[place, place + 1 :])
    return found[:, np.argsort(order)], steps


def _plain(layer: onnx.NodeProto) -> bool:
    given = {one.name: helper.get_attribute_value(one) for one in layer.attribute}
    return set(given.get("dilations", [1])) == {1} and given.get("auto_pad", b"NOTSET") == b"NOTSET"


def _input_squares(
    graph: onnx.ModelProto, layers: list[onnx.NodeProto], views: Iterable[NDArray[np.uint8]]
) -> list[list[Floats]]:
    """Of every layer, and every group of its channels, the sum of input @ input.T over photos."""
    shown = onnx.ModelProto()
    shown.CopyFrom(graph)
    known = {output.name for output in shown.graph.output}
    wanted = sorted({layer.input[0] for layer in layers})
    for name in wanted:
        if name not in known:
            shown.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kernels = {tensor.name: tensor.dims[2:] for tensor in graph.graph.initializer}
    random = np.random.default_rng(0)
    sums: list[Any] = [0.0 for _ in layers]
    for photo in views:
        seen = dict(zip(wanted, session.run(wanted, {"views": photo}), strict=True))
        for place, layer in enumerate(layers):
            patches = _patches(layer, seen[layer.input[0]], kernels[layer.input[1]], random)
            sums[place] = sums[place] + (patches.transpose(0, 2, 1) @ patches).astype(np.float64)
    return [list(each) for each in sums]


def _patches(
    layer: onnx.NodeProto, seen: NDArray[Any], kernel: Any, random: np.random.Generator
) -> NDArray[Any]:
    """Some of what a layer multiplies its weights by, shape (groups, patches, inputs)."""
    given = {one.name: helper.get_attribute_value(one) for one in layer.attribute}
    groups, (down, across) = given.get("group", 1), given.get("strides", [1, 1])
    above, left, below, right = given.get("pads", [0, 0, 0, 0])
    padded = np.pad(seen, ((0, 0), (0, 0), (above, below), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), axis=(2, 3))
    windows = windows[:, :, ::down, ::across]
    count, _, height, width = windows.shape[:4]
    places = random.choice(count * height * width, min(_PATCHES, count * height * width), False)
    photo, row, column = np.unravel_index(places, (count, height, width))
    patches = windows[photo, :, row, column].reshape(len(places), groups, -1)
    return patches.transpose(1, 0, 2)
