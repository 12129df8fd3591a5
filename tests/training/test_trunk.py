import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siamese_nima.card import Normalisation
from siamese_nima.datasets.view_cache import ViewCache
from siamese_nima.errors import ConfigError
from siamese_nima.networks.backbones import BackboneOptions, build_backbone
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.training.trunk import ActivationScaling, build_trunk_cache, split_backbone


@pytest.fixture(scope="module")
def backbone() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_backbone("mobilenetv1_100", BackboneOptions(width=0.25)).eval()


def some_views(count: int = 3) -> ViewCache:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (2, count, 2, 32, 32, 3), dtype=np.uint8)
    return ViewCache(pixels, ViewPolicy.parse("warp:32+centre:32@64"), f"key of {count}")


@pytest.mark.parametrize("cut", ["blocks.0", "blocks.2", "blocks.3.1", "blocks.4"])
def test_trunk_and_upper_layers_together_are_the_backbone(
    backbone: torch.nn.Module, cut: str
) -> None:
    trunk, upper = split_backbone(backbone, cut)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(upper(trunk(pixels)), backbone(pixels))


def test_training_the_upper_layers_trains_the_backbone(backbone: torch.nn.Module) -> None:
    trunk, upper = split_backbone(backbone, "blocks.3")
    shared = {id(parameter) for parameter in backbone.parameters()}
    parts = [*trunk.parameters(), *upper.parameters()]
    assert {id(parameter) for parameter in parts} == shared
    assert len(parts) == len(shared)


