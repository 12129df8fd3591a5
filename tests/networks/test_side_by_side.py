"""Two backbones on the same views, from the options of a card to model files and back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from siamese_nima.card import ModelCard
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.backbones import (
    BackboneOptions,
    Beside,
    backbone_normalisation,
    build_backbone,
    feature_count,
)
from siamese_nima.networks.checkpoint import load_checkpoint, save_checkpoint
from siamese_nima.networks.freezing import freeze, freeze_backbone, halfway_stage, stage_names
from siamese_nima.networks.keras.write import write_keras_h5
from siamese_nima.networks.nima import NIMA, PhotoNIMA, build_nima_for
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.networks.onnx_storage import store_smaller, stored_weights
from siamese_nima.networks.onnx_weights import read_onnx_weights
from siamese_nima.networks.side_by_side import SideBySide
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.model import ModelFile
from siamese_nima.taste.features import FeatureExtractor

# Both cut early: exporting a block takes half a second.
SECOND = BackboneOptions(levels=("blocks.1.0", "blocks.0.0"), pooled=False, enlarge=2)
OPTIONS = BackboneOptions(
    bn_epsilon=1e-3,
    padding="keras2",
    width=0.25,
    levels=("blocks.1.0",),
    pooled=False,
    enlarge=2,
    beside=Beside("tf_efficientnet_lite0", SECOND),
)
CARD = ModelCard(
    name="pair",
    backbone="mobilenetv1_100",
    backbone_options=OPTIONS.to_dict(),
    view=ViewPolicy.parse("warp:40"),
)


@pytest.fixture(scope="module")
def pair(enliven: Callable[[NIMA], NIMA]) -> NIMA:
    return enliven(build_nima_for(CARD))


@pytest.fixture(scope="module")
def pair_file(pair: NIMA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pair") / "pair.onnx"
    export_onnx(pair, CARD, path, storage="int8")
    return path


def some_views(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 1, 40, 40, 3), dtype=np.uint8)


def in_torch(nima: NIMA, views: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return PhotoNIMA(nima, CARD.normalisation).eval()(torch.from_numpy(views)).numpy()


def test_features_of_the_second_follow_those_of_the_first(pair: NIMA) -> None:
    backbone = pair.backbone
    assert isinstance(backbone, SideBySide)
    views = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        first, second, both = backbone.first(views), backbone.second(views), backbone(views)
    assert first.shape == (2, 32)
    assert second.shape == (2, 16 + 24)
    assert torch.equal(both, torch.cat([first, second], dim=1))
    assert feature_count(backbone) == 72
    assert backbone_normalisation(backbone) == backbone_normalisation(backbone.first)


def test_without_the_pooled_features_nothing_after_the_last_level_is_kept() -> None:
    torch.manual_seed(0)
    cut = build_backbone("tf_efficientnet_lite0", SECOND).eval()
    whole = build_backbone("tf_efficientnet_lite0", replace(SECOND, pooled=True)).eval()
    names = set(cut.state_dict())
    _, unknown = whole.load_state_dict(cut.state_dict(), strict=False)
    assert not unknown
    stages = {name.split(".")[2] for name in names if ".blocks." in name}
    assert stages == {"0", "1"}
    assert not [name for name in names if "blocks.1.1" in name or "conv_head" in name]
    views = torch.randn(2, 3, 48, 40)
    with torch.no_grad():
        assert torch.equal(cut(views), whole(views)[:, : 16 + 24])


def test_the_options_survive_the_card() -> None:
    card = ModelCard.from_json(CARD.to_json())
    assert card.backbone_options["beside"] == {
        "name": "tf_efficientnet_lite0",
        "options": {"levels": ["blocks.1.0", "blocks.0.0"], "pooled": False, "enlarge": 2},
    }
    assert BackboneOptions.from_dict(card.backbone_options) == OPTIONS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pooled": False}, "pooled = false leaves no features"),
        ({"beside": {"name": "resnet18"}}, r"needs name and options, got \['name'\]"),
        ({"beside": {"name": "resnet18", "options": {"x": 1}}}, r"unknown .* \['x'\]"),
    ],
)
def test_impossible_pairs_are_errors(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BackboneOptions.from_dict(values)


def test_a_checkpoint_holds_both(pair: NIMA, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "pair.safetensors", pair, CARD)
    again, _ = load_checkpoint(tmp_path / "pair.safetensors")
    assert np.array_equal(in_torch(again, some_views(2)), in_torch(pair, some_views(2)))


def test_a_model_file_in_bytes_becomes_a_network_and_a_checkpoint(
    pair: NIMA, pair_file: Path, tmp_path: Path
) -> None:
    views = some_views(3)
    rated = ModelFile(pair_file).rate(views)
    np.testing.assert_allclose(rated, in_torch(pair, views), atol=2e-2)
    again, card = read_onnx_weights(pair_file)
    # float32 sums in another order
    np.testing.assert_allclose(in_torch(again, views), rated, atol=1e-5)
    save_checkpoint(tmp_path / "again.safetensors", again, card)
    kept, _ = load_checkpoint(tmp_path / "again.safetensors")
    assert np.array_equal(in_torch(kept, views), in_torch(again, views))
    graph = onnx.load(pair_file).graph
    stored = {name: values.copy() for name, values in stored_weights(graph).items()}
    store_smaller(graph, "int8")
    for name, values in stored_weights(graph).items():
        np.testing.assert_array_equal(values, stored[name], err_msg="bytes stay as they are")


def test_a_taste_can_be_put_on_top(pair_file: Path) -> None:
    opened = FeatureExtractor(pair_file)
    assert opened.levels[-1] == 72
    assert opened.rate(some_views(2)).shape == (2, 10 + sum(opened.levels))


def test_stages_of_both_can_be_frozen(pair: NIMA) -> None:
    names = stage_names(pair)
    assert names[0] == "first.backbone.conv_stem"
    assert names[-1] == "second.backbone.blocks.1"
    freeze(pair, "second.backbone.blocks.0")
    free = {name for name, p in pair.backbone.named_parameters() if p.requires_grad}
    assert free
    assert all(name.startswith("second.backbone.blocks.1.") for name in free)
    freeze(pair, halfway_stage(pair))
    weights = sum(p.numel() for p in pair.backbone.parameters())
    frozen = sum(p.numel() for p in pair.backbone.parameters() if not p.requires_grad)
    assert frozen / weights == pytest.approx(0.5, abs=0.2)
    freeze_backbone(pair)
    assert not any(p.requires_grad for p in pair.backbone.parameters())
    with pytest.raises(ConfigError, match=r"no stage 'blocks\.9'.* Its stages are first\.backbone"):
        freeze(pair, "blocks.9")
    freeze(pair, None)


def test_keras_cannot_hold_it(pair: NIMA, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="pair: it has two backbones side by side"):
        write_keras_h5(tmp_path / "pair.h5", pair, CARD)
    levels = replace(OPTIONS, beside=None)
    card = replace(CARD, backbone_options=levels.to_dict())
    with pytest.raises(WeightsError, match="its features are of several depths"):
        write_keras_h5(tmp_path / "pair.h5", build_nima_for(card), card)
    assert not list(tmp_path.iterdir())
