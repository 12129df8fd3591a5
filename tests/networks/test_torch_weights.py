"""Checkpoints of other programs, written as these write them, give the same distributions."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from siamese_nima.errors import WeightsError
from siamese_nima.networks.conversion import read_weights
from siamese_nima.networks.nima import PhotoNIMA


@pytest.fixture(scope="module")
def convolutions():
    torch.manual_seed(0)
    return timm.create_model("vgg16", features_only=True, pretrained=False).eval()


def rated(path, pixels):
    nima, card = read_weights(path)
    with torch.no_grad():
        return PhotoNIMA(nima, card.normalisation)(torch.from_numpy(pixels[:, None])), card


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)


def as_float(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="module")
def kentsyx(convolutions, tmp_path_factory):
    """`features` of torchvision's VGG16, and a linear layer on its 7 x 7 places."""
    head = nn.Linear(25088, 10)
    head.weight.data *= 200
    weights = {
        name.replace("features_", "features."): tensor
        for name, tensor in convolutions.state_dict().items()
    }
    weights |= {"classifier.1.weight": head.weight.data, "classifier.1.bias": head.bias.data}
    path = tmp_path_factory.mktemp("weights") / "epoch-82.pth"
    torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    return path, weights, head


def test_vgg16_with_its_places_side_by_side_as_kentsyx_has_it(kentsyx, convolutions, pixels):
    path, _, head = kentsyx
    with torch.no_grad():
        last = convolutions(as_float(pixels))[-1]
        expected = head(last.flatten(1)).softmax(1)
    assert np.ptp(expected.numpy(), axis=0).max() > 1e-3
    found, card = rated(path, pixels)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (card.backbone, str(card.view)) == ("nima_vgg16_flat", "centre:224@256/bilinear")


def test_vgg16_with_the_mean_of_its_places_as_pyiqa_has_it(convolutions, pixels, tmp_path):
    head = nn.Linear(512, 10)
    head.weight.data *= 200
    weights = {f"base_model.{name}": one for name, one in convolutions.state_dict().items()}
    weights |= {"classifier.2.weight": head.weight.data, "classifier.2.bias": head.bias.data}
    torch.save({"params": weights}, tmp_path / "NIMA_VGG16_ava.pth")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        last = convolutions((as_float(pixels) - mean) / std)[-1]
        expected = head(last.mean((2, 3))).softmax(1)
    found, card = rated(tmp_path / "NIMA_VGG16_ava.pth", pixels)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert card.backbone == "nima_vgg16"


@pytest.mark.slow
def test_inception_resnet_v2_as_pyiqa_has_it(pixels, tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("inception_resnet_v2", features_only=True, pretrained=False).eval()
    head = nn.Linear(1536, 10)
    weights = {f"base_model.{name}": one for name, one in network.state_dict().items()}
    weights |= {"classifier.2.weight": head.weight.data, "classifier.2.bias": head.bias.data}
    torch.save({"params": weights}, tmp_path / "NIMA_InceptionV2_ava.pth")
    with torch.no_grad():
        last = network((as_float(pixels) - 0.5) / 0.5)[-1]
        expected = head(last.mean((2, 3))).softmax(1)
    found, card = rated(tmp_path / "NIMA_InceptionV2_ava.pth", pixels)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert card.backbone == "inception_resnet_v2"


def test_tensors_that_do_not_fit_are_named(kentsyx, tmp_path):
    _, weights, _ = kentsyx
    odd = dict(weights)
    odd["features.99.weight"] = odd.pop("features.5.weight")
    odd["features.0.bias"] = torch.full((64,), float("nan"))
    torch.save(odd, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"odd\.pth: these tensors do not fit") as error:
        read_weights(tmp_path / "odd.pth")
    for part in ("1 missing: backbone.features.5.weight", "1 not used: backbone.features.99"):
        assert part in str(error.value)
    assert "1 not finite: backbone.features.0.bias" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layer.weight": torch.zeros(2)}, r"no NIMA network that is known here; its 1 tensors"),
        ([1, 2], "no dictionary of tensors"),
        (nn.Linear(2, 2), r"reads without running code in it .*state_dict\(\)"),
        (
            {"features.28.weight": torch.zeros(2), "classifier.1.weight": torch.zeros(1, 25088)},
            "gives one number, not a distribution",
        ),
        ({"features.28.weight": torch.zeros(2)}, "keeps the rating layer as classifier.1"),
    ],
)
def test_other_files_are_errors_that_say_what_to_do(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "other.pth")


def test_a_file_that_is_none_of_torch_is_an_error(tmp_path):
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(WeightsError, match=r"page\.pth: not a file of tensors"):
        read_weights(tmp_path / "page.pth")
    with pytest.raises(WeightsError, match="no such weight file"):
        read_weights(tmp_path / "gone.pth")