def test_cached_activations_are_those_of_the_trunk_to_a_byte(
    backbone: torch.nn.Module, tmp_path: Path
) -> None:
    views, normalisation = some_views(), Normalisation()
    trunk, _ = split_backbone(backbone, "blocks.2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the ONNX exporter
        cached = build_trunk_cache(views, trunk, normalisation, tmp_path)
    assert cached.shape[:3] == (2, 3, 2)
    assert cached.dtype == np.uint8
    inputs = PixelNormalisation(normalisation)(torch.from_numpy(views.pixels[1]))
    with torch.no_grad():
        expected = trunk(inputs.flatten(0, 1)).unflatten(0, (3, 2))
    found = ActivationScaling()(torch.from_numpy(np.array(cached[1])))
    torch.testing.assert_close(found, expected, atol=6 / 255 / 2 + 1e-4, rtol=0)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv2_035"])
def test_trunks_without_relu6_at_their_end_are_kept_in_half_precision(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    whole = build_backbone(name).eval()
    views, (trunk, upper) = some_views(2), split_backbone(whole, "blocks.1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the ONNX exporter
        cached = build_trunk_cache(views, trunk, Normalisation(), tmp_path)
    assert cached.dtype == np.float16
    inputs = PixelNormalisation(Normalisation())(torch.from_numpy(views.pixels[0])).flatten(0, 1)
    with torch.no_grad():
        scaled = ActivationScaling()(torch.from_numpy(np.array(cached[0]))).flatten(0, 1)
        exact = trunk(inputs)
        # 11 bits
        torch.testing.assert_close(scaled, exact, rtol=2**-10, atol=1e-5)
        torch.testing.assert_close(upper(exact), whole(inputs))
        found = upper(scaled)
    torch.testing.assert_close(found, whole(inputs), rtol=1e-2, atol=1e-2)


LEVELS = {
    "all the way, enlarged": BackboneOptions(
        levels=("blocks.0.0", "blocks.1.1", "blocks.2.0", "blocks.6.0"), enlarge=2
    ),
    "nothing pooled": BackboneOptions(levels=("blocks.1.0", "blocks.2.1"), pooled=False),
}


@pytest.mark.parametrize("cut", ["blocks.0", "blocks.1", "blocks.1.0", "blocks.2.1"])
@pytest.mark.parametrize("options", LEVELS.values(), ids=LEVELS.keys())
def test_a_backbone_of_several_depths_is_cut_with_the_means_below_the_cut(
    options: BackboneOptions, cut: str
) -> None:
    torch.manual_seed(0)
    whole = build_backbone("mobilenetv2_035", options).eval()
    trunk, upper = split_backbone(whole, f"backbone.{cut}")
    pixels = torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(upper(trunk(pixels)), whole(pixels))
    parts = [*trunk.parameters(), *upper.parameters()]
    assert {id(part) for part in parts} == {id(part) for part in whole.parameters()}


@pytest.mark.parametrize("cut", ["backbone.blocks.1", "backbone"])
def test_means_of_early_blocks_and_whole_features_are_kept_in_half_precision(
    cut: str, tmp_path: Path, quick_export: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if cut != "backbone":  # which the older exporter cannot do
        monkeypatch.setattr(torch.onnx, "export", quick_export)
    torch.manual_seed(0)
    whole = build_backbone("mobilenetv2_035", LEVELS["all the way, enlarged"]).eval()
    views, (trunk, upper) = some_views(2), split_backbone(whole, cut)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the ONNX exporter
        cached = build_trunk_cache(views, trunk, Normalisation(), tmp_path)
    assert cached.dtype == np.float16
    inputs = PixelNormalisation(Normalisation())(torch.from_numpy(views.pixels[0])).flatten(0, 1)
    with torch.no_grad():
        kept = ActivationScaling()(torch.from_numpy(np.array(cached[0]))).flatten(0, 1)
        torch.testing.assert_close(upper(kept), whole(inputs), rtol=1e-2, atol=1e-2)


def test_a_finished_cache_is_used_again_and_other_weights_have_their_own(
    backbone: torch.nn.Module, tmp_path: Path
) -> None:
    views, (trunk, _) = some_views(), split_backbone(backbone, "blocks.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls: list[int] = []
        for _ in range(2):
            build_trunk_cache(
                views,
                trunk,
                Normalisation(),
                tmp_path,
                report=lambda done, _: calls.append(done),
            )
        assert calls == [12]
        with torch.no_grad():
            next(trunk.parameters()).add_(0.01)
        build_trunk_cache(views, trunk, Normalisation(), tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 2


@pytest.mark.parametrize(
    "cut", [pytest.param("backbone.blocks.1", marks=pytest.mark.slow), "backbone"]
)
def test_what_weights_do_not_tell_has_a_cache_of_its_own(
    cut: str, tmp_path: Path, quick_export: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other levels, another size inside, other pixels: the same weights, other activations."""
    if cut != "backbone":  # which the older exporter cannot do
        monkeypatch.setattr(torch.onnx, "export", quick_export)
    views = some_views(1)
    files = []
    for levels, enlarge, mean in (
        (("blocks.0.0",), 1, 127.5),
        (("blocks.1.0",), 1, 127.5),
        (("blocks.0.0",), 2, 127.5),
        (("blocks.0.0",), 1, 100.0),
    ):
        torch.manual_seed(0)
        whole = build_backbone(
            "mobilenetv2_035", BackboneOptions(levels=levels, enlarge=enlarge)
        ).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the ONNX exporter
            trunk = split_backbone(whole, cut)[0]
            build_trunk_cache(views, trunk, Normalisation(mean=(mean,) * 3), tmp_path)
        files.append(len(list(tmp_path.glob("*.npy"))))
    assert files == [1, 2, 3, 4]


def test_unknown_blocks_and_backbones_are_refused(backbone: torch.nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"no block 'blocks\.9' .* blocks\.0\.0, blocks\.1\.0"):
        split_backbone(backbone, "blocks.9")
    with pytest.raises(ConfigError, match="no block 'conv_stem'"):
        split_backbone(backbone, "conv_stem")
    with pytest.raises(ConfigError, match="MobileNet v1 and v2 and EfficientNet only, not for Res"):
        split_backbone(build_backbone("resnet10t"), "blocks.1")
