"""How weights lie in a model file: whole, in half precision, or in a byte each.

Whatever is stored smaller is brought back to float32 by nodes that depend on nothing but weights.
ONNX Runtime computes those once, when it opens the file, so scoring takes no longer.
"""

from __future__ import annotations

from typing import Literal, assert_never

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.helper import make_node

Storage = Literal["float32", "float16", "int8"]

_FROM_SIZE = 1024  # smaller tensors (biases, normalisation) would save nothing
_LARGEST_HALF = 65504.0
# Rounding errors of many weights average out in a sum; a depthwise channel has 9 weights or 25.
# In bytes those alone double what scores move by, and would save .3 MB of 7.
_BYTES_FROM_SUMMANDS = 33
_LEVELS = 127  # of either sign
_HALF, _BYTES, _SCALES, _WHOLE = ".half", ".bytes", ".scales", ".whole"
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)

Floats32 = NDArray[np.float32]


def store_smaller(graph: onnx.GraphProto, storage: Storage) -> None:
    """Replace large float32 weights of a graph by smaller ones.

    Args:
        graph: Changed in place.
        storage: "float32" changes nothing. "float16" is half the size. "int8" stores convolutions
            with many weights per output channel as `in_bytes` has them, a quarter of the size, and
            all others as "float16" does: a head in bytes moves scores as much as all the rest.
    """
    if storage == "float32":
        return
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    stored: list[onnx.TensorProto] = []
    restoring: list[onnx.NodeProto] = []
    for weights in graph.initializer:
        values = numpy_helper.to_array(weights)
        if weights.data_type != onnx.TensorProto.FLOAT or values.size < _FROM_SIZE:
            stored.append(weights)
            continue
        match storage:
            case "int8" if weights.name in kernels and values[0].size >= _BYTES_FROM_SUMMANDS:
                tensors, back = _as_bytes(weights.name, values)
            case "int8" | "float16":
                tensors, back = _as_half(weights, values)
            case _:
                assert_never(storage)
        stored.extend(tensors)
        restoring.extend(back)
    nodes = [*restoring, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)


def stored_weights(graph: onnx.GraphProto) -> dict[str, Floats32]:
    """The float weights that a graph computes with, by their names before `store_smaller`."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith(_BYTES):
            kernel = name.removesuffix(_BYTES)
            scales = numpy_helper.to_array(tensors[kernel + _SCALES])
            weights[kernel] = from_bytes(numpy_helper.to_array(tensor), scales)
        elif tensor.data_type in _FLOATS and not name.endswith(_SCALES):
            weights[name.removesuffix(_HALF)] = numpy_helper.to_array(tensor).astype(np.float32)
    return weights


def in_bytes(values: Floats32) -> tuple[NDArray[np.int8], Floats32]:
    """Weights as whole numbers from -127 to 127, times one scale per output channel.

    Args:
        values: Shape (channels, ...).

    Returns:
        Numbers of the same shape, and scales of shape (channels, 1, ...), the largest weight of
        each channel / 127. No weight moves by more than half a scale.
    """
    axes = tuple(range(1, values.ndim))
    scales = np.abs(values).max(axes, keepdims=True) / np.float32(_LEVELS)
    numbers = values / np.where(scales > 0, scales, np.float32(1))
    return np.rint(numbers).clip(-_LEVELS, _LEVELS).astype(np.int8), scales


def from_bytes(numbers: NDArray[np.int8], scales: Floats32) -> Floats32:
    """The weights that `in_bytes` stored, to the bit as ONNX Runtime computes them."""
    return numbers.astype(np.float32) * scales


def _as_half(
    weights: onnx.TensorProto, values: Floats32
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    if np.abs(values).max() > _LARGEST_HALF:
        return [weights], []
    half = numpy_helper.from_array(values.astype(np.float16), weights.name + _HALF)
    return [half], [make_node("Cast", [half.name], [weights.name], to=onnx.TensorProto.FLOAT)]


def _as_bytes(name: str, values: Floats32) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    numbers, scales = in_bytes(values)
    stored = [
        numpy_helper.from_array(numbers, name + _BYTES),
        numpy_helper.from_array(scales, name + _SCALES),
    ]
    # Not DequantizeLinear: ONNX Runtime keeps those for its 8-bit convolutions, and computes them
    # in every run where it finds none.
    nodes = [
        make_node("Cast", [name + _BYTES], [name + _WHOLE], to=onnx.TensorProto.FLOAT),
        make_node("Mul", [name + _WHOLE, name + _SCALES], [name]),
    ]
    return stored, nodes
