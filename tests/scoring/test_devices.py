"""The device that was asked for computes, or nothing does."""

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest

from siamese_nima.card import golden_photo
from siamese_nima.errors import ConfigError, MissingExtraError, WeightsError
from siamese_nima.scoring.model import ModelFile

openvino_installed = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)


@openvino_installed
def test_openvino_rates_as_onnx_runtime_does_from_several_threads(tiny_model, tiny_card):
    views = tiny_card.view.views(golden_photo())[np.newaxis]
    batches = [np.roll(views, 8 * shift, axis=2) // (1 + shift % 3) for shift in range(8)]
    here, there = ModelFile(tiny_model), ModelFile(tiny_model, device="openvino")
    with ThreadPoolExecutor(4) as pool:
        rated = list(pool.map(there.rate, batches))
    for batch, found in zip(batches, rated, strict=True):
        assert found == pytest.approx(here.rate(batch), abs=1e-6)


@openvino_installed
def test_openvino_names_a_file_that_it_cannot_compute(tmp_path):
    from siamese_nima.scoring.model import open_network

    with pytest.raises(WeightsError, match=r"bad\.onnx: OpenVINO cannot compute this model"):
        open_network(tmp_path / "bad.onnx", b"no model", threads=1, device="openvino")


def test_openvino_that_is_not_installed_names_the_extra(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"needs an optional part: .*\[openvino\]'"):
        ModelFile(tiny_model, device="openvino")


def test_a_runtime_without_the_device_names_what_to_install(tiny_model, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingExtraError, match=r"Device 'cuda' .*\[gpu\]'"):
        ModelFile(tiny_model, device="cuda")
    with pytest.raises(ConfigError, match="'coreml': this ONNX Runtime is built without CoreML"):
        ModelFile(tiny_model, device="coreml")


def test_a_device_that_does_not_start_is_an_error_and_not_the_processor(tiny_model, monkeypatch):
    """What ONNX Runtime does without CUDA's libraries: it logs, and takes the processor."""
    real = onnxruntime.InferenceSession

    def falling_back(content, options, *, providers):
        del providers
        return real(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", falling_back)
    with pytest.raises(ConfigError, match=r"CUDAExecutionProvider did not start.*--device cpu"):
        ModelFile(tiny_model, device="cuda")
