import pytest
import timm
import torch
from torch.nn import functional

from siamese_nima.errors import ConfigError
from siamese_nima.networks.backbones import (
    BackboneOptions,
    OneSidedConv2d,
    SamePaddedConv2d,
    backbone_normalisation,
    build_backbone,
    feature_count,
    simplify_same_padding,
)

MOBILENET = BackboneOptions(bn_epsilon=1e-3, padding="keras2")


def batch_norm_epsilons(backbone: torch.nn.Module) -> set[float]:
    return {module.eps for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)}


@pytest.mark.parametrize(
    ("name", "features"),
    [("mobilenetv1_100", 1024), ("mobilenetv3_small_050", 1024), ("resnet18", 512)],
)
def test_any_backbone_gives_pooled_features_of_the_stated_count(name: str, features: int) -> None:
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, 64, 96)).shape == (2, features)
    assert feature_count(backbone) == features


def test_no_backbone_is_ever_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> torch.nn.Module:
        asked.append(pretrained)
        return torch.nn.Identity()

    monkeypatch.setattr(timm, "create_model", create_model)
    build_backbone("mobilenetv1_100")
    assert asked == [False]


def test_an_unknown_backbone_is_an_error_that_suggests_close_names() -> None:
    with pytest.raises(ConfigError, match=r"no backbone 'mobilenet_v1_100'; did you mean "):
        build_backbone("mobilenet_v1_100")


def test_inception_has_the_epsilon_of_keras_and_does_not_count_padding_in_its_average() -> None:
    backbone = build_backbone("inception_resnet_v2")
    assert batch_norm_epsilons(backbone) == {1e-3}
    pools = [m for m in backbone.modules() if isinstance(m, torch.nn.AvgPool2d)]
    assert len(pools) == 1
    assert all(not pool.count_include_pad for pool in pools)
    residual_scales = [m.scale for m in backbone.modules() if hasattr(m, "scale")]
    assert residual_scales == [0.17] * 10 + [0.10] * 20 + [0.20] * 9 + [1.0]


def test_epsilon_is_set_in_every_batch_norm() -> None:
    assert batch_norm_epsilons(build_backbone("mobilenetv1_100")) == {1e-5}
    assert batch_norm_epsilons(build_backbone("mobilenetv1_100", MOBILENET)) == {1e-3}


def test_normalisation_is_the_backbones_own_in_pixel_units() -> None:
    inception = backbone_normalisation(build_backbone("inception_resnet_v2"))
    assert inception.mean == (127.5, 127.5, 127.5)
    assert inception.std == (127.5, 127.5, 127.5)
    resnet = backbone_normalisation(build_backbone("resnet18"))
    assert resnet.mean == pytest.approx((123.675, 116.28, 103.53))


def test_padding_modes_pad_each_stride_two_convolution_as_they_say() -> None:
    expected = {
        "keras2": [OneSidedConv2d] * 5,
        "keras3": [SamePaddedConv2d] + [OneSidedConv2d] * 4,
        "same": [SamePaddedConv2d] * 5,
        "timm": [torch.nn.Conv2d] * 5,
    }
    for padding, kinds in expected.items():
        backbone = build_backbone("mobilenetv1_100", BackboneOptions(padding=padding))
        strided = [m for m in backbone.modules() if getattr(m, "stride", None) == (2, 2)]
        assert [type(m) for m in strided] == kinds, padding


def test_padding_keeps_the_names_and_shapes_of_the_weights() -> None:
    plain = build_backbone("mobilenetv1_100").state_dict()
    padded = build_backbone("mobilenetv1_100", MOBILENET).state_dict()
    assert list(plain) == list(padded)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 8), (8, 9), (9, 13)])
def test_same_padding_is_tensorflows(height: int, width: int) -> None:
    convolution = SamePaddedConv2d(1, 1, 3, stride=2, bias=False)
    pixels = torch.arange(float(height * width)).reshape(1, 1, height, width)
    # TensorFlow: as many zeros as ceil(size / 2) outputs need, the odd one at the end.
    total_h = (-(-height // 2) - 1) * 2 + 3 - height
    total_w = (-(-width // 2) - 1) * 2 + 3 - width
    pad = (total_w // 2, total_w - total_w // 2, total_h // 2, total_h - total_h // 2)
    expected = functional.conv2d(functional.pad(pixels, pad), convolution.weight, stride=2)
    torch.testing.assert_close(convolution(pixels), expected)


def test_one_sided_padding_equals_same_padding_at_even_sizes_only() -> None:
    one_sided, same = OneSidedConv2d(2, 3, 3, stride=2), SamePaddedConv2d(2, 3, 3, stride=2)
    same.load_state_dict(one_sided.state_dict())
    even, odd = torch.randn(1, 2, 10, 12), torch.randn(1, 2, 11, 13)
    torch.testing.assert_close(one_sided(even), same(even))
    assert (one_sided(odd)[..., :5, :6] - same(odd)[..., :5, :6]).abs().max() > 0.01


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (34, 35)])
def test_same_padding_that_can_be_traced_is_timms(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    timms, ours = (build_backbone("tf_efficientnet_lite0").eval() for _ in range(2))
    simplify_same_padding(ours)
    ours.load_state_dict(timms.state_dict())
    replaced = [m.kernel_size[0] for m in ours.modules() if isinstance(m, SamePaddedConv2d)]
    assert replaced == [3, 3, 5, 3, 5]
    pixels = torch.randn(1, 3, *size)
    with torch.no_grad():
        assert torch.equal(ours(pixels), timms(pixels))


def test_width_scales_the_channels_as_keras_alpha_does() -> None:
    backbone = build_backbone("mobilenetv1_100", BackboneOptions(width=0.25))
    assert feature_count(backbone) == 256
    assert backbone.state_dict()["conv_stem.weight"].shape == (8, 3, 3, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", BackboneOptions(padding="keras2"), "padding 'keras2' is for MobileNet v1"),
        ("resnet18", BackboneOptions(width=0.5), "width 0.5 is for mobilenetv1_100 only, resnet18"),
    ],
)
def test_options_that_a_backbone_cannot_take_are_errors(
    name: str, options: BackboneOptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_backbone(name, options)


def test_options_survive_the_card() -> None:
    assert MOBILENET.to_dict() == {"bn_epsilon": 1e-3, "padding": "keras2"}
    assert BackboneOptions.from_dict(MOBILENET.to_dict()) == MOBILENET
    assert BackboneOptions().to_dict() == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"padding": "valid"}, "got 'valid'"),
        ({"bn_epsilon": 0.0}, "got 0.0"),
        ({"width": -1.0}, "got -1.0"),
        ({"dilation": 2}, r"unknown backbone options \['dilation'\]"),
    ],
)
def test_impossible_options_are_errors(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BackboneOptions.from_dict(values)
