"""A model file is used only when it is whole, checked and fed the right views."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from siamese_nima.card import golden_photo
from siamese_nima.errors import ConfigError, PhotoError, ViewError, WeightsError
from siamese_nima.photos import ViewPolicy
from siamese_nima.scoring.model import ModelFile, fitting_view, read_card
from tiny_model import rate_tiny, tiny_graph, write_model


def test_rating_agrees_with_numpy(tiny_model, tiny_card):
    views = tiny_card.view.views(golden_photo())
    rated = ModelFile(tiny_model).rate(np.stack([views, views]))
    assert rated == pytest.approx(np.stack([rate_tiny(tiny_card, golden_photo())] * 2), abs=1e-5)


def test_the_card_is_read_back(tiny_model, tiny_card):
    assert read_card(tiny_model) == ModelFile(tiny_model).card == tiny_card


def test_the_identity_changes_with_the_file(tiny_model, tiny_card, tmp_path):
    other = write_model(tmp_path / "other.onnx", replace(tiny_card, description="changed"))
    first, second = ModelFile(tiny_model).model_id, ModelFile(other).model_id
    assert first.startswith("tiny-1@")
    assert first != second


def test_a_model_that_computes_something_else_is_refused(tiny_card, tmp_path):
    wrong = replace(tiny_card, golden=(0.1,) * 10)
    with pytest.raises(WeightsError, match=r"self-test failed.*off by 0"):
        ModelFile(write_model(tmp_path / "wrong.onnx", wrong))


def test_a_model_without_self_test_is_refused(tiny_card, tmp_path):
    path = write_model(tmp_path / "bare.onnx", replace(tiny_card, golden=None))
    with pytest.raises(WeightsError, match=r"bare.onnx: the model file has no self-test"):
        ModelFile(path)


def test_files_that_are_no_models_are_named(tiny_card, tmp_path):
    with pytest.raises(WeightsError, match=r"none.onnx: no such model file"):
        ModelFile(tmp_path / "none.onnx")
    with pytest.raises(WeightsError, match="cannot be read"):
        ModelFile(tmp_path)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(WeightsError, match=r"text.onnx: not a model file"):
        ModelFile(tmp_path / "text.onnx")
    onnx.save(tiny_graph(tiny_card), tmp_path / "cardless.onnx")
    with pytest.raises(WeightsError, match=r"cardless.onnx: an ONNX file without a .* card"):
        ModelFile(tmp_path / "cardless.onnx")


def test_another_view_policy_must_have_as_many_groups(tiny_card):
    five, two = ViewPolicy.parse("five:24@30"), ViewPolicy.parse("warp:24+centre:24@30")
    assert fitting_view(tiny_card, five) is five
    with pytest.raises(ViewError, match=r"\(1,\) views .*warp:32.* has \(1, 1\)"):
        fitting_view(tiny_card, two)


def test_an_unknown_device_lists_the_known_ones(tiny_model):
    with pytest.raises(ConfigError, match="'tpu' is unknown; possible are cpu, cuda"):
        ModelFile(tiny_model, device="tpu")


def test_views_the_network_cannot_take_are_a_photo_error(tiny_model):
    with pytest.raises(PhotoError, match="the network failed on 4x5 views"):
        ModelFile(tiny_model).rate(np.zeros((1, 1, 5, 4, 7), np.uint8))
