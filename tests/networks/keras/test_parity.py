"""Against Keras itself: the same weights give the same distributions."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from siamese_nima.networks.keras.layers import keras_layers
from siamese_nima.networks.keras.read import read_keras_h5
from siamese_nima.networks.keras.write import write_keras_h5
from siamese_nima.networks.nima import NIMA

# Sums of up to 3000 float32 products in another order; measured differences are near 1e-6.
TOLERANCE = 1e-4
SIZES = [(224, 224), (299, 299), (333, 500)]

# Of Keras, about numpy and torch.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def distributions(nima: NIMA, pixels: np.ndarray) -> np.ndarray:
    views = torch.from_numpy(pixels).permute(0, 3, 1, 2).unsqueeze(1)
    with torch.no_grad():
        return nima(views).numpy()


def assert_parity(nima: NIMA, model: Any, pixels: np.ndarray) -> None:
    expected = model.predict(pixels, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.01, "a reference that does not react shows nothing"
    assert np.abs(distributions(nima, pixels) - expected).max() < TOLERANCE


@pytest.fixture(scope="module")
def inception(keras_reference: ModuleType) -> Any:
    model = keras_reference.inception_resnet_v2()
    keras_reference.randomise(model)
    return model


@pytest.fixture(scope="module")
def inception_file(
    inception: Any, keras_reference: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("keras") / "inception.h5"
    keras_reference.save_as_keras_2(inception, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_inception_resnet_v2_agrees_with_keras(
    inception: Any, inception_file: Path, keras_reference: ModuleType, size: tuple[int, int]
) -> None:
    nima, card = read_keras_h5(inception_file)
    assert card.backbone == "inception_resnet_v2"
    assert str(card.view) == "native"
    assert_parity(nima, inception, keras_reference.pixels(*size))


@pytest.mark.slow
def test_inception_layers_stand_in_keras_order(inception: Any) -> None:
    ours = keras_layers("inception_resnet_v2")
    theirs = inception.layers
    assert len(ours) == len(theirs) == 783
    for layer, keras_layer in zip(ours, theirs, strict=True):
        shapes = [tuple(weight.shape) for weight in keras_layer.weights]
        assert bool(shapes) == bool(layer.module), (layer.name, keras_layer.name)

    def named(layers: Any) -> list[str]:
        starts, ends = ("mixed_", "conv_7b"), ("_mixed", "_conv", "_ac")
        return [x.name for x in layers if x.name.startswith(starts) or x.name.endswith(ends)]

    assert named(ours) == named(theirs)
    assert ours[617].name == theirs[617].name == "mixed_7a"
    # The origin's freeze point; with the moving statistics, which are never trained.
    assert sum(layer.count_params() for layer in theirs[618:]) == 23_577_738


@pytest.mark.slow
def test_inception_that_we_write_loads_into_keras(
    inception_file: Path, keras_reference: ModuleType, tmp_path: Path
) -> None:
    nima, card = read_keras_h5(inception_file)
    write_keras_h5(tmp_path / "ours.h5", nima, card)
    fresh = keras_reference.inception_resnet_v2()
    fresh.load_weights(tmp_path / "ours.h5")
    assert_parity(nima, fresh, keras_reference.pixels(224, 224))


@pytest.mark.slow
def test_inception_in_the_format_of_keras_3_gives_the_same_network(
    inception: Any, inception_file: Path, tmp_path: Path
) -> None:
    inception.save_weights(tmp_path / "new.weights.h5")
    old, _ = read_keras_h5(inception_file)
    new, card = read_keras_h5(tmp_path / "new.weights.h5")
    assert card.name == "new"
    for name, value in old.state_dict().items():
        assert torch.equal(value, new.state_dict()[name]), name


@pytest.fixture(scope="module", params=["same", "timm", "keras2", "keras3"])
def mobilenet(request: pytest.FixtureRequest, keras_reference: ModuleType) -> tuple[str, Any]:
    # One in full width, the others as narrow as Keras has them.
    model = keras_reference.mobilenet(request.param, 1.0 if request.param == "keras2" else 0.25)
    keras_reference.randomise(model)
    return request.param, model


def test_mobilenet_of_each_keras_version_is_recognised_and_agrees(
    mobilenet: tuple[str, Any], keras_reference: ModuleType, tmp_path: Path
) -> None:
    padding, model = mobilenet
    keras_reference.save_as_keras_2(model, tmp_path / "mobilenet.h5")
    nima, card = read_keras_h5(tmp_path / "mobilenet.h5")
    assert card.backbone_options.get("padding", "timm") == padding
    assert str(card.view) == "warp:224/nearest"
    for size in SIZES:
        assert_parity(nima, model, keras_reference.pixels(*size))


def test_mobilenet_that_we_write_loads_into_the_keras_it_came_from(
    mobilenet: tuple[str, Any], keras_reference: ModuleType, tmp_path: Path
) -> None:
    padding, model = mobilenet
    keras_reference.save_as_keras_2(model, tmp_path / "theirs.h5")
    nima, card = read_keras_h5(tmp_path / "theirs.h5")
    write_keras_h5(tmp_path / "ours.h5", nima, card)
    fresh = keras_reference.mobilenet(padding, card.backbone_options.get("width", 1.0))
    fresh.load_weights(tmp_path / "ours.h5")
    assert_parity(nima, fresh, keras_reference.pixels(97, 131))
    _, again = read_keras_h5(tmp_path / "ours.h5")
    assert again.backbone_options == card.backbone_options


def test_narrow_mobilenets_of_keras_3_agree(keras_reference: ModuleType, tmp_path: Path) -> None:
    model = keras_reference.mobilenet_of_keras_3(0.5)
    keras_reference.randomise(model)
    model.save_weights(tmp_path / "narrow.weights.h5")
    nima, card = read_keras_h5(tmp_path / "narrow.weights.h5")
    assert card.backbone_options["width"] == 0.5
    assert_parity(nima, model, keras_reference.pixels(99, 131))


@pytest.mark.parametrize(("alpha", "sizes"), [(0.35, SIZES), (1.0, [(97, 131)])])
def test_mobilenet_v2_agrees_with_keras(
    keras_reference: ModuleType, tmp_path: Path, alpha: float, sizes: list[tuple[int, int]]
) -> None:
    model = keras_reference.mobilenet_v2_of_keras_3(alpha)
    keras_reference.randomise(model)
    keras_reference.save_as_keras_2(model, tmp_path / "v2.h5")
    nima, _ = read_keras_h5(tmp_path / "v2.h5")
    for size in sizes:
        assert_parity(nima, model, keras_reference.pixels(*size))
    write_keras_h5(tmp_path / "ours.h5", *read_keras_h5(tmp_path / "v2.h5"))
    fresh = keras_reference.mobilenet_v2_of_keras_3(alpha)
    fresh.load_weights(tmp_path / "ours.h5")
    assert_parity(nima, fresh, keras_reference.pixels(99, 131))


def test_nested_and_whole_files_give_the_same_network(
    keras_reference: ModuleType, tmp_path: Path
) -> None:
    model = keras_reference.mobilenet("keras3", alpha=0.25)
    keras_reference.randomise(model)
    keras_reference.save_as_keras_2(model, tmp_path / "flat.h5")
    keras_reference.save_as_keras_2(model, tmp_path / "whole.h5", whole=True)
    outer = keras_reference.nested(model)
    keras_reference.save_as_keras_2(outer, tmp_path / "nested.h5")
    outer.save_weights(tmp_path / "nested.weights.h5")
    flat, card = read_keras_h5(tmp_path / "flat.h5")
    for name in ("whole.h5", "nested.h5", "nested.weights.h5"):
        other, other_card = read_keras_h5(tmp_path / name)
        assert other_card.backbone_options == card.backbone_options, name
        for key, value in flat.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), (name, key)


KERAS_2_DATA = os.environ.get("SIAMESE_NIMA_KERAS2_DATA")


@pytest.mark.skipif(not KERAS_2_DATA, reason="SIAMESE_NIMA_KERAS2_DATA names no folder")
@pytest.mark.parametrize("size", SIZES)
def test_mobilenet_file_of_keras_2_gives_the_distributions_of_keras_2(
    size: tuple[int, int],
) -> None:
    folder = Path(str(KERAS_2_DATA))
    nima, card = read_keras_h5(folder / "mobilenet.h5")
    assert card.backbone_options["padding"] == "keras2"
    assert card.training["keras_version"] == "2.2.4"
    arrays = np.load(folder / "mobilenet.npz")
    key = f"{size[0]}x{size[1]}"
    found = distributions(nima, arrays[f"x_{key}"])
    assert np.abs(found - arrays[f"y_{key}"]).max() < TOLERANCE
