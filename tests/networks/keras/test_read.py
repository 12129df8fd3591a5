from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from siamese_nima.card import ModelCard, Normalisation
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.keras.read import read_keras_h5
from siamese_nima.networks.keras.write import write_keras_h5
from siamese_nima.networks.nima import NIMA, build_nima_for
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale

CARD = ModelCard(
    name="small",
    backbone="mobilenetv1_100",
    backbone_options={"bn_epsilon": 1e-3, "padding": "keras2", "width": 0.25},
    view=ViewPolicy.parse("warp:224/nearest"),
)
Enliven = Callable[[NIMA], NIMA]


@pytest.fixture(scope="module")
def nima(enliven: Enliven) -> NIMA:
    return enliven(build_nima_for(CARD))


@pytest.fixture
def path(nima: NIMA, tmp_path: Path) -> Path:
    write_keras_h5(tmp_path / "small.h5", nima, CARD)
    return tmp_path / "small.h5"


def rename_layers(path: Path, rename: Callable[[str], str]) -> None:
    """Give layers other names, as another session of Keras would."""
    with h5py.File(path, "r+") as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        file.attrs["layer_names"] = np.array([rename(name).encode() for name in names])
        for name in names:
            if rename(name) != name:
                file.move(name, f"renamed/{rename(name)}")
        for name in list(file.get("renamed", [])):
            file.move(f"renamed/{name}", name)


def nest(path: Path, version: str | None) -> None:
    """Put all layers into one group, as when a network is a layer of another."""
    with h5py.File(path, "r") as file:
        weights = {
            name.decode(): file[layer][name][()]
            for layer in file
            for name in file[layer].attrs["weight_names"]
        }
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"model_1"])
        if version is not None:
            file.attrs["keras_version"] = version
        group = file.create_group("model_1")
        group.attrs["weight_names"] = np.array([name.encode() for name in weights])
        for name, value in weights.items():
            group[name] = value


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for name, value in a.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, b.state_dict()[name]), name


