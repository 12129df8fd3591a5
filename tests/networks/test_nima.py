import numpy as np
import pytest
import torch
from torch import nn

from siamese_nima.card import Normalisation
from siamese_nima.errors import ConfigError, ViewError
from siamese_nima.networks.nima import NIMA, PhotoNIMA, PixelNormalisation, build_nima


class MeanColour(nn.Module):
    """The smallest backbone: its features are the mean of each channel."""

    num_features = 3

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((-2, -1))


def small_nima(**kwargs: object) -> NIMA:
    torch.manual_seed(0)
    return NIMA(MeanColour(), **kwargs).eval()  # type: ignore[arg-type]


def test_output_is_a_distribution_over_the_grades() -> None:
    distributions = small_nima(grades=7)(torch.randn(4, 2, 3, 5, 6))
    assert distributions.shape == (4, 7)
    assert (distributions > 0).all()
    torch.testing.assert_close(distributions.sum(-1), torch.ones(4))


def test_features_of_one_group_are_averaged_whatever_its_size() -> None:
    views = torch.randn(2, 5, 3, 4, 4)
    torch.testing.assert_close(small_nima().features(views), views.mean((1, 3, 4)))


def test_features_of_different_groups_are_concatenated_in_order() -> None:
    views = torch.randn(2, 6, 3, 4, 4)
    features = small_nima(group_sizes=(1, 5)).features(views)
    colours = views.mean((3, 4))
    torch.testing.assert_close(features[:, :3], colours[:, 0])
    torch.testing.assert_close(features[:, 3:], colours[:, 1:].mean(1))


def test_a_wrong_number_of_views_is_an_error_when_there_are_groups() -> None:
    with pytest.raises(ViewError, match=r"got 3 views per photo, this network needs 6"):
        small_nima(group_sizes=(1, 5))(torch.zeros(1, 3, 3, 4, 4))


def test_an_empty_group_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"got \(1, 0\)"):
        small_nima(group_sizes=(1, 0))


def test_dropout_acts_on_the_features_in_training_only() -> None:
    nima = small_nima()
    assert nima.dropout.p == 0.75
    views = torch.randn(64, 1, 3, 8, 8)
    assert torch.equal(nima.logits(views), nima.logits(views))
    nima.train()
    assert not torch.equal(nima.logits(views), nima.logits(views))


def test_one_photo_scores_the_same_alone_and_in_a_batch() -> None:
    nima = build_nima("mobilenetv1_100").eval()
    views = torch.randn(3, 1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(nima(views)[1:2], nima(views[1:2]), atol=1e-6, rtol=0)


def test_normalisation_maps_black_and_white_as_the_card_says() -> None:
    pixels = torch.zeros(1, 1, 2, 2, 3, dtype=torch.uint8)
    pixels[..., 1, :] = 255
    normalised = PixelNormalisation(Normalisation())(pixels)
    assert normalised.shape == (1, 1, 3, 2, 2)
    torch.testing.assert_close(normalised[..., 0], torch.full((1, 1, 3, 2), -1.0))
    torch.testing.assert_close(normalised[..., 1], torch.ones(1, 1, 3, 2))


def test_normalisation_is_per_channel() -> None:
    normalisation = Normalisation(mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0))
    pixels = torch.from_numpy(np.full((1, 1, 1, 1, 3), 50, np.uint8))
    normalised = PixelNormalisation(normalisation)(pixels).flatten()
    torch.testing.assert_close(normalised, torch.tensor([40.0, 15.0, 5.0]))


def test_photo_network_is_normalisation_then_network() -> None:
    nima = small_nima()
    pixels = torch.randint(0, 256, (2, 1, 4, 4, 3), dtype=torch.uint8)
    expected = nima(PixelNormalisation(Normalisation())(pixels))
    torch.testing.assert_close(PhotoNIMA(nima, Normalisation())(pixels), expected)
