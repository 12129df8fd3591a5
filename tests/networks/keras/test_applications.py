"""Networks of `keras.applications` against Keras itself: the same file, the same distributions."""

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from siamese_nima.errors import WeightsError
from siamese_nima.networks.conversion import converted
from siamese_nima.networks.keras import applications
from siamese_nima.networks.keras.applications import PREFIX, build_application
from siamese_nima.networks.keras.file import read_keras_file
from siamese_nima.networks.keras.read import read_keras_h5
from siamese_nima.networks.nima import PhotoNIMA
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.model import ModelFile
from siamese_nima.siamese import SiameseNIMA

# Of Keras, about numpy and torch.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 299, 299, 3), dtype=np.uint8)
PIXELS[0] //= 3
PIXELS[1, 100:] = 200


class Rated:
    """A network of Keras with random weights, its file, and what it says of `PIXELS`."""

    def __init__(self, reference: ModuleType, folder: Path, name: str, size: int) -> None:
        self.pixels = PIXELS[:, :size, :size]
        backbone = build_application(name, size)
        self.model = reference.with_head(backbone)
        rng = np.random.default_rng(0)
        for layer in backbone.layers:
            for weight in layer.weights:
                kind = weight.path.rsplit("/", 1)[-1]
                if kind in ("mean", "variance", "count"):
                    continue
                value = reference._random_weight(rng, kind, tuple(weight.shape))
                weight.assign(np.abs(value) + 0.4 if kind == "moving_variance" else value)
        module = importlib.import_module(
            getattr(applications._keras().applications, name).__module__
        )
        self.prepared = module.preprocess_input(self.pixels.astype(np.float32))
        features = backbone.predict(self.prepared, verbose=0)
        head = self.model.layers[-1]
        kernel = rng.normal(size=head.kernel.shape)
        kernel /= ((features - features.mean(0)) @ kernel).std()
        head.kernel.assign(kernel)
        head.bias.assign(-features.mean(0) @ kernel)
        self.file = folder / f"{name}.h5"
        reference.save_as_keras_2(self.model, self.file)
        self.expected = self.model.predict(self.prepared, verbose=0)
        singly = [self.model.predict(one[None], verbose=0) for one in self.prepared]
        # Heads that spread what they see enlarge what sums in another order change in Keras itself.
        rounding = np.abs(np.concatenate(singly) - self.expected).max()
        self.tolerance = max(1e-4, 5 * float(rounding))
        moved = np.ptp(self.expected, axis=0).max()
        assert moved > max(0.05, 10 * self.tolerance), "it must react to what it sees"

    def rated(self, file: Path) -> tuple[np.ndarray, Any]:
        size = self.pixels.shape[1]
        nima, card = read_keras_h5(file, view=ViewPolicy.parse(f"warp:{size}/nearest"))
        with torch.no_grad():
            views = torch.from_numpy(np.ascontiguousarray(self.pixels[:, None]))
            return PhotoNIMA(nima, card.normalisation)(views).numpy(), card

    def agrees(self, file: Path) -> bool:
        return bool(np.abs(self.rated(file)[0] - self.expected).max() < self.tolerance)


