"""The proof: one forward per photo and all pairs of the batch is the two-input Siamese network.

The explicit network runs both photos of every pair through shared weights, as the origin's does.
Loss and gradients must agree, in double precision, with dropout off and batch norms in inference.
"""

import pytest
import torch
from torch import nn

from siamese_nima.networks.nima import NIMA
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.config import StageConfig
from siamese_nima.training.objectives import emd, pair_loss, stage_loss
from siamese_nima.training.pairs import PhotoLabels, all_pairs, label_pairs

GRADES = torch.tensor(AVA_SCALE.grades)
PHOTOS = 7


class TinyBackbone(nn.Module):
    """One convolution, one batch norm with statistics of its own, pooled."""

    num_features = 5

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        nn.init.uniform_(self.norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, views):
        return self.norm(self.convolution(views)).relu().mean((2, 3))


class TwoInputNetwork(nn.Module):
    """Both photos of a pair through the same weights; gives the gap of their means."""

    def __init__(self, nima):
        super().__init__()
        self.nima = nima

    def forward(self, first, second):
        ratings = self.nima(first), self.nima(second)
        return ratings, ratings[0] @ GRADES - ratings[1] @ GRADES


class DoubleNIMA(NIMA):
    """NIMA whose softmax stays in double precision."""

    def forward(self, views):
        return self.logits(views).softmax(-1)


@pytest.fixture
def scene():
    torch.manual_seed(11)
    nima = DoubleNIMA(TinyBackbone(), group_sizes=(1, 2)).double().eval()
    views = torch.randn(PHOTOS, 3, 3, 9, 8, dtype=torch.float64)
    target = torch.randn(PHOTOS, 10, dtype=torch.float64).softmax(-1)
    labels = PhotoLabels(
        distributions=target,
        means=target @ GRADES,
        standard_errors=torch.full((PHOTOS,), 0.3, dtype=torch.float64),
        buckets=torch.tensor([0, 0, 1, 2, 1, 0, 3]),
        ladders=torch.full((PHOTOS,), -1),
        rungs=torch.zeros(PHOTOS, dtype=torch.int64),
        scenes=torch.arange(PHOTOS),
    )
    return nima, views, target, labels


def gradients(loss, nima):
    return torch.autograd.grad(loss, list(nima.parameters()))


def objective_of(**entries):
    return StageConfig(**({"kind": "siamese", "doubt": 0.0} | entries))


OBJECTIVES = [
    objective_of(objective=kind, labels=labels, emd_weight=0)
    for kind in ("contrastive", "margin", "preference")
    for labels in ("soft", "votes")
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{o.objective}-{o.labels}")
@pytest.mark.parametrize("subset", [False, True], ids=["all pairs", "some pairs"])
def test_loss_and_gradients_equal_those_of_the_two_input_network(scene, objective, subset):
    nima, views, target, labels = scene
    index = all_pairs(PHOTOS)
    index = index[:, [0, 3, 4, 11, 17, 20]] if subset else index
    pairs = label_pairs(index, labels, AVA_SCALE, kind=objective.labels)

    _, gap = TwoInputNetwork(nima)(views[pairs.first], views[pairs.second])
    explicit = pair_loss(objective, gap, pairs)
    once = stage_loss(objective, nima(views), target, GRADES, pairs).total

    assert once.item() == pytest.approx(explicit.item(), abs=1e-14)
    found, expected = gradients(once, nima), gradients(explicit, nima)
    assert max(part.abs().max() for part in expected) > 1e-4
    for one, two in zip(found, expected, strict=True):
        assert torch.allclose(one, two, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", ["contrastive", "margin", "preference"])
def test_the_earth_movers_distance_beside_it_agrees_too(scene, kind):
    nima, views, target, labels = scene
    objective = objective_of(objective=kind, weight=0.7, emd_weight=1.3)
    pairs = label_pairs(all_pairs(PHOTOS), labels, AVA_SCALE)

    (first, second), gap = TwoInputNetwork(nima)(views[pairs.first], views[pairs.second])
    # Every photo is in equally many pairs, so the mean over pairs is the mean over photos.
    distance = (emd(first, target[pairs.first]) + emd(second, target[pairs.second])).mean() / 2
    explicit = 0.7 * pair_loss(objective, gap, pairs) + 1.3 * distance
    once = stage_loss(objective, nima(views), target, GRADES, pairs).total

    assert once.item() == pytest.approx(explicit.item(), abs=1e-14)
    for one, two in zip(gradients(once, nima), gradients(explicit, nima), strict=True):
        assert torch.allclose(one, two, rtol=1e-10, atol=1e-14)


def test_the_network_runs_once_per_photo(scene):
    nima, views, target, labels = scene
    seen = []
    nima.backbone.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    pairs = label_pairs(all_pairs(PHOTOS), labels, AVA_SCALE)
    stage_loss(objective_of(), nima(views), target, GRADES, pairs)
    assert seen == [PHOTOS * 3]
    assert len(pairs.first) == PHOTOS * (PHOTOS - 1) // 2
