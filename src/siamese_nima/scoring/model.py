"""A model: one ONNX graph that carries its card, computed by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from siamese_nima.card import METADATA_KEY, ModelCard, golden_photo
from siamese_nima.cores import usable_cores
from siamese_nima.errors import (
    CardError,
    ConfigError,
    MissingExtraError,
    PhotoError,
    ViewError,
    WeightsError,
)
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.onnx_file import metadata


class Network(Protocol):
    """Views (N, V, H, W, 3) to rating distributions (N, K); for several threads at once.

    It raises what the device raises; `TimeoutError` if it takes longer than `limit_s` seconds.
    """

    def __call__(
        self, views: NDArray[np.uint8], *, limit_s: float | None = None
    ) -> NDArray[np.float32]:
        """Rate views."""
        ...


# ONNX Runtime's execution provider behind a device, and the extra that brings it.
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", ""),
    "cuda": ("CUDAExecutionProvider", "gpu"),
    "coreml": ("CoreMLExecutionProvider", ""),
}
DEVICES = ("cpu", "cuda", "openvino", "coreml")

# Per probability; different processors stay well inside, wrong models do not.
GOLDEN_TOLERANCE = 1e-3
# Where a sum in float differs in its last bit, an 8-bit value may be the next one.
INT8_GOLDEN_TOLERANCE = 2e-2

# A network takes a second or less; one that never ends is to be an error.
_NO_MEMORY = "bad_alloc"  # in the words of C++
_SELF_TEST_S = 60.0

INT8 = "int8"  # among the metrics of the cards of 8-bit models: what the 8 bits cost


class Model(Protocol):
    """Anything that rates views: a model file, or a network in memory."""

    @property
    def card(self) -> ModelCard:
        """Its model card."""

    @property
    def model_id(self) -> str:
        """Name, version and what tells this model from others of that name."""

    def rate(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Rating distributions, shape (N, K), of views of shape (N, V, H, W, 3)."""


