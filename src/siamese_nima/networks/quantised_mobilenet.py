"""ImageNet MobileNets from 8-bit TensorFlow Lite files, as float backbones with batch norms.

The files hold convolutions with their batch norms folded in. To train on, the norms are put back so
that the network computes what it did: with the folded kernel W and bias b, and the mean m and
variance v of the convolution's output measured on real photos,

    gamma = sqrt(v + epsilon),  beta = b + m,  running mean m,  running variance v

give gamma * (W x - m) / sqrt(v + epsilon) + beta = W x + b.

Reading the files needs the package `tflite` (extra `train`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siamese_nima.card import Normalisation
from siamese_nima.errors import MissingExtraError, WeightsError
from siamese_nima.networks.backbones import BackboneOptions, build_backbone
from siamese_nima.networks.nima import PixelNormalisation

MobileNetName = Literal["mobilenetv1_100", "mobilenetv2_100"]

KERAS_OPTIONS = BackboneOptions(bn_epsilon=1e-3, padding="keras2")

_BATCH = 32
_POOLS = ("AVERAGE_POOL_2D", "MEAN")


class QuantisedMobileNet(NamedTuple):
    """What an 8-bit file holds, dequantised.

    Attributes:
        convolutions: With their batch norms folded in, in the order of computation: kernels in
            torch's order (out, in / groups, height, width) and biases (out,). A classifier after
            the global pooling is left out.
        normalisation: From pixels to what the first convolution takes.
    """

    convolutions: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    normalisation: Normalisation


def read_quantised_mobilenet(path: str | os.PathLike[str]) -> QuantisedMobileNet:
    """Dequantise the convolutions of a TensorFlow Lite file.

    Raises:
        WeightsError: No such file, or not an 8-bit network of plain and depthwise convolutions.
        MissingExtraError: The package `tflite` is not installed.
    """
    try:
        import tflite
    except ImportError as error:
        raise MissingExtraError.of("Reading TensorFlow Lite files", "train") from error
    source = Path(path)
    try:
        model = tflite.Model.GetRootAsModel(source.read_bytes(), 0)
        graph = model.Subgraphs(0)
        names = {code: name for name, code in vars(tflite.BuiltinOperator).items()}
        convolutions = []
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            code = model.OperatorCodes(operator.OpcodeIndex())
            kind = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if kind in _POOLS:
                break
            if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                convolutions.append(_folded(model, graph, operator, kind == "DEPTHWISE_CONV_2D"))
        entry = graph.Tensors(graph.Inputs(0)).Quantization()
        normalisation = _normalisation(float(entry.ZeroPoint(0)), float(entry.Scale(0)))
    except OSError as error:
        raise WeightsError(f"{source}: cannot be read ({error})") from error
    # The flatbuffer reader answers a damaged file with whatever its unpacking met.
    except Exception as error:
        raise WeightsError(
            f"{source}: not an 8-bit TensorFlow Lite network ({type(error).__name__}: {error})"
        ) from error
    if not convolutions:
        raise WeightsError(f"{source}: holds no convolution before a global pooling")
    return QuantisedMobileNet(tuple(convolutions), normalisation)


def build_dequantised(name: MobileNetName, weights: QuantisedMobileNet) -> nn.Module:
    """A float backbone that computes what the 8-bit network does, up to its rounding.

    In inference mode, built with `KERAS_OPTIONS`. Its batch norms have mean 0 and variance 1; see
    `reinsert_batch_norm`.

    Raises:
        WeightsError: The weights are of another network.
    """
    backbone = build_backbone(name, KERAS_OPTIONS).eval()
    pairs = _convolutions_with_norms(backbone)
    shapes = [tuple(convolution.weight.shape) for convolution, _ in pairs]
    found = [kernel.shape for kernel, _ in weights.convolutions]
    if shapes != found:
        first = next(
            (i for i, (a, b) in enumerate(zip(shapes, found, strict=False)) if a != b),
            min(len(shapes), len(found)),
        )
        raise WeightsError(
            f"weights do not fit {name}: it has {len(shapes)} convolutions, found {len(found)}; "
            f"the first difference is at number {first}"
        )
    with torch.no_grad():
        for (convolution, norm), (kernel, bias) in zip(pairs, weights.convolutions, strict=True):
            convolution.weight.copy_(torch.from_numpy(kernel))
            norm.bias.copy_(torch.from_numpy(bias))
            norm.weight.fill_((1 + norm.eps) ** 0.5)
    return backbone


def reinsert_batch_norm(
    backbone: nn.Module, normalisation: Normalisation, photos: NDArray[np.uint8]
) -> None:
    """Give every batch norm the statistics of real photos without changing what is computed.

    Args:
        backbone: Changed in place; each of its convolutions feeds one batch norm.
        normalisation: From pixels to network input.
        photos: uint8, shape (N, H, W, 3), a hundred or more.
    """
    moments: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}

    def measuring(norm: nn.Module) -> Callable[[nn.Module, Any, Tensor], None]:
        def measure(_: nn.Module, __: Any, output: Tensor) -> None:
            values = output.double()
            moments.setdefault(norm, []).append(
                (values.mean((0, 2, 3)), values.square().mean((0, 2, 3)))
            )

        return measure

    pairs = _convolutions_with_norms(backbone)
    hooks = [pair[0].register_forward_hook(measuring(pair[1])) for pair in pairs]
    normalise = PixelNormalisation(normalisation)
    whole = photos[: len(photos) - len(photos) % _BATCH] if len(photos) > _BATCH else photos
    with torch.no_grad():
        for start in range(0, len(whole), _BATCH):
            batch = torch.from_numpy(np.array(whole[start : start + _BATCH]))
            backbone(normalise(batch.unsqueeze(1)).squeeze(1))
        for hook in hooks:
            hook.remove()
        for norm in (pair[1] for pair in pairs):
            mean, square = (torch.stack(part).mean(0) for part in zip(*moments[norm], strict=True))
            _keep_function(norm, mean, (square - mean.square()).clamp(min=0))


def _keep_function(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    before = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)  # type: ignore[union-attr]
    offset = norm.bias.double() - before * norm.running_mean.double()  # type: ignore[union-attr]
    norm.weight.copy_(before * torch.sqrt(variance + norm.eps))
    norm.bias.copy_(offset + before * mean)
    norm.running_mean.copy_(mean)  # type: ignore[union-attr]
    norm.running_var.copy_(variance)  # type: ignore[union-attr]


def _convolutions_with_norms(backbone: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    modules = list(backbone.modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))


def _folded(
    model: Any, graph: Any, operator: Any, depthwise: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    _, kernel, bias = (int(place) for place in operator.InputsAsNumpy())
    # Channels last, and depthwise kernels keep their channels where others have their inputs.
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    axis = 3 if depthwise else 0
    weights = _dequantised(model, graph, kernel, axis).transpose(order)
    return np.ascontiguousarray(weights), _dequantised(model, graph, bias, 0)


def _dequantised(model: Any, graph: Any, place: int, axis: int) -> NDArray[np.float32]:
    import tflite

    tensor = graph.Tensors(place)
    kinds = {
        tflite.TensorType.UINT8: np.uint8,
        tflite.TensorType.INT8: np.int8,
        tflite.TensorType.INT32: np.int32,
    }
    stored = model.Buffers(tensor.Buffer()).DataAsNumpy()
    integers = stored.view(kinds[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
    scales = tensor.Quantization().ScaleAsNumpy().astype(np.float64)
    zeros = tensor.Quantization().ZeroPointAsNumpy().astype(np.float64)
    if scales.size > 1:  # one per output channel
        shape = [1] * integers.ndim
        shape[axis] = -1
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    values: NDArray[np.float64] = (integers - zeros) * scales
    return values.astype(np.float32)


def _normalisation(zero: float, scale: float) -> Normalisation:
    return Normalisation(mean=(zero, zero, zero), std=(1 / scale, 1 / scale, 1 / scale))
