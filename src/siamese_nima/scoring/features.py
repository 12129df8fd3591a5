"""What a network sees in a photo: the numbers that its last layer reads.

For clustering, near-duplicates and heads of one's own. They are what the layers before the head
make of each group of views, averaged over the picture; `quality` has 3,104.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from siamese_nima.atomic_write import replacing
from siamese_nima.card import ModelCard
from siamese_nima.errors import ConfigError, MissingExtraError, PhotoError, WeightsError
from siamese_nima.scoring.model import ModelFile, open_network, reads_early_blocks
from siamese_nima.scoring.onnx_file import nodes, with_output

_LINEAR = ("Gemm", "MatMul")
_TASTE = "taste."  # what the weights of a personal model's own layer begin with
_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class PhotoVector:
    """What a network sees in one photo.

    Attributes:
        path: As it was given or found; "<photo 3>" for pictures without a path.
        features: Shape (F,), float16; None where there is an error.
        model: Identity of the model; vectors of different models have nothing in common.
        error: Why there are none.
    """

    path: str
    features: NDArray[np.float16] | None
    model: str
    error: str | None = None


class FeatureModel:
    """A model that gives what its head reads in place of ratings; otherwise as `ModelFile`."""

    def __init__(self, model: ModelFile, *, device: str) -> None:
        """Open the network of a model file anew, with one more output.

        Raises:
            WeightsError: It has been changed since, or no linear layer gives its ratings.
        """
        self.card: ModelCard = model.card
        self.model_id = model.model_id
        content = model.content()
        self._network = open_network(
            model.path,
            with_output(content, _read_by_head(model.path, content)),
            threads=1,
            device=device,
            early_blocks=reads_early_blocks(model.card),
            output=_read_by_head(model.path, content),
        )

    def rate(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features, shape (N, F), of views of shape (N, V, H, W, 3)."""
        try:
            return self._network(views)
        # ONNX Runtime raises bare exceptions of its own extension module.
        except Exception as error:
            height, width = views.shape[2:4]
            raise PhotoError(f"the network failed on {width}x{height} views ({error})") from error


def _read_by_head(path: Path, content: bytes) -> str:
    """The tensor that the layer before the softmax reads."""
    for node in reversed(nodes(content)):
        if node.operation in _LINEAR and not any(n.startswith(_TASTE) for n in node.inputs):
            return node.inputs[0]
    raise WeightsError(f"{path}: no linear layer gives its ratings, so that it has no features")


@contextmanager
def open_feature_table(path: str | os.PathLike[str]) -> Iterator[FeatureTable]:
    """A Parquet table for features; it appears under its name only when it is complete.

    Its columns are path, features (a list of float16 of fixed length), model, error.

    Raises:
        ConfigError: The name does not end in .parquet.
        MissingExtraError: pyarrow is not installed.
        NimaError: The file cannot be written.
    """
    target = Path(path)
    if target.suffix != ".parquet":
        raise ConfigError(f"{target}: a table of features ends in .parquet")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("a Parquet table", "parquet") from error
    # Opened here, as Arrow takes no names that are not Unicode.
    with replacing(target) as part, part.open("wb") as sink:
        table = FeatureTable(sink)
        try:
            yield table
        finally:
            table.close()


class FeatureTable:
    """Takes the vector of one photo at a time."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._file: Any = None
        self._waiting: list[PhotoVector] = []

    def write(self, vector: PhotoVector) -> None:
        """Append one row."""
        self._waiting.append(vector)
        # How many numbers there are is known from the first photo that has some.
        known = self._file is not None or vector.features is not None
        if len(self._waiting) >= _ROWS and known:
            self._flush()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows, self._waiting = self._waiting, []
        if self._file is None:
            sizes = [row.features.size for row in rows if row.features is not None]
            kind = pa.list_(pa.float16(), sizes[0] if sizes else -1)
            self._schema = pa.schema(
                [
                    ("path", pa.string()),
                    ("features", kind),
                    ("model", pa.string()),
                    ("error", pa.string()),
                ]
            )
            self._file = pq.ParquetWriter(self._sink, self._schema)
        columns = [
            [_utf8(row.path) for row in rows],
            [row.features for row in rows],
            [row.model for row in rows],
            [row.error and _utf8(row.error) for row in rows],
        ]
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(columns, self._schema, strict=True)
        ]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))


def _utf8(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
