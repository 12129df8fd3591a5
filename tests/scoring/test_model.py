"""A model file is used only when it is whole, checked and fed the right views."""

import os
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from siamese_nima.card import METADATA_KEY, golden_photo
from siamese_nima.errors import ConfigError, PhotoError, ViewError, WeightsError
from siamese_nima.photos import ViewPolicy
from siamese_nima.scoring.model import ModelFile, fitting_view, read_card
from systems import needs_pipes
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


@needs_pipes
def test_a_pipe_given_as_a_model_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(WeightsError, match=r"pipe.onnx: a pipe, socket or device"):
        ModelFile(tmp_path / "pipe.onnx")


def test_a_network_that_never_ends_is_an_error(tiny_card, tmp_path, monkeypatch):
    model = tiny_graph(tiny_card)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "for ever",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.UINT8, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.UINT8, None),
        ],
    )
    for node in model.graph.node:
        node.input[:] = ["seen" if name == "views" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    model.graph.node.insert(0, helper.make_node("Loop", ["", "true", "views"], ["seen"], body=body))
    helper.set_model_props(model, {METADATA_KEY: tiny_card.to_json()})
    onnx.save(model, tmp_path / "endless.onnx")
    monkeypatch.setattr("siamese_nima.scoring.model._SELF_TEST_S", 0.5)
    with pytest.raises(WeightsError, match=r"endless.onnx: the self-test did not end within 0.5 s"):
        ModelFile(tmp_path / "endless.onnx")


def test_reading_a_card_starts_no_network(tiny_model, tiny_card, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    assert read_card(tiny_model) == tiny_card


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_model_file_that_is_cut_short_is_refused(tiny_model, tmp_path, share):
    content = tiny_model.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"cut.onnx: "):
        ModelFile(tmp_path / "cut.onnx")
