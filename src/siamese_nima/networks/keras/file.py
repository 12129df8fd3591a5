"""HDF5 files of Keras weights as a flat table of tensors, in every layout that Keras has written.

A layout is told by its content, never by the file's extension:

- Keras 1.2 to 2 and tf.keras `save_weights`: attribute `layer_names`, one group per layer with the
  attribute `weight_names`. Attributes are byte strings or text, and split in pieces when long.
- `save` of a whole model: the same inside the group `model_weights`.
- A network used as one layer of another: its group holds the weights of many layers.
- Keras 3 `.weights.h5`: no names at all; layers are numbered per class in model order.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from siamese_nima.errors import WeightsError
from siamese_nima.networks.keras.layers import KerasLayer

WeightKey = tuple[str, str]
Tensors = dict[WeightKey, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class KerasFile:
    """What a Keras weight file holds.

    Attributes:
        tensors: By (layer, weight), for instance ("conv1", "kernel"); the weights of numbered
            layers of a Keras 3 file are numbered too: ("conv2d_3", "0").
        layer_names: All layers that the file lists, also those without weights; empty when a
            network is nested in another or the file lists none.
        keras_version: Version that the file names, or None.
        numbered: Whether layers are numbered per class (Keras 3) rather than named.
    """

    tensors: Tensors
    layer_names: tuple[str, ...]
    keras_version: str | None
    numbered: bool


def read_keras_file(path: str | os.PathLike[str]) -> KerasFile:
    """Read all tensors of a Keras weight file.

    Raises:
        WeightsError: No such file, not HDF5, not written by Keras, or a weight stands twice.
    """
    source = Path(path)
    if not source.is_file():
        raise WeightsError(f"{source}: no such weight file")
    try:
        with h5py.File(source, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" in root.attrs or "layer_names0" in root.attrs:
                return _read_named(source, root)
            if "layers" in file or "_layer_checkpoint_dependencies" in file:
                return _read_numbered(source, file)
            found = ", ".join(list(file)[:5]) or "nothing"
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{source}: not a readable HDF5 file of Keras weights ({error})"
        ) from error
    raise WeightsError(
        f"{source}: an HDF5 file, but not of Keras weights: no 'layer_names' and no 'layers', "
        f"at the top stand {found}"
    )


def write_keras_file(
    path: str | os.PathLike[str],
    layers: tuple[KerasLayer, ...],
    tensors: Tensors,
    keras_version: str,
) -> None:
    """Write `tensors` as Keras 2 `save_weights` does.

    Args:
        path: An existing file is overwritten.
        layers: All layers in model order; Keras loads by position.
        tensors: By (layer, weight); within a layer in the order in which Keras has them.
        keras_version: For the file's attribute of that name.
    """
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = _byte_strings([layer.name for layer in layers])
        file.attrs["backend"] = np.bytes_(b"tensorflow")
        file.attrs["keras_version"] = np.bytes_(keras_version.encode())
        for layer in layers:
            group = file.create_group(layer.name)
            weights = {key: value for key, value in tensors.items() if key[0] == layer.name}
            # TensorFlow's variable names, which Keras 2 stores.
            names = {key: f"{key[0]}/{key[1]}:0" for key in weights}
            group.attrs["weight_names"] = _byte_strings(list(names.values()))
            for key, value in weights.items():
                group.create_dataset(names[key], data=value)


def _byte_strings(names: list[str]) -> NDArray[np.bytes_]:
    return np.array([name.encode() for name in names], dtype="S" if names else "S1")


def _read_named(source: Path, root: Any) -> KerasFile:
    tensors: Tensors = {}
    nested = False
    layer_names = _names(root, "layer_names")
    for layer in layer_names:
        weights = _names(root[layer], "weight_names")
        parents = {name.split("/")[-2] if "/" in name else layer for name in weights}
        nested = nested or len(parents) > 1
        for name in weights:
            # One parent: TensorFlow may have numbered it anew, the layer's own name counts.
            owner = layer if len(parents) == 1 else name.split("/")[-2]
            kind = name.split("/")[-1].split(":")[0].removeprefix("depthwise_")
            _put(source, tensors, (owner, kind), root[layer][name])
    version = root.attrs.get("keras_version")
    return KerasFile(
        tensors=tensors,
        layer_names=() if nested else tuple(layer_names),
        keras_version=None if version is None else _text(version),
        numbered=False,
    )


def _read_numbered(source: Path, file: Any) -> KerasFile:
    tensors: Tensors = {}

    def visit(name: str, item: Any) -> None:
        parts = name.split("/")
        if isinstance(item, h5py.Dataset) and parts[0] != "optimizer" and parts[-2:-1] == ["vars"]:
            _put(source, tensors, (parts[-3], parts[-1]), item)

    file.visititems(visit)
    return KerasFile(tensors=tensors, layer_names=(), keras_version=None, numbered=True)


def _put(source: Path, tensors: Tensors, key: WeightKey, dataset: Any) -> None:
    if key in tensors:
        raise WeightsError(
            f"{source}: weight {'/'.join(key)} stands in the file twice; save the rating network "
            "alone, without the model around it"
        )
    tensors[key] = np.asarray(dataset[()], dtype=np.float32)


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names; Keras splits one of more than 64 kB into `attribute`0, 1, ..."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    names: list[str] = []
    for piece in itertools.count():
        if f"{attribute}{piece}" not in group.attrs:
            break
        names.extend(_text(name) for name in group.attrs[f"{attribute}{piece}"])
    return names


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
