"""Model files: a network as one ONNX graph from pixels to rating distributions, with its card."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.export import Dim

from siamese_nima.atomic_write import write_whole
from siamese_nima.card import METADATA_KEY, ModelCard, golden_photo
from siamese_nima.errors import WeightsError
from siamese_nima.networks.backbones import simplify_same_padding
from siamese_nima.networks.nima import NIMA, PhotoNIMA, require_card
from siamese_nima.networks.onnx_storage import Storage, store_smaller

# Per probability. Both compute in float32 and differ in the order of sums: 1e-6 is usual.
PARITY_TOLERANCE = 1e-4
# The same of weights that are stored smaller. Half precision: 11 bits, below 1e-3 was measured.
# Bytes: below 4e-3 on the self-test's picture, and 3e-2 at most on 130 photos, with `quality`.
STORED_TOLERANCE: dict[Storage, float] = {"float16": 5e-3, "int8": 5e-2}

_AXES = ("photos", "views", "height", "width")


def export_onnx(
    nima: NIMA, card: ModelCard, path: str | os.PathLike[str], *, storage: Storage = "float32"
) -> ModelCard:
    """Write the model file that `Scorer` reads; it appears complete or not at all.

    The graph reads `views`, uint8 (photos, views, height, width, 3), and gives `distribution`,
    float32 (photos, K). All axes but the last are free, except that a network with several groups
    of views needs exactly its own number of them, and a backbone that works at one size only (most
    vision transformers) that size.

    Args:
        nima: On any device, in any mode; it is not changed.
        card: Its view policy must fit `nima`. Its self-test is made anew.
        path: Ends in `.onnx`.
        storage: How large weights are stored: "float16" halves the file; "int8" makes it a quarter,
            with a byte for each weight of a convolution. All compute in float32, equally fast.

    Returns:
        The card in the file, with the rating distribution of the self-test.

    Raises:
        WeightsError: The file would not compute what torch does, the card does not fit, or the file
            cannot be written.
    """
    target = Path(path)
    require_card(nima, card, target)
    network = PhotoNIMA(copy.deepcopy(nima), card.normalisation).cpu().eval()
    simplify_same_padding(network)
    for module in network.modules():
        # The exporter takes twice as long over activations that overwrite their input.
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    golden_views = card.view.views(golden_photo())[np.newaxis]
    graph = _traced(target, network, golden_views)
    golden = _checked(target, graph, network, golden_views, PARITY_TOLERANCE)
    if storage != "float32":
        store_smaller(graph.graph, storage)
        # The file's own result: rounded weights are another network, if only by a little.
        _checked(target, graph, network, golden_views, STORED_TOLERANCE[storage])
        golden = _run(graph, golden_views)
    card = card.with_golden(golden[0])
    onnx.helper.set_model_props(graph, {METADATA_KEY: card.to_json()})
    write_whole(target, graph.SerializeToString(), WeightsError)
    return card


def write_card(path: str | os.PathLike[str], card: ModelCard) -> None:
    """Give a model file another card; its network stays as it is.

    Raises:
        WeightsError: The file cannot be written.
    """
    target = Path(path)
    graph = onnx.load(target)
    kept = {entry.key: entry.value for entry in graph.metadata_props}
    onnx.helper.set_model_props(graph, kept | {METADATA_KEY: card.to_json()})
    write_whole(target, graph.SerializeToString(), WeightsError)


def _traced(target: Path, network: PhotoNIMA, golden_views: NDArray[np.uint8]) -> onnx.ModelProto:
    group_sizes = network.nima.group_sizes
    count = sum(group_sizes) if len(group_sizes) > 1 else 2
    # Two of everything and unequal sides: the exporter takes 1 and coincidences for constants.
    example = torch.zeros(2, count, 192, 224, 3, dtype=torch.uint8)
    free: dict[int, Any] = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    if len(group_sizes) == 1:
        free[1] = Dim.DYNAMIC
    try:
        if getattr(network.nima.backbone, "one_size", False):
            raise WeightsError("works at one size")
        graph = trace(network, example, free)
    # The exporter reports a fixed size through many types, down to AssertionError.
    except Exception:
        height, width = golden_views.shape[2:4]
        example = torch.zeros(2, count, height, width, 3, dtype=torch.uint8)
        fixed = {axis: dim for axis, dim in free.items() if axis < 2}
        try:
            graph = trace(network, example, fixed)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise WeightsError(
                f"{target}: this backbone cannot be exported to ONNX ({reason})"
            ) from error
    _tidy(graph)
    return graph


def trace(
    network: torch.nn.Module, example: torch.Tensor, free_axes: dict[int, Any]
) -> onnx.ModelProto:
    """The ONNX graph of a network of one input, `views`, and one output, `distribution`.

    Args:
        network: In inference mode.
        example: An input.
        free_axes: Those of the input whose size is free, as `torch.export` names them.

    Raises:
        WeightsError: There is none; the exporter raises errors of many other types, too.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["views"],
            output_names=["distribution"],
            dynamic_shapes=(free_axes,),
        )
    if program is None:
        raise WeightsError("the ONNX exporter returned nothing")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch and onnxscript say about themselves; failures still raise."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _tidy(graph: onnx.ModelProto) -> None:
    """Name the free axes, and drop the exporter's notes: they hold paths of this machine."""
    (views,), (distribution,) = graph.graph.input, graph.graph.output
    sizes = views.type.tensor_type.shape.dim
    names = {size.dim_param: axis for size, axis in zip(sizes, _AXES, strict=False)}
    for size in (*sizes, *distribution.type.tensor_type.shape.dim):
        if size.dim_param:
            size.dim_param = names.get(size.dim_param, size.dim_param)
    # Inner shapes are in terms of the exporter's own symbols; ONNX Runtime infers them.
    del graph.graph.value_info[:]
    graph.ClearField("doc_string")
    for part in (graph.graph, *graph.graph.node, *graph.graph.initializer, views, distribution):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    if graph.functions:
        for function in graph.functions:
            for node in function.node:
                node.ClearField("doc_string")
                node.ClearField("metadata_props")