class ModelFile:
    """A loaded model: from views to rating distributions.

    Attributes:
        path: Where it was loaded from.
        card: Its model card.
        digest: SHA-256 of the file, hexadecimal; with the name it identifies the model.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        """Load, and check the self-test.

        Args:
            path: An .onnx file written by siamese-nima.
            threads: Threads that one call of `rate` may use.
            device: One of `DEVICES`.

        Raises:
            WeightsError: The file is missing, is no model file, or fails its self-test.
            ConfigError: The device is unknown or cannot be used on this machine.
            MissingExtraError: The device needs a package that is not installed.
        """
        self.path = Path(path)
        content = _read(self.path)
        self.digest = hashlib.sha256(content).hexdigest()
        self.card = _card_of(self.path, content)
        self._network = open_network(
            self.path,
            content,
            threads=threads,
            device=device,
            early_blocks=reads_early_blocks(self.card),
        )
        self._check_golden()

    @property
    def model_id(self) -> str:
        """Name, version, whether of 8 bits, and the first 12 digits of the file's SHA-256."""
        bits = "-int8" if INT8 in self.card.metrics else ""
        return f"{self.card.name}-{self.card.version}{bits}@{self.digest[:12]}"

    def content(self) -> bytes:
        """The file, read again.

        Raises:
            WeightsError: It is missing, or has changed since.
        """
        content = _read(self.path)
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise WeightsError(f"{self.path}: the model file has changed since it was loaded")
        return content

    def rate(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Rating distributions of photos; may be called from several threads at once.

        Args:
            views: Shape (N, V, H, W, 3), RGB, V views per photo made by a view policy.

        Returns:
            Shape (N, K); rows sum to 1.

        Raises:
            PhotoError: The network cannot take these views: too small for it, or too large for
                the memory.
        """
        return self._rate(views, None)

    def _rate(self, views: NDArray[np.uint8], limit_s: float | None) -> NDArray[np.float32]:
        try:
            return self._network(views, limit_s=limit_s)
        except TimeoutError:
            raise
        # ONNX Runtime raises bare exceptions of its own extension module.
        except Exception as error:
            height, width = views.shape[2:4]
            raise PhotoError(f"the network failed on {width}x{height} views ({error})") from error

    def _check_golden(self) -> None:
        if self.card.golden is None:
            raise WeightsError(
                f"{self.path}: the model file has no self-test; export it again with 'nima models "
                "export'"
            )
        views = self.card.view.views(golden_photo())[np.newaxis]
        try:
            found = self._rate(views, _SELF_TEST_S)[0]
        except TimeoutError:
            raise WeightsError(
                f"{self.path}: the self-test did not end within {_SELF_TEST_S:g} s; "
                "not a network that can be used here"
            ) from None
        worst = float(np.max(np.abs(found - np.array(self.card.golden))))
        allowed = INT8_GOLDEN_TOLERANCE if INT8 in self.card.metrics else GOLDEN_TOLERANCE
        if not worst <= allowed:
            raise WeightsError(
                f"{self.path}: the self-test failed: the rating distribution of the built-in "
                f"picture is off by {worst:.2g} (allowed {allowed:g}). The file is "
                "damaged, or this device computes wrongly; try --device cpu, or get it again."
            )


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """The card of a model file, without making the network ready for use.

    Raises:
        WeightsError: The file is missing or no model file.
    """
    source = Path(path)
    return _card_of(source, _read(source))


def _read(path: Path) -> bytes:
    try:
        # A pipe must not be opened, which would wait for a writer; nor does a device end.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise WeightsError(f"{path}: a pipe, socket or device, not a model file")
        return path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such model file. 'nima models' lists the models by name."
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


def _card_of(path: Path, content: bytes) -> ModelCard:
    try:
        found = metadata(content)
    except WeightsError as error:
        raise WeightsError(f"{path}: not a model file that can be loaded ({error})") from error
    if METADATA_KEY not in found:
        raise WeightsError(
            f"{path}: an ONNX file without a siamese-nima model card; "
            "write model files with 'nima models import' or 'nima models export'"
        )
    try:
        return ModelCard.from_json(found[METADATA_KEY])
    except CardError as error:
        raise WeightsError(f"{path}: {error}") from error


def fitting_view(card: ModelCard, view: ViewPolicy) -> ViewPolicy:
    """`view`, if the network of `card` can be shown it in place of its own.

    Raises:
        ViewError: It has another number of groups, or, where there are several, of views in them.
    """
    made_for = card.view.group_sizes
    given = view.group_sizes
    if len(given) != len(made_for) or (len(made_for) > 1 and given != made_for):
        raise ViewError(
            f"model {card.name!r} takes view groups of {made_for} views ({card.view}), "
            f"the view policy {view} has {given}"
        )
    return view


def reads_early_blocks(card: ModelCard) -> bool:
    """Whether a head reads averages of blocks of its one network, too.

    Two networks side by side are computed one after the other, which keeps less in memory.
    """
    return "levels" in card.backbone_options and "beside" not in card.backbone_options


def open_network(
    path: Path,
    content: bytes,
    *,
    threads: int,
    device: str,
    early_blocks: bool = False,
    output: str = "distribution",
) -> Network:
    """The network of a model file, ready to rate views.

    Args:
        path: Names the file in errors.
        content: The file.
        threads: Threads that one call may use.
        device: One of `DEVICES`.
        early_blocks: As `reads_early_blocks` has it.
        output: The tensor that is wanted.

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
        return _open_openvino(path, content, threads=threads, output=output)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if early_blocks:
        # Or their averages are taken last, and the blocks stay in memory until then.
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    # A plan takes its memory in one piece, for every size of views and every call at a time: pieces
    # that fit nowhere between others add up to half as much again. It saves no time.
    options.enable_mem_pattern = False
    session = start_session(path, content, options, device=device)

    def rate(views: NDArray[np.uint8], *, limit_s: float | None = None) -> NDArray[np.float32]:
        run = ort.RunOptions()
        timer = threading.Timer(limit_s, setattr, (run, "terminate", True)) if limit_s else None
        if timer:
            timer.start()
        try:
            result: NDArray[np.float32] = session.run([output], {"views": views}, run)[0]
        except Exception as error:
            if run.terminate:
                raise TimeoutError from error
            raise
        finally:
            if timer:
                timer.cancel()
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
        if _NO_MEMORY in str(error):
            raise WeightsError(f"{path}: there is not enough memory to load it") from error
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not a model file that can be loaded ({reason})") from error
    # Where a driver or a library is missing, ONNX Runtime takes the processor and only logs it.
    if session.get_providers()[0] != provider:
        raise ConfigError(
            f"device {device!r} cannot be used: {provider} did not start, its driver or libraries "
            "are missing. Install them, or score with --device cpu."
        )
    return session


def _open_openvino(path: Path, content: bytes, *, threads: int, output: str) -> Network:
    # Importing it would otherwise look up a host of its maker and write into the home folder.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
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

    def rate(views: NDArray[np.uint8], *, limit_s: float | None = None) -> NDArray[np.float32]:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        requests.own.start_async({"views": views})
        if limit_s is None:
            requests.own.wait()
        elif not requests.own.wait_for(round(1000 * limit_s)):
            requests.own.cancel()
            raise TimeoutError
        result: NDArray[np.float32] = requests.own.get_tensor(output).data
        return result.copy()

    return rate
