"""Model files read back into trainable networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from siamese_nima.card import METADATA_KEY, ModelCard
from siamese_nima.errors import WeightsError
from siamese_nima.networks.nima import NIMA, PhotoNIMA
from siamese_nima.networks.onnx_weights import read_onnx_weights
from siamese_nima.scoring.catalogue import embedded_models
from siamese_nima.scoring.model import ModelFile


def in_torch(nima: NIMA, card: ModelCard, views: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return PhotoNIMA(nima, card.normalisation).eval()(torch.from_numpy(views)).numpy()


def some_views(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(embedded_models()))
def test_the_embedded_model_becomes_a_network_that_rates_alike(name):
    path = embedded_models()[name]
    nima, card = read_onnx_weights(path)
    height, width = card.view.view_size or (224, 224)
    views = some_views(3, sum(card.view.group_sizes), height, width)
    # The same float32 weights, summed in another order.
    np.testing.assert_allclose(
        in_torch(nima, card, views), ModelFile(path).rate(views), atol=1e-5, rtol=0
    )
    assert all(parameter.requires_grad for parameter in nima.parameters())


def test_the_network_read_back_is_the_one_that_was_written(exported):
    nima, _, path = exported
    found, card = read_onnx_weights(path)
    views = some_views(2, 1, 64, 64)
    np.testing.assert_allclose(in_torch(found, card, views), in_torch(nima, card, views), atol=1e-5)
    torch.testing.assert_close(found.head.weight, nima.head.weight)
    norm = found.get_submodule("backbone.bn1")
    assert torch.equal(norm.running_mean, torch.zeros(8))
    assert torch.equal(norm.running_var, torch.ones(8))


def test_it_can_be_trained(exported):
    nima, _ = read_onnx_weights(exported[2])
    nima.train()
    nima(torch.rand(4, 1, 3, 64, 64))[:, 0].sum().backward()
    assert all(parameter.grad is not None for parameter in nima.parameters())


def rewritten(path: Path, target: Path, card: ModelCard | None) -> Path:
    graph = onnx.load(path)
    del graph.metadata_props[:]
    if card is not None:
        onnx.helper.set_model_props(graph, {METADATA_KEY: card.to_json()})
    onnx.save(graph, target)
    return target


def test_weights_that_do_not_fit_the_card_are_an_error_never_random(exported, tmp_path):
    _, card, path = exported
    cases = {
        r"do not fit the mobilenetv1_100 of its card: backbone\.conv_stem\.weight": replace(
            card, backbone_options={}
        ),
        "tensors of its mobilenetv2_100 are not in the file": replace(
            card, backbone="mobilenetv2_100", backbone_options={}
        ),
        "cannot be built: timm .* has no backbone 'none'": replace(card, backbone="none"),
        "rates the self-test picture otherwise .* by 0": replace(
            card, backbone_options={"width": 0.25}
        ),
        "no self-test": replace(card, golden=None),
        "without a siamese-nima model card": None,
    }
    for message, wrong in cases.items():
        with pytest.raises(WeightsError, match=message):
            read_onnx_weights(rewritten(path, tmp_path / "wrong.onnx", wrong))


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.onnx: no such model file"):
        read_onnx_weights(tmp_path / "none.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"no graph at all")
    with pytest.raises(WeightsError, match=r"noise\.onnx: not a readable ONNX file"):
        read_onnx_weights(tmp_path / "noise.onnx")
