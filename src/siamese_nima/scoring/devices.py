"""What computes: ONNX Runtime on the processor or another device, or OpenVINO."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from siamese_nima.cores import usable_cores
from siamese_nima.errors import ConfigError, MissingExtraError, WeightsError

Network: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

# ONNX Runtime's execution provider behind a device, and the extra that brings it.
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", ""),
    "cuda": ("CUDAExecutionProvider", "gpu"),
    "coreml": ("CoreMLExecutionProvider", ""),
}
DEVICES = ("cpu", "cuda", "openvino", "coreml")


def open_network(path: Path, content: bytes, *, threads: int, device: str) -> Network:
    """The network of a model file, ready to rate views.

    Args:
        path: Names the file in errors.
        content: The file.
        threads: Threads that one call may use.
        device: One of `DEVICES`.

    Returns:
        From views (N, V, H, W, 3) to rating distributions (N, K); may be called from several
        threads at once. It raises what the device raises.

    Raises:
        WeightsError: Not a model file.
        ConfigError: The device is unknown, or cannot be used on this machine.
        MissingExtraError: The device needs a package that is not installed.
    """
    if device not in DEVICES:
        raise ConfigError(f"device {device!r} is unknown; possible are {', '.join(DEVICES)}")
    if device == "openvino":
        return _open_openvino(path, content, threads=threads)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = start_session(path, content, options, device=device)

    def rate(views: NDArray[np.uint8]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = session.run(["distribution"], {"views": views})[0]
        return result

    return rate


def start_session(
    path: Path, content: bytes, options: ort.SessionOptions, *, device: str = "cpu"
) -> ort.InferenceSession:
    """A session of ONNX Runtime on exactly this device; it never falls back to another.

    Raises:
        WeightsError, ConfigError, MissingExtraError: As `open_network`.
    """
    provider, extra = _PROVIDERS[device]
    if provider not in ort.get_available_providers():
        if extra:
            raise MissingExtraError.of(f"Device {device!r}", extra)
        raise ConfigError(f"device {device!r}: this ONNX Runtime is built without {provider}")
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(content, options, providers=[provider])
    # ONNX Runtime raises bare exceptions of its own extension module.
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not a model file that can be loaded ({reason})") from error
    # Where a driver or a library is missing, ONNX Runtime takes the processor and only logs it.
    if session.get_providers()[0] != provider:
        raise ConfigError(
            f"device {device!r} cannot be used: {provider} did not start, its driver or libraries "
            "are missing. Install them, or score with --device cpu."
        )
    return session


def _open_openvino(path: Path, content: bytes, *, threads: int) -> Network:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError.of("Device 'openvino'", "openvino") from error
    cores = usable_cores()
    core: Any = openvino.Core()
    settings = {
        # Its own choice would be bfloat16 on some processors, which moves scores.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": cores,
        "NUM_STREAMS": max(1, cores // threads),
    }
    try:
        compiled = core.compile_model(core.read_model(content), "CPU", settings)
    # OpenVINO raises bare RuntimeErrors.
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise WeightsError(f"{path}: OpenVINO cannot compute this model ({reason})") from error
    requests = threading.local()

    def rate(views: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        result: NDArray[np.float32] = requests.own.infer({"views": views})["distribution"]
        return result.copy()

    return rate
