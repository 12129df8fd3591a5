"""Every kind of weight file becomes every other kind, and a model file that scores the same."""

import os

import numpy as np
import pytest
import torch

from siamese_nima.card import ModelCard, golden_photo
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.backbones import backbone_normalisation
from siamese_nima.networks.conversion import converted, export_weights, read_weights
from siamese_nima.networks.nima import build_nima
from siamese_nima.photos import ViewPolicy
from siamese_nima.scoring.model import ModelFile

OPTIONS = {"padding": "keras2", "bn_epsilon": 1e-3, "width": 0.25}


pytestmark = pytest.mark.usefixtures("quick_export")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A MobileNet checkpoint."""
    torch.manual_seed(0)
    nima = build_nima("mobilenetv1_100", options=OPTIONS).eval()
    card = ModelCard(
        name="start",
        backbone="mobilenetv1_100",
        backbone_options=OPTIONS,
        view=ViewPolicy.parse("warp:64/nearest"),
        normalisation=backbone_normalisation(nima.backbone),
    )
    return export_weights(
        nima, card, tmp_path_factory.mktemp("weights") / "a.safetensors", "safetensors"
    )


def rating(path, view):
    return ModelFile(path).rate(view.views(golden_photo())[np.newaxis])[0]


def test_the_chain_checkpoint_keras_onnx_keeps_the_function(weights, tmp_path):
    nima, card = read_weights(weights)
    direct = export_weights(nima, card, tmp_path / "direct.onnx", "onnx")
    keras = export_weights(nima, card, tmp_path / "k.h5", "keras-h5")
    view = ViewPolicy.parse("warp:64/nearest")
    again, again_card = read_weights(keras, name="again", view=view)
    onward = export_weights(again, again_card, tmp_path / "onward.onnx", "onnx")
    assert again_card.name == "again"
    assert again_card.view == view
    assert rating(onward, view) == pytest.approx(rating(direct, view), abs=1e-5)


def test_a_weight_file_is_converted_once_for_its_content(weights):
    first = converted(weights)
    stamp = first.stat().st_mtime_ns
    assert converted(weights) == first
    assert first.stat().st_mtime_ns == stamp
    assert first.is_relative_to(os.environ["SIAMESE_NIMA_MODELS"])


def test_what_cannot_be_is_said(weights, tmp_path):
    (tmp_path / "w.bin").write_bytes(b"?")
    with pytest.raises(WeightsError, match=r"w.bin: weight files end in .*\.safetensors or \.onnx"):
        read_weights(tmp_path / "w.bin")
    with pytest.raises(ConfigError, match="'tflite' is unknown; possible are onnx, safetensors"):
        export_weights(*read_weights(weights), tmp_path / "x", "tflite")
