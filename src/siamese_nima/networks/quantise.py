"""8-bit model files: the network of a model file with integer convolutions, and what that costs.

Static quantisation: ranges of all activations are measured on photos, weights get one scale per
output channel and are rounded so that sums over real photos change least. Weights keep 7 of their 8
bits, so that sums of two products fit the 16 bits that processors without dot-product instructions
add them in; scores are then the same everywhere. Those of depthwise convolutions, which are added
in 32 bits on every processor and cost most of the accuracy, keep all 8. Networks of such
convolutions start in float, up to the second of them, and all end in it, from the averages over the
picture on: there 8 bits would move scores most, of photos with large even areas above all, and
little time is to be gained.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from siamese_nima.atomic_write import write_whole
from siamese_nima.card import METADATA_KEY, ModelCard, golden_photo
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.evaluation.metrics import srcc
from siamese_nima.networks.weight_rounding import Grid, round_weights
from siamese_nima.photos.read import PhotoSource, read_photo
from siamese_nima.photos.views import DECODE_MARGIN
from siamese_nima.ratings import mean
from siamese_nima.scoring.model import INT8, ModelFile, open_network

LEAST_PHOTOS = 4
_LEVELS = 64  # to either side of 0: 7 bits
_LEVELS_OF_DEPTHWISE = 127

_QUANTISED = (
    "Conv",
    "Clip",
    "Relu",
    "Add",
    "Concat",
    "MaxPool",
    "AveragePool",
)
_AVERAGES = ("ReduceMean", "GlobalAveragePool")

_METHODS = {
    "min-max": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisationCost:
    """How scores of the 8-bit network differ from those of the one it was made from.

    Measured on photos that took no part in the quantisation. In rating points.

    Attributes:
        photos: How many.
        mean: Mean difference, 8-bit minus float.
        mean_absolute: Mean of its size.
        largest: Its largest size.
        rank_correlation: SRCC between the scores of both.
    """

    photos: int
    mean: float
    mean_absolute: float
    largest: float
    rank_correlation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """How a network is put into 8 bits; benchmarks/quality/int8_search.py says what each does.

    Attributes:
        float_ends: Whether layers before the second depthwise convolution stay in float, and all
            that is done with averages over the picture.
        ranges: What activations may be: from the least to the most that was seen on photos, or so
            much of that as the other two methods of ONNX Runtime leave.
        percentile: Share of all values that lie within, of 100.
        symmetric: Whether ranges reach as far below 0 as above.
    """

    float_ends: bool = True
    ranges: Literal["min-max", "percentile", "entropy"] = "min-max"
    percentile: float = 99.999
    symmetric: bool = False


def quantise_model(
    model: str | os.PathLike[str],
    photos: Sequence[PhotoSource],
    path: str | os.PathLike[str],
    how: Quantisation = Quantisation(),
) -> QuantisationCost:
    """Write an 8-bit model file; it appears complete or not at all.

    Every other photo takes part, the rest measure the cost. The card is that of the model, with
    the model as its parent, the cost among its metrics and a self-test of its own; its identity
    says "-int8".

    Args:
        model: A model file that computes in float.
        photos: Such as will be scored; a hundred or more.
        path: Ends in `.onnx`.
        how: What is done.

    Returns:
        The cost, as the card holds it.

    Raises:
        WeightsError: The model cannot be used or is of 8 bits already, or the file cannot be
            written.
        PhotoError: A photo cannot be read.
        ConfigError: Fewer than `LEAST_PHOTOS` photos.
    """
    if len(photos) < LEAST_PHOTOS:
        raise ConfigError(f"quantising needs at least {LEAST_PHOTOS} photos, got {len(photos)}")
    source = ModelFile(model)
    if INT8 in source.card.metrics:
        raise WeightsError(f"{source.path}: is of 8 bits already; give the model it was made from")
    views = [_views(source.card, photo)[np.newaxis] for photo in photos]
    seen, unseen = views[0::2], views[1::2]
    graph = _quantised(source.path, seen, how)
    _centre(graph, source, seen)
    cost = _cost(graph, source, unseen)
    golden = _rated(graph, [source.card.view.views(golden_photo())[np.newaxis]])
    card = replace(
        source.card.with_golden(golden[0]),
        metrics={**source.card.metrics, INT8: asdict(cost)},
        parent=source.digest,
    )
    onnx.helper.set_model_props(graph, {METADATA_KEY: card.to_json()})
    write_whole(path, graph.SerializeToString(), WeightsError)
    return cost


def spread_evenly(photos: Sequence[Path], most: int) -> list[Path]:
    """At most so many photos, evenly spread over all: folders are often in the order of time."""
    places = np.linspace(0, len(photos) - 1, min(most, len(photos))).round().astype(int)
    return [photos[place] for place in places]


def _views(card: ModelCard, photo: PhotoSource) -> NDArray[np.uint8]:
    least = card.view.short_side_px
    return card.view.views(read_photo(photo, min_short_side_px=least and DECODE_MARGIN * least))


class _Views(CalibrationDataReader):  # type: ignore[misc]
    """Views as ONNX Runtime asks for them while it measures ranges."""

    def __init__(self, views: Sequence[NDArray[np.uint8]]) -> None:
        self._left = iter(views)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        views = next(self._left, None)
        return None if views is None else {"views": views}


def _quantised(
    source: Path, views: Sequence[NDArray[np.uint8]], how: Quantisation
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as name:
        folded, target = Path(name) / "folded.onnx", Path(name) / "quantised.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Folds half-precision weights and constants, and leaves a graph that any processor runs.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(folded)
        floats = _spared(graph) if how.float_ends else []
        for place, node in enumerate(floats):
            node.name = f"in float {place}"  # the names of others may be missing
        inputs = {name for node in floats for name in node.input}
        grids = round_weights(
            graph,
            views,
            levels=_LEVELS,
            levels_of_depthwise=_LEVELS_OF_DEPTHWISE,
            spared=inputs,
        )
        onnx.save(graph, folded)
        with _quiet():
            quantize_static(
                folded,
                target,
                _Views(views),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTISED),
                nodes_to_exclude=[node.name for node in floats],
                per_channel=True,
                reduce_range=True,
                # Unsigned: the instructions that processors have take unsigned times signed.
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=_METHODS[how.ranges],
                extra_options={
                    "TensorQuantOverrides": _ranges(grids),
                    "CalibPercentile": how.percentile,
                    "ActivationSymmetric": how.symmetric,
                },
            )
        quantised = onnx.load(target)
    _pad_bytes(quantised.graph)
    return quantised


def _spared(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that stay in float: before the second depthwise layer, and behind averages."""
    nodes = list(graph.graph.node)
    kernels = {tensor.name: tensor.dims for tensor in graph.graph.initializer}
    depthwise = [
        place
        for place, node in enumerate(nodes)
        if node.op_type == "Conv"
        for outputs, inputs, *_ in [kernels.get(node.input[1], (0, 0))]
        if inputs == 1 and outputs > 1
    ]
    found = nodes[: depthwise[1]] if len(depthwise) > 1 else []
    averages: set[str] = set()
    for node in nodes:
        if node.op_type in _AVERAGES or (
            node.op_type not in ("Conv", "Mul") and averages.intersection(node.input)
        ):
            averages.update(node.output)
            found.append(node)
    return [node for node in found if node.op_type in _QUANTISED]