@pytest.fixture(scope="module")
def small(keras_reference: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Rated:
    return Rated(keras_reference, tmp_path_factory.mktemp("keras"), "MobileNetV3Small", 64)


def renamed(source: Path, target: Path, name_of: Any) -> Path:
    """The same weights under layer names of another Keras."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        layers = [
            name if isinstance(name, str) else name.decode() for name in old.attrs["layer_names"]
        ]
        new.attrs["layer_names"] = np.array([name_of(layer).encode() for layer in layers])
        for layer in layers:
            group = new.create_group(name_of(layer))
            names = [
                n if isinstance(n, bytes) else n.encode() for n in old[layer].attrs["weight_names"]
            ]
            short = [name.decode().rsplit("/", 1)[-1].removesuffix(":0") for name in names]
            full = [f"{name_of(layer)}/{one}:0" for one in short]
            group.attrs["weight_names"] = np.array([one.encode() for one in full], dtype="S200")
            for was, now in zip(names, full, strict=True):
                group[now] = old[layer][was.decode()][()]
    return target


def test_a_network_that_only_keras_can_rebuild_rates_as_keras_does(small: Rated) -> None:
    distributions, card = small.rated(small.file)
    assert card.backbone == PREFIX + "MobileNetV3Small"
    assert str(card.view) == "warp:64/nearest"
    assert np.abs(distributions - small.expected).max() < small.tolerance


def test_the_layout_of_keras_3_and_older_names_of_layers_are_the_same_network(
    small: Rated, tmp_path: Path
) -> None:
    new = tmp_path / "new.weights.h5"
    small.model.save_weights(new)
    assert small.agrees(new)

    def of_tensorflow(layer: str) -> str:
        name = re.sub(r"_bn$", "/BatchNorm", layer)
        return name.replace("expanded_conv_", "expanded_conv/").replace("conv_1", "Conv_1")

    assert small.agrees(renamed(small.file, tmp_path / "old.h5", of_tensorflow))


@pytest.mark.slow
def test_a_model_file_is_made_of_it_that_rates_the_same(
    small: Rated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIAMESE_NIMA_MODELS", str(tmp_path))
    model = converted(small.file, view=ViewPolicy.parse("warp:64/nearest"))
    rated = ModelFile(model).rate(np.ascontiguousarray(small.pixels[:, None]))
    assert np.abs(rated - small.expected).max() < small.tolerance


def test_tensors_that_do_not_fit_are_named(small: Rated, tmp_path: Path) -> None:
    odd = renamed(small.file, tmp_path / "odd.h5", lambda name: name.replace("conv_1_bn", "what"))
    with pytest.raises(WeightsError, match=r"do not fit Keras' MobileNetV3Small") as error:
        read_keras_h5(odd)
    assert "4 missing: conv_1_bn/gamma" in str(error.value)
    assert "4 not used: what/gamma" in str(error.value)


@pytest.mark.parametrize("view", ["native", "warp:64x96"])
def test_it_needs_square_views_of_one_size(small: Rated, view: str) -> None:
    with pytest.raises(WeightsError, match=r"MobileNetV3Small is rebuilt for square views"):
        read_keras_h5(small.file, view=ViewPolicy.parse(view))


def test_it_cannot_be_trained_on_and_says_so(small: Rated, tmp_path: Path) -> None:
    siamese = SiameseNIMA(output_dir=tmp_path)
    with pytest.raises(WeightsError, match=r"MobileNetV3Small of Keras .* cannot be trained on"):
        siamese.train((["a.jpg"], [1]), nima_weight_path=small.file)


def test_every_network_of_keras_applications_is_known_by_its_number_of_weights() -> None:
    pytest.importorskip("keras")
    keras = applications._keras()
    names = {name for name in dir(keras.applications) if name[0].isupper()}
    light = {"InceptionResNetV2", "MobileNet", "MobileNetV2"}  # read without Keras
    assert set(applications._APPLICATIONS) == names - light
    for name in ("MobileNetV3Small", "VGG16"):
        assert _weights(name) == applications._APPLICATIONS[name][1]


# Larger ones of the families below; the largest take a minute each to build.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("ConvNeXtSmall", "DenseNet169", "EfficientNetB1", "EfficientNetV2B1"),
        *("MobileNetV3Large", "ResNet101", "ResNet101V2", "VGG19"),
    ],
)
def test_the_number_of_weights_is_what_keras_builds(name: str) -> None:
    pytest.importorskip("keras")
    assert _weights(name) == applications._APPLICATIONS[name][1]


def _weights(name: str) -> int:
    with applications._keras().device("meta"):  # which holds no numbers
        model = build_application(name, None)
    return sum(int(np.prod(weight.shape)) for weight in model.weights)


# One of each way to name layers, to prepare pixels and to build.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("VGG16", 64),
        ("ResNet50", 64),
        ("ResNet50V2", 64),
        ("InceptionV3", 96),
        ("Xception", 96),
        ("NASNetMobile", 96),
        ("DenseNet121", 64),
        ("EfficientNetB0", 64),
        ("EfficientNetV2B0", 64),
        ("ConvNeXtTiny", 64),
    ],
)
def test_each_family_rates_as_keras_does(
    keras_reference: ModuleType, tmp_path: Path, name: str, size: int
) -> None:
    rated = Rated(keras_reference, tmp_path, name, size)
    distributions, card = rated.rated(rated.file)
    assert card.backbone == PREFIX + name
    assert np.abs(distributions - rated.expected).max() < rated.tolerance
    if name == "NASNetMobile":
        titu = renamed(
            rated.file,
            tmp_path / "titu1994.h5",
            lambda layer: layer.replace("_reduction_right1_", "_reduction_1_"),
        )
        assert any("_reduction_1_" in layer for layer, _ in read_keras_file(titu).tensors)
        assert rated.agrees(titu)
