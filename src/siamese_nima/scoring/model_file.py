"""The model file: one ONNX graph that carries its card, loaded with ONNX Runtime."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from siamese_nima.card import METADATA_KEY, ModelCard, golden_photo
from siamese_nima.errors import CardError, PhotoError, ViewError, WeightsError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.devices import open_network, start_session

# Per probability; different processors stay well inside, wrong models do not.
GOLDEN_TOLERANCE = 1e-3
# Where a sum in float differs in its last bit, an 8-bit value may be the next one.
INT8_GOLDEN_TOLERANCE = 2e-2

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
            device: One of `devices.DEVICES`.

        Raises:
            WeightsError: The file is missing, is no model file, or fails its self-test.
            ConfigError: The device is unknown or cannot be used on this machine.
            MissingExtraError: The device needs a package that is not installed.
        """
        self.path = Path(path)
        content = _read(self.path)
        self.digest = hashlib.sha256(content).hexdigest()
        self.card = _card_of(self.path, content)
        self._network = open_network(self.path, content, threads=threads, device=device)
        self._check_golden()

    @property
    def model_id(self) -> str:
        """Name, version and the first 12 digits of the file's SHA-256."""
        return f"{self.card.name}-{self.card.version}@{self.digest[:12]}"

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
        try:
            return self._network(views)
        # ONNX Runtime raises bare exceptions of its own extension module.
        except Exception as error:
            height, width = views.shape[2:4]
            raise PhotoError(f"the network failed on {width}x{height} views ({error})") from error

    def _check_golden(self) -> None:
        if self.card.golden is None:
            raise WeightsError(
                f"{self.path}: the model file has no self-test; export it again with nima export"
            )
        found = self.rate(self.card.view.views(golden_photo())[np.newaxis])[0]
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
        return path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such model file. 'nima models' lists the models by name."
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


def _card_of(path: Path, content: bytes) -> ModelCard:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = start_session(path, content, options)
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise WeightsError(
            f"{path}: an ONNX file without a siamese-nima model card; "
            "write model files with 'nima import' or 'nima export'"
        )
    try:
        return ModelCard.from_json(metadata[METADATA_KEY])
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