def _pad_bytes(graph: onnx.GraphProto) -> None:
    """Where zeros are put around floats that become integers, put them around the integers.

    They are a quarter as large, and 0 is an integer in every range.
    """
    for pad in graph.node:
        readers = [node for node in graph.node if pad.output[0] in node.input]
        plain = pad.op_type == "Pad" and len(pad.input) == 2
        if not plain or [node.op_type for node in readers] != ["QuantizeLinear"]:
            continue
        earlier, later = onnx.NodeProto(), onnx.NodeProto()
        earlier.CopyFrom(readers[0])
        later.CopyFrom(pad)
        earlier.input[0], later.output[0] = pad.input[0], earlier.output[0]
        earlier.output[0] = later.input[0] = f"{pad.output[0]}_integers"
        later.input.append(earlier.input[2])
        pad.CopyFrom(earlier)
        readers[0].CopyFrom(later)


def _ranges(grids: Mapping[str, Grid]) -> dict[str, list[dict[str, Any]]]:
    """Weights as they were rounded, also where none is as large as the largest was."""
    return {
        name: [
            {
                "axis": 0,
                "rmin": np.float32(-grid.levels * step),
                "rmax": np.float32(grid.levels * step),
                "reduce_range": grid.levels == _LEVELS,
            }
            for step in grid.steps
        ]
        for name, grid in grids.items()
    }


def _centre(graph: onnx.ModelProto, source: ModelFile, views: Sequence[NDArray[np.uint8]]) -> None:
    """Take the mean error of the logits out of the bias of the last layer."""
    head = [node for node in graph.graph.node if node.op_type == "Gemm"][-1]
    [bias] = [weights for weights in graph.graph.initializer if weights.name == head.input[2]]
    wanted = np.concatenate([source.rate(batch) for batch in views])
    moved = (np.log(wanted) - np.log(_rated(graph, views))).mean(0)
    values = onnx.numpy_helper.to_array(bias) + moved
    bias.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), bias.name))


def _cost(
    graph: onnx.ModelProto, source: ModelFile, views: Sequence[NDArray[np.uint8]]
) -> QuantisationCost:
    scale = source.card.scale
    before = mean(np.concatenate([source.rate(batch) for batch in views]), scale)
    after = mean(_rated(graph, views), scale)
    moved = after - before
    return QuantisationCost(
        photos=len(views),
        mean=round(float(moved.mean()), 4),
        mean_absolute=round(float(np.abs(moved).mean()), 4),
        largest=round(float(np.abs(moved).max()), 4),
        rank_correlation=round(srcc(after, before), 4),
    )


def _rated(graph: onnx.ModelProto, views: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    # As `ModelFile` will: another number of threads may order sums of floats in another way.
    network = open_network(Path("quantised"), graph.SerializeToString(), threads=1, device="cpu")
    return np.concatenate([network(batch) for batch in views])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice about a preparation that the graph has had already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
