import pytest
import timm
import torch
from torch import nn

from siamese_nima.errors import ConfigError
from siamese_nima.networks.freezing import (
    freeze,
    freeze_backbone,
    halfway_stage,
    stage_names,
)
from siamese_nima.networks.nima import NIMA, build_nima


def trainable(nima: NIMA) -> set[str]:
    return {name for name, parameter in nima.named_parameters() if parameter.requires_grad}


def trainable_count(nima: NIMA) -> int:
    return sum(p.numel() for p in nima.parameters() if p.requires_grad)


@pytest.fixture(scope="module")
def inception() -> NIMA:
    # Without batch-norm scales, as weights from Keras have it.
    with torch.device("meta"):
        return build_nima("inception_resnet_v2", options={"bn_scale": False})


@pytest.fixture
def mobilenet() -> NIMA:
    return build_nima("mobilenetv1_100", options={"width": 0.25})


def test_618_layers_of_keras_are_everything_up_to_mixed_7a(inception: NIMA) -> None:
    freeze(inception, 618)
    by_count = trainable(inception)
    # Keras counts 23,577,738 in layers[618:]; 2 x 10,176 of them are moving statistics.
    assert trainable_count(inception) == 23_577_738 - 2 * 10_176
    freeze(inception, "mixed_7a")
    assert trainable(inception) == by_count
    assert {name.split(".")[1] for name in by_count if name.startswith("backbone")} == {
        "repeat_2",
        "block8",
        "conv2d_7b",
    }


def test_any_number_of_keras_layers_freezes_those_before_it(inception: NIMA) -> None:
    # layers[9:11] are the activation of the third convolution and a pooling; 11 is the fourth.
    freeze(inception, 11)
    at_11 = trainable(inception)
    freeze(inception, 9)
    assert trainable(inception) == at_11
    freeze(inception, 12)
    assert at_11 - trainable(inception) == {"backbone.conv2d_3b.conv.weight"}
    freeze(inception, 783)
    assert not trainable(inception)
    freeze(inception, 0)
    assert trainable_count(inception) == 54_291_562


@pytest.mark.parametrize("count", [-1, 784])
def test_a_count_out_of_range_is_an_error(inception: NIMA, count: int) -> None:
    with pytest.raises(ConfigError, match=rf"from 0 to 783, got {count}"):
        freeze(inception, count)


def test_a_count_needs_the_network_that_it_counts_in(mobilenet: NIMA) -> None:
    with pytest.raises(ConfigError, match=r"\(618\).*Name a stage.*conv_stem, bn1, blocks"):
        freeze(mobilenet, 618)


def test_a_stage_is_frozen_with_all_before_it(mobilenet: NIMA) -> None:
    freeze(mobilenet, "blocks.3")
    free = {name.rpartition(".")[0] for name in trainable(mobilenet)}
    assert all(name == "head" or name.startswith("backbone.blocks.4") for name in free)
    assert "head" in free


def test_an_unknown_stage_is_an_error_that_lists_stages(mobilenet: NIMA) -> None:
    with pytest.raises(ConfigError, match=r"no stage 'block\.3'; did you mean blocks\.3"):
        freeze(mobilenet, "block.3")


def test_frozen_batch_norms_stay_in_inference_mode_in_training(mobilenet: NIMA) -> None:
    freeze(mobilenet, "blocks.2")
    mobilenet.train()
    norms = {n: m for n, m in mobilenet.backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}
    statistics = {name: norm.running_mean.clone() for name, norm in norms.items()}
    mobilenet(torch.randn(2, 1, 3, 64, 64))
    for name, norm in norms.items():
        free = name.startswith(("blocks.3", "blocks.4"))
        assert norm.training == free, name
        assert torch.equal(norm.running_mean, statistics[name]) != free, name


def test_only_the_last_call_counts(mobilenet: NIMA) -> None:
    everything = trainable(mobilenet)
    freeze(mobilenet, "blocks.3")
    freeze(mobilenet, None)
    mobilenet.train()
    assert trainable(mobilenet) == everything
    assert all(module.training for module in mobilenet.modules())


def test_freezing_keeps_the_mode_of_the_network(mobilenet: NIMA) -> None:
    mobilenet.eval()
    freeze(mobilenet, "bn1")
    assert not mobilenet.training
    mobilenet.train()
    freeze(mobilenet, "bn1")
    assert mobilenet.training
    assert mobilenet.dropout.training
    # The backbone holds frozen and free parts: it must not be switched as a whole.
    assert mobilenet.backbone.training


def test_parameters_that_a_network_owns_itself_are_frozen_with_its_first_stage() -> None:
    nima = build_nima("vit_tiny_patch16_224")
    freeze(nima, "patch_embed")
    assert not nima.backbone.pos_embed.requires_grad
    assert nima.backbone.blocks[0].attn.qkv.weight.requires_grad


@pytest.mark.parametrize(
    "name", ["inception_resnet_v2", "mobilenetv1_100", "mobilenetv3_small_050", "resnet18"]
)
def test_timm_defines_its_stages_in_forward_order(name: str) -> None:
    with torch.device("meta"):
        backbone = timm.create_model(name, pretrained=False, num_classes=0)
    nima = NIMA(backbone)
    ran: list[str] = []
    names = [stage for stage in stage_names(nima) if "." not in stage]
    for stage in names:
        backbone.get_submodule(stage).register_forward_hook(
            lambda *_, stage=stage: ran.append(stage)
        )
    backbone.eval()(torch.zeros(1, 3, 224, 224, device="meta"))
    assert ran == names


def test_half_of_a_backbone_is_half_of_its_weights(mobilenet: NIMA, inception: NIMA) -> None:
    for nima in (mobilenet, inception):
        stage = halfway_stage(nima)
        freeze(nima, stage)
        weights = sum(p.numel() for p in nima.backbone.parameters())
        frozen = sum(p.numel() for p in nima.backbone.parameters() if not p.requires_grad)
        assert frozen / weights == pytest.approx(0.5, abs=0.05), stage
    assert halfway_stage(mobilenet) == "blocks.3"


def test_freezing_the_backbone_leaves_the_head(mobilenet: NIMA) -> None:
    freeze_backbone(mobilenet)
    assert trainable(mobilenet) == {"head.weight", "head.bias"}
    mobilenet.train()
    assert not any(module.training for module in mobilenet.backbone.modules())
    freeze(mobilenet, None)
    assert len(trainable(mobilenet)) > 2