def distributions(nima: NIMA, size: int = 97) -> torch.Tensor:
    views = torch.rand(3, 1, 3, size, size + 30, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        return nima.eval()(views)


def test_what_is_written_comes_back(nima: NIMA, path: Path) -> None:
    again, card = read_keras_h5(path)
    assert_same(nima, again)
    assert card.backbone == "mobilenetv1_100"
    assert card.backbone_options == CARD.backbone_options
    assert not again.training


def test_the_card_says_what_is_known_and_what_is_not(path: Path) -> None:
    _, card = read_keras_h5(path)
    assert card.name == "small"
    assert card.scale == RatingScale(1, 10)
    assert str(card.view) == "warp:224/nearest"
    assert card.normalisation == Normalisation((127.5,) * 3, (127.5,) * 3)
    assert card.training["data"] == "unknown"
    assert card.training["keras_version"] == "2.2.4"
    assert any("AVA" in limit for limit in card.limits)
    assert card.parent is not None
    assert len(card.parent) == 64


@pytest.mark.slow
def test_inception_comes_back_and_its_layers_may_start_at_any_number(
    enliven: Enliven, tmp_path: Path
) -> None:
    card = replace(
        CARD,
        backbone="inception_resnet_v2",
        backbone_options={"bn_scale": False},
        view=ViewPolicy.parse("native"),
    )
    nima = enliven(build_nima_for(card))
    write_keras_h5(tmp_path / "inception.h5", nima, card)

    def later(name: str) -> str:
        stem, _, number = name.rpartition("_")
        starts = {"conv2d": 407, "batch_normalization": 9, "dense": 3}
        return f"{stem}_{int(number) + starts[stem]}" if stem in starts else name

    rename_layers(tmp_path / "inception.h5", later)
    again, read = read_keras_h5(tmp_path / "inception.h5")
    assert_same(nima, again)
    assert str(read.view) == "native"
    assert read.backbone_options == {"bn_epsilon": 1e-3, "bn_scale": False}


@pytest.mark.slow
def test_learned_scales_and_other_epsilons_are_folded_into_what_keras_has(
    enliven: Enliven, tmp_path: Path
) -> None:
    card = replace(CARD, backbone="inception_resnet_v2", backbone_options={"bn_epsilon": 2e-3})
    nima = enliven(build_nima_for(card))
    write_keras_h5(tmp_path / "folded.h5", nima, card)
    with h5py.File(tmp_path / "folded.h5") as file:
        assert "gamma" not in str(list(file["batch_normalization_1"].attrs["weight_names"]))
    again, _ = read_keras_h5(tmp_path / "folded.h5")
    # Products of float32 weights are rounded once more.
    torch.testing.assert_close(distributions(again), distributions(nima), atol=1e-5, rtol=0)


def test_another_epsilon_is_folded_into_the_variances(nima: NIMA, tmp_path: Path) -> None:
    card = replace(CARD, backbone_options={**CARD.backbone_options, "bn_epsilon": 1e-5})
    other = build_nima_for(card)
    other.load_state_dict(nima.state_dict())
    write_keras_h5(tmp_path / "epsilon.h5", other, card)
    again, _ = read_keras_h5(tmp_path / "epsilon.h5")
    torch.testing.assert_close(distributions(again), distributions(other), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("version", "padding"),
    [
        ("2.0.8", "same"),
        ("2.1.4", "same"),
        ("2.1.6", "timm"),
        ("2.2.0", "timm"),
        ("2.2.4", "keras2"),
        ("2.6.0", "keras3"),
        ("3.15.1", "keras3"),
    ],
)
def test_the_version_tells_the_padding_where_layers_do_not(
    path: Path, nima: NIMA, version: str, padding: str
) -> None:
    nest(path, version)
    again, card = read_keras_h5(path)
    assert card.backbone_options.get("padding", "timm") == padding
    assert_same(nima, again)


@pytest.mark.parametrize("version", [None, "2.1.6-tf", "2.4.0"])
def test_where_nothing_tells_the_padding_it_must_be_given(path: Path, version: str | None) -> None:
    nest(path, version)
    with pytest.raises(WeightsError, match=r"small\.h5: cannot tell .*--keras-version"):
        read_keras_h5(path)
    assert read_keras_h5(path, keras_version=2)[1].backbone_options["padding"] == "keras2"
    assert read_keras_h5(path, keras_version=3)[1].backbone_options["padding"] == "keras3"
    assert "padding" not in read_keras_h5(path, keras_version="2.1.6")[1].backbone_options


@pytest.mark.parametrize("version", ["new", 1, "2.4.0"])
def test_a_version_that_tells_nothing_is_an_error(path: Path, version: Any) -> None:
    with pytest.raises(ConfigError, match=rf"got {version!r}"):
        read_keras_h5(path, keras_version=version)


def change(path: Path, layer: str, weight: str, value: np.ndarray | None) -> None:
    with h5py.File(path, "r+") as file:
        names = [n.decode() for n in file[layer].attrs["weight_names"]] if layer in file else []
        name = f"{layer}/{weight}:0"
        group = file.require_group(layer)
        if name in group:
            del group[name]
            names.remove(name)
        if value is not None:
            group[name] = value
            names.append(name)
        group.attrs["weight_names"] = np.array([n.encode() for n in names], dtype="S")
        layers = [n for n in file.attrs["layer_names"] if n != layer.encode()]
        file.attrs["layer_names"] = np.array([*layers, layer.encode()])


def test_tensors_that_do_not_fit_are_all_listed(path: Path) -> None:
    change(path, "conv_pw_3_bn", "gamma", None)
    change(path, "conv_pw_5", "kernel", np.zeros((1, 1, 7, 64), np.float32))
    change(path, "extra", "kernel", np.zeros((3, 3, 1, 1), np.float32))
    change(path, "conv_pw_9_bn", "beta", np.full(128, np.nan, np.float32))
    with pytest.raises(WeightsError) as error:
        read_keras_h5(path)
    message = str(error.value)
    assert "small.h5: these tensors do not fit Keras' MobileNet" in message
    assert "1 missing: conv_pw_3_bn/gamma" in message
    assert "1 not used: extra/kernel" in message
    assert "conv_pw_5/kernel is (1, 1, 7, 64), wanted (1, 1, 64, 64)" in message
    assert "1 not finite: conv_pw_9_bn/beta" in message


def test_a_backbone_without_a_rating_head_is_an_error(path: Path) -> None:
    change(path, "dense_1", "kernel", None)
    with pytest.raises(WeightsError, match=r"MobileNet without a rating head: .* found none"):
        read_keras_h5(path)


def test_a_second_dense_layer_is_an_error_that_names_it(path: Path) -> None:
    change(path, "hidden", "kernel", np.zeros((4, 4), np.float32))
    with pytest.raises(WeightsError, match=r"1 not used: hidden/kernel"):
        read_keras_h5(path)


def test_a_classifier_is_an_error(path: Path) -> None:
    change(path, "dense_1", "kernel", np.zeros((256, 1000), np.float32))
    with pytest.raises(WeightsError, match=r"1000 outputs, a rating scale has 2 to 100"):
        read_keras_h5(path)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("normal_conv_1_1", r"Supported are the networks of keras.applications"),
        ("block1_conv1", r"unknown network of 1 layers with weights, first block1_conv1"),
    ],
)
def test_other_networks_are_errors_that_say_what_is_supported(
    tmp_path: Path, layer: str, message: str
) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = np.array([layer.encode()])
        file.create_group(layer).attrs["weight_names"] = np.array([f"{layer}/kernel:0".encode()])
        file[layer][f"{layer}/kernel:0"] = np.zeros((3, 3, 3, 64), np.float32)
    with pytest.raises(WeightsError, match=message):
        read_keras_h5(tmp_path / "other.h5")


def test_a_network_that_keras_does_not_have_is_not_written(tmp_path: Path) -> None:
    card = replace(CARD, backbone="mobilenetv3_small_050", backbone_options={})
    with pytest.raises(WeightsError, match=r"Keras has no mobilenetv3_small_050"):
        write_keras_h5(tmp_path / "v3.h5", build_nima_for(card), card)
    assert not list(tmp_path.iterdir())


def test_several_groups_of_views_are_not_written(tmp_path: Path) -> None:
    card = replace(CARD, view=ViewPolicy.parse("warp:64+centre:64@96"))
    with pytest.raises(WeightsError, match=r"reads 2 groups of views"):
        write_keras_h5(tmp_path / "groups.h5", build_nima_for(card), card)


def test_other_scales_are_read_off_the_head(enliven: Enliven, tmp_path: Path) -> None:
    card = replace(CARD, scale=RatingScale(1, 5))
    write_keras_h5(tmp_path / "five.h5", build_nima_for(card), card)
    assert read_keras_h5(tmp_path / "five.h5")[1].scale == RatingScale(1, 5)
