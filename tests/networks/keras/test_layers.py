import json
import os
from collections import Counter
from pathlib import Path

import pytest
import torch

from siamese_nima.networks.keras.layers import WEIGHTED, BackboneKind, keras_layers
from siamese_nima.networks.nima import build_nima

TIMM_NAMES: dict[BackboneKind, str] = {
    "inception_resnet_v2": "inception_resnet_v2",
    "mobilenet": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
}


@pytest.mark.parametrize("kind", TIMM_NAMES)
def test_every_module_with_weights_is_named_exactly_once(kind: BackboneKind) -> None:
    with torch.device("meta"):
        nima = build_nima(TIMM_NAMES[kind])
    owners = {
        path for path, module in nima.named_modules() if any(True for _ in module.parameters(False))
    }
    named = [layer.module for layer in keras_layers(kind) if layer.module]
    assert sorted(named) == sorted(owners)


@pytest.mark.parametrize("kind", TIMM_NAMES)
def test_only_layers_of_weighted_classes_have_modules(kind: BackboneKind) -> None:
    for layer in keras_layers(kind):
        assert (layer.kind in WEIGHTED) == (layer.module is not None), layer


def test_inception_has_the_layers_that_keras_counts() -> None:
    layers = keras_layers("inception_resnet_v2")
    assert len(layers) == 783
    kinds = Counter(layer.kind for layer in layers)
    assert kinds["Conv2D"] == 244
    assert kinds["BatchNormalization"] == 204
    assert layers[617].name == "mixed_7a"
    assert layers[-1].name == "dense_1"


def test_layers_follow_their_inputs() -> None:
    names: set[str] = set()
    for layer in keras_layers("inception_resnet_v2"):
        assert names.issuperset(layer.inputs), layer.name
        names.add(layer.name)


def test_parallel_branches_make_the_order_differ_from_the_numbers() -> None:
    # Known from a file that Keras 2.2.4 wrote.
    layers = keras_layers("inception_resnet_v2")
    names = [layer.name for layer in layers if layer.name.startswith("conv2d_")]
    assert names[4:11] == [f"conv2d_{number}" for number in (5, 9, 7, 10, 6, 8, 11)]
    elsewhere = [name for at, name in enumerate(names, start=1) if name != f"conv2d_{at}"]
    assert len(elsewhere) == 142


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("same", []),
        ("timm", ["conv1_pad", *(f"conv_pad_{i}" for i in range(1, 14))]),
        ("keras2", ["conv1_pad", "conv_pad_2", "conv_pad_4", "conv_pad_6", "conv_pad_12"]),
        ("keras3", ["conv_pad_2", "conv_pad_4", "conv_pad_6", "conv_pad_12"]),
    ],
)
def test_mobilenets_differ_in_their_padding_layers(padding: str, expected: list[str]) -> None:
    layers = keras_layers("mobilenet", padding=padding)
    assert [layer.name for layer in layers if layer.kind == "ZeroPadding2D"] == expected


KERAS_2_DATA = os.environ.get("SIAMESE_NIMA_KERAS2_DATA")


@pytest.mark.skipif(not KERAS_2_DATA, reason="SIAMESE_NIMA_KERAS2_DATA names no folder")
@pytest.mark.parametrize("kind", ["inception_resnet_v2", "mobilenet"])
def test_names_and_order_are_those_of_keras_2(kind: BackboneKind) -> None:
    listed = json.loads((Path(str(KERAS_2_DATA)) / f"{kind}.layers.json").read_text())
    ours = [[i, layer.name, layer.kind] for i, layer in enumerate(keras_layers(kind))]
    assert ours == listed
