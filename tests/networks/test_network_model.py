"""A network in memory scores as its model file does."""

import numpy as np
import pytest
import torch

from siamese_nima.card import ModelCard, golden_photo
from siamese_nima.networks.backbones import backbone_normalisation
from siamese_nima.networks.network_model import NetworkModel
from siamese_nima.networks.nima import build_nima
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.photos import ViewPolicy
from siamese_nima.scoring.model import ModelFile
from siamese_nima.scoring.scorer import Scorer

pytestmark = pytest.mark.usefixtures("quick_export")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    nima = build_nima("mobilenetv1_100", group_sizes=(1, 1))
    view = ViewPolicy.parse("warp:64+centre:64@96")
    normalisation = backbone_normalisation(nima.backbone)
    card = ModelCard(
        name="small", backbone="mobilenetv1_100", view=view, normalisation=normalisation
    )
    return nima, card


def test_it_rates_as_the_model_file_does(network, tmp_path):
    nima, card = network
    nima.train()
    views = card.view.views(golden_photo())[np.newaxis]
    rated = NetworkModel(nima, card).rate(views)
    export_onnx(nima, card, tmp_path / "small.onnx")
    assert rated == pytest.approx(ModelFile(tmp_path / "small.onnx").rate(views), abs=1e-4)
    assert rated.dtype == np.float32


def test_it_scores_photos_and_says_what_it_is(network):
    nima, card = network
    [result] = Scorer(NetworkModel(nima, card)).score([golden_photo()])
    assert 1 <= result.mean <= 10
    assert result.model == "small-1@memory"
