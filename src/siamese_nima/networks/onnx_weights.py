"""Model files back into networks that can be trained on.

The exporter folds each batch norm into the convolution before it. The way back gives the norm mean
0, variance 1 and the folded bias, so that the network computes what the file does; see
`quantised_mobilenet.reinsert_batch_norm` for statistics of real photos.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from siamese_nima.card import METADATA_KEY, ModelCard, golden_photo
from siamese_nima.errors import CardError, ConfigError, WeightsError, name_some
from siamese_nima.networks.nima import NIMA, PhotoNIMA, build_nima_for
from siamese_nima.networks.onnx_storage import stored_weights
from siamese_nima.scoring.model import GOLDEN_TOLERANCE
from siamese_nima.taste.features import has_taste

_PREFIX = "nima."  # of every weight in the graph of a `PhotoNIMA`
_TRACED_PX = 96
_FOLDED = ".folded"


def read_onnx_weights(path: str | os.PathLike[str]) -> tuple[NIMA, ModelCard]:
    """The network of a model file, as `export_onnx` wrote it.

    Returns:
        The network in inference mode on the CPU, and its card. It rates the card's self-test
        picture as the file does.

    Raises:
        WeightsError: No such file, not a model file of siamese-nima, or its weights do not fit the
            network that its card describes; a network is never returned with random weights.
    """
    source = Path(path)
    tensors, card = _read(source)
    try:
        nima = build_nima_for(card)
    except ConfigError as error:
        raise WeightsError(f"{source}: its network cannot be built: {error}") from error
    _unfold(nima, tensors)
    wanted = nima.state_dict()
    lacking = [name for name in wanted if name not in tensors and not _is_counter(name)]
    if lacking:
        raise WeightsError(
            f"{source}: {len(lacking)} tensors of its {card.backbone} are not in the file: "
            f"{name_some(lacking)}. Only networks of convolutions can be read back; start from "
            "the checkpoint it was exported from."
        )
    found = {name: tensors.get(name, tensor) for name, tensor in wanted.items()}
    if misfits := [name for name in wanted if found[name].shape != wanted[name].shape]:
        raise WeightsError(
            f"{source}: tensors do not fit the {card.backbone} of its card: {name_some(misfits)}"
        )
    nima.load_state_dict(found)
    _check(source, nima.eval(), card)
    return nima, card


def _read(source: Path) -> tuple[dict[str, Tensor], ModelCard]:
    if not source.is_file():
        raise WeightsError(f"{source}: no such model file")
    try:
        graph = onnx.load(source)
    # protobuf answers a damaged file with its own exceptions.
    except Exception as error:
        raise WeightsError(f"{source}: not a readable ONNX file ({error})") from error
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    if METADATA_KEY not in metadata:
        raise WeightsError(f"{source}: an ONNX file without a siamese-nima model card")
    try:
        card = ModelCard.from_json(metadata[METADATA_KEY])
    except CardError as error:
        raise WeightsError(f"{source}: {error}") from error
    if has_taste(graph.graph):
        raise WeightsError(
            f"{source}: a personal model, which scores but cannot be trained on or exported; take "
            "the model that it was made from"
        )
    return _named_tensors(graph.graph), card


def _named_tensors(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """The graph's weights by their paths in the network, and `CONVOLUTION.folded` biases."""
    stored = {name: torch.from_numpy(values) for name, values in stored_weights(graph).items()}
    tensors = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in stored.items()
        if name.startswith(_PREFIX)
    }
    for node in graph.node:
        if node.op_type == "Conv":
            convolution = node.input[1].removeprefix(_PREFIX).removesuffix(".weight")
            # A bias of zeros is left out of the graph, and equal ones are stored once.
            bias = stored.get(node.input[2]) if len(node.input) > 2 else None
            channels = stored[node.input[1]].shape[0]
            tensors[convolution + _FOLDED] = torch.zeros(channels) if bias is None else bias
    return tensors


def _unfold(nima: NIMA, tensors: dict[str, Tensor]) -> None:
    """Put the biases into the norms that were folded away, and into convolutions without one."""
    norms = _folding_pairs(nima)
    for name in [name for name in tensors if name.endswith(_FOLDED)]:
        convolution = name.removesuffix(_FOLDED)
        if convolution not in norms:
            tensors.setdefault(f"{convolution}.bias", tensors[name])
    for convolution, norm in norms.items():
        # A norm that the exporter left as it is has its weights in the file.
        if convolution + _FOLDED not in tensors or f"{norm}.running_var" in tensors:
            continue
        bias = tensors[convolution + _FOLDED]
        epsilon = float(nima.get_submodule(norm).eps)  # type: ignore[arg-type]
        tensors[f"{norm}.weight"] = torch.full_like(bias, (1 + epsilon) ** 0.5)
        tensors[f"{norm}.bias"] = bias
        tensors[f"{norm}.running_mean"] = torch.zeros_like(bias)
        tensors[f"{norm}.running_var"] = torch.ones_like(bias)


def _folding_pairs(nima: NIMA) -> dict[str, str]:
    """The batch norm that takes the output of each convolution, by their paths."""
    pairs: dict[str, str] = {}
    made_by: dict[int, str] = {}
    kept: list[Tensor] = []  # so that no output's identity is given to another
    hooks: list[Any] = []

    def note_output(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def note(_: nn.Module, __: Any, output: Tensor) -> None:
            made_by[id(output)] = path
            kept.append(output)

        return note

    def note_input(path: str) -> Callable[[nn.Module, Any], None]:
        def note(_: nn.Module, inputs: Any) -> None:
            if id(inputs[0]) in made_by:
                pairs[made_by[id(inputs[0])]] = path

        return note

    for path, module in nima.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output(path)))
        elif isinstance(module, _BatchNorm):
            hooks.append(module.register_forward_pre_hook(note_input(path)))
    nima.eval()
    with torch.no_grad():
        nima.backbone(torch.zeros(1, 3, _TRACED_PX, _TRACED_PX))
    for hook in hooks:
        hook.remove()
    return pairs


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _check(source: Path, nima: NIMA, card: ModelCard) -> None:
    if card.golden is None:
        raise WeightsError(f"{source}: the model file has no self-test to check its weights by")
    views = torch.from_numpy(card.view.views(golden_photo())[np.newaxis])
    with torch.no_grad():
        found = PhotoNIMA(nima, card.normalisation).eval()(views)[0]
    worst = float((found - torch.tensor(card.golden)).abs().max())
    if not worst <= GOLDEN_TOLERANCE:
        raise WeightsError(
            f"{source}: the network read from it rates the self-test picture otherwise than its "
            f"card says, by {worst:.2g} in a probability (allowed {GOLDEN_TOLERANCE:g})"
        )
