from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from siamese_nima.card import ModelCard, golden_photo
from siamese_nima.errors import ConfigError
from siamese_nima.networks.backbones import BackboneOptions, build_backbone, feature_count
from siamese_nima.networks.nima import build_nima_for
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.networks.onnx_weights import read_onnx_weights
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.model import ModelFile

OPTIONS = BackboneOptions(
    bn_epsilon=1e-3, padding="keras2", levels=("blocks.3.4", "blocks.2.0"), enlarge=2
)


def plain(backbone: torch.nn.Module) -> torch.nn.Module:
    inner = backbone.get_submodule("backbone")
    assert isinstance(inner, torch.nn.Module)
    return inner


def test_features_are_the_means_of_the_levels_in_network_order_and_then_the_pooled_ones() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("mobilenetv1_100", OPTIONS).eval()
    assert feature_count(backbone) == 256 + 512 + 1024
    views = torch.randn(2, 3, 48, 40)
    seen = []
    for name in ("blocks.2.0", "blocks.3.4"):
        plain(backbone).get_submodule(name).register_forward_hook(
            lambda _, __, output: seen.append(output.mean((2, 3)))
        )
    with torch.no_grad():
        features = backbone(views)
        last = plain(backbone)(functional.interpolate(views, scale_factor=2.0, mode="bilinear"))
    torch.testing.assert_close(features, torch.cat([*seen[:2], last], dim=1))


def test_the_options_survive_the_model_card() -> None:
    stored = OPTIONS.to_dict()
    stored["levels"] = list(stored["levels"])
    assert BackboneOptions.from_dict(stored) == OPTIONS


def test_a_model_file_with_levels_computes_what_torch_does_and_can_be_read_back(
    tmp_path: Path,
) -> None:
    # Cut early, as exporting a block takes half a second.
    early = BackboneOptions(
        width=0.25, levels=("blocks.1.0", "blocks.0.0"), pooled=False, enlarge=2
    )
    card = ModelCard(
        name="small",
        backbone="mobilenetv1_100",
        backbone_options=early.to_dict(),
        view=ViewPolicy.parse("centre:48@48"),
    )
    torch.manual_seed(0)
    nima = build_nima_for(card).eval()
    export_onnx(nima, card, tmp_path / "small.onnx")  # compares with torch
    views = card.view.views(golden_photo())[None]
    again, _ = read_onnx_weights(tmp_path / "small.onnx")
    assert again.backbone.get_submodule("backbone") is not None
    assert ModelFile(tmp_path / "small.onnx").rate(views).shape == (1, 10)
    assert np.isfinite(ModelFile(tmp_path / "small.onnx").rate(views)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": ("blocks.9.0",)}, r"no block 'blocks\.9\.0'; blocks are blocks\.0\.0"),
        ({"enlarge": 0}, "enlarge must be an integer from 1 to 8, got 0"),
    ],
)
def test_impossible_levels_say_what_there_is(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_backbone("mobilenetv1_100", BackboneOptions.from_dict(options))


def test_other_networks_have_no_levels() -> None:
    with pytest.raises(ConfigError, match="not for ResNet"):
        build_backbone("resnet18", BackboneOptions(enlarge=2))
