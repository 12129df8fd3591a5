from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from siamese_nima.errors import WeightsError
from siamese_nima.networks.keras.file import read_keras_file, write_keras_file
from siamese_nima.networks.keras.layers import KerasLayer

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


def put(root: Any, layers: dict[str, dict[str, np.ndarray]], *, text: bool = False) -> None:
    """Lay out `layers` as Keras does, with names as byte strings or as text."""

    def names(values: list[str]) -> Any:
        return values if text else np.array([value.encode() for value in values], dtype="S")

    root.attrs["layer_names"] = names(list(layers))
    root.attrs["keras_version"] = "2.2.4" if text else b"2.2.4"
    for layer, weights in layers.items():
        group = root.create_group(layer)
        group.attrs["weight_names"] = names(list(weights)) if weights else np.array([], "S1")
        for name, value in weights.items():
            group.create_dataset(name, data=value)


LAYERS = {
    "input_1": {},
    "conv1": {"conv1/kernel:0": KERNEL},
    "conv_dw_1": {"conv_dw_1/depthwise_kernel:0": KERNEL + 1},
    # TensorFlow numbers variables of a second layer of the same name.
    "dense_1": {"dense_1_2/kernel:0": KERNEL + 2, "dense_1_2/bias:0": KERNEL[0]},
}


@pytest.mark.parametrize("text", [False, True])
def test_names_may_be_byte_strings_or_text(tmp_path: Path, text: bool) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        put(file, LAYERS, text=text)
    read = read_keras_file(tmp_path / "weights.h5")
    assert set(read.tensors) == {
        ("conv1", "kernel"),
        ("conv_dw_1", "kernel"),
        ("dense_1", "kernel"),
        ("dense_1", "bias"),
    }
    np.testing.assert_array_equal(read.tensors["conv_dw_1", "kernel"], KERNEL + 1)
    assert read.layer_names == tuple(LAYERS)
    assert read.keras_version == "2.2.4"
    assert not read.numbered


def test_a_whole_model_is_read_without_its_optimizer(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        put(file.create_group("model_weights"), LAYERS)
        put(file.create_group("optimizer_weights"), {"adam": {"adam/iterations:0": KERNEL}})
    assert len(read_keras_file(tmp_path / "model.h5").tensors) == 4


def test_weights_of_a_nested_network_are_told_apart(tmp_path: Path) -> None:
    inner = {name: value for weights in LAYERS.values() for name, value in weights.items()}
    with h5py.File(tmp_path / "nested.h5", "w") as file:
        put(file, {"input_2": {}, "model_1": inner})
    read = read_keras_file(tmp_path / "nested.h5")
    assert ("conv1", "kernel") in read.tensors
    assert ("dense_1_2", "bias") in read.tensors
    assert read.layer_names == (), "the file does not list the inner layers"


def test_long_lists_of_names_come_in_pieces(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "long.h5", "w") as file:
        put(file, LAYERS)
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:3], names[3:]
    assert read_keras_file(tmp_path / "long.h5").layer_names == tuple(LAYERS)


def test_layers_of_keras_3_are_numbered(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "new.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = KERNEL
        file["layers/functional/layers/conv2d_1/vars/0"] = KERNEL + 1
        file["optimizer/vars/0"] = KERNEL
    read = read_keras_file(tmp_path / "new.weights.h5")
    assert set(read.tensors) == {("conv2d", "0"), ("conv2d_1", "0")}
    assert read.numbered


def test_a_weight_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    inner = {"conv1/kernel:0": KERNEL, "conv2/kernel:0": KERNEL}
    with h5py.File(tmp_path / "twice.h5", "w") as file:
        put(file, {"model_1": inner, "model_2": inner})
    with pytest.raises(WeightsError, match=r"twice\.h5: weight conv1/kernel stands .* twice"):
        read_keras_file(tmp_path / "twice.h5")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.h5: no such weight file"):
        read_keras_file(tmp_path / "gone.h5")


def test_a_file_that_is_not_hdf5_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "page.h5").write_text("<html>404</html>")
    with pytest.raises(WeightsError, match=r"page\.h5: not a readable HDF5 file"):
        read_keras_file(tmp_path / "page.h5")


def test_an_hdf5_file_of_something_else_is_an_error_that_says_what_it_holds(
    tmp_path: Path,
) -> None:
    with h5py.File(tmp_path / "photos.h5", "w") as file:
        file["photos"] = KERNEL
    with pytest.raises(WeightsError, match=r"photos\.h5: .* not of Keras weights: .* photos"):
        read_keras_file(tmp_path / "photos.h5")


def test_a_listed_weight_that_is_absent_is_an_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "hole.h5", "w") as file:
        put(file, LAYERS)
        del file["conv1/conv1/kernel:0"]
    with pytest.raises(WeightsError, match=r"hole\.h5: not a readable HDF5 file"):
        read_keras_file(tmp_path / "hole.h5")


def test_what_is_written_is_laid_out_as_keras_2_does(tmp_path: Path) -> None:
    layers = (
        KerasLayer("input_1", "InputLayer", None, ()),
        KerasLayer("conv1", "Conv2D", "backbone.conv_stem", ("input_1",)),
    )
    write_keras_file(tmp_path / "ours.h5", layers, {("conv1", "kernel"): KERNEL}, "2.2.4")
    with h5py.File(tmp_path / "ours.h5") as file:
        assert list(file.attrs["layer_names"]) == [b"input_1", b"conv1"]
        assert file.attrs["backend"] == b"tensorflow"
        assert file.attrs["keras_version"] == b"2.2.4"
        assert list(file["conv1"].attrs["weight_names"]) == [b"conv1/kernel:0"]
        assert file["conv1/conv1/kernel:0"].dtype == np.float32
        assert len(file["input_1"].attrs["weight_names"]) == 0