def _checked(
    target: Path,
    graph: onnx.ModelProto,
    network: PhotoNIMA,
    golden_views: NDArray[np.uint8],
    tolerance: float,
) -> NDArray[np.float32]:
    """Torch's distribution of the golden picture, when ONNX Runtime agrees on all samples."""
    sizes = graph.graph.input[0].type.tensor_type.shape.dim[2:4]
    samples = [golden_views, np.concatenate([golden_views, 255 - golden_views[:, :, ::-1]])]
    if all(size.dim_param for size in sizes):
        # Another, uneven size; larger, since a backbone may not take smaller ones.
        down, left = _other_size(network.nima.backbone)
        edges = ((0, 0), (0, 0), (0, down), (left, 0), (0, 0))
        samples.append(np.pad(golden_views, edges, "edge"))
    expected = []
    for views in samples:
        with torch.no_grad():
            expected.append(network(torch.from_numpy(views)).numpy())
        worst = float(np.abs(_run(graph, views) - expected[-1]).max())
        if not worst <= tolerance:
            raise WeightsError(
                f"{target}: not written, since ONNX Runtime and torch differ by {worst:.2g} in a "
                f"probability on views of shape {views.shape} (allowed {tolerance:g})"
            )
    golden: NDArray[np.float32] = expected[0]
    return golden


def _other_size(backbone: torch.nn.Module) -> tuple[int, int]:
    """Pixels to add to two sides: as uneven as may be, whole patches for a transformer."""
    patches = getattr(getattr(backbone, "patch_embed", None), "patch_size", None)
    return (9, 30) if patches is None else (patches[0], 2 * patches[1])


def _run(graph: onnx.ModelProto, views: NDArray[np.uint8]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result: NDArray[np.float32] = session.run(["distribution"], {"views": views})[0]
    return result
