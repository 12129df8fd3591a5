"""Which image towers of timm work from start to end; docs/fine-tune.md has the list."""

import numpy as np
import pytest
import timm
import torch

from siamese_nima.networks.checkpoint import load_checkpoint
from siamese_nima.networks.freezing import halfway_stage
from siamese_nima.networks.network_model import NetworkModel
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.run import train
from siamese_nima.training.start import read_start
from training_runs import run_config, write_photos

# The blocks that each kind is made of, but few and narrow, at the smallest size that it takes.
SHALLOW = {"depth": 4, "embed_dim": 48, "num_heads": 3}
TOWERS = {
    "ViT": ("vit_tiny_patch16_224", "warp:32", SHALLOW),
    "DINOv2": ("vit_small_patch14_dinov2", "warp:28", SHALLOW),
    "EVA-02": ("eva02_tiny_patch14_224", "warp:28", SHALLOW),
    "SigLIP": ("vit_base_patch32_siglip_256", "warp:64", SHALLOW),
    # Its windows are of one size.
    "Swin": (
        "swin_tiny_patch4_window7_224",
        "warp:56",
        {"depths": (2, 2), "embed_dim": 24, "num_heads": (2, 4), "img_size": 56},
    ),
    "ConvNeXt": ("convnext_atto", "warp:64", {"depths": (1, 1, 2, 1), "dims": (8, 16, 32, 64)}),
    "EfficientNetV2": (
        "tf_efficientnetv2_b0",
        "warp:64",
        {"channel_multiplier": 0.25, "depth_multiplier": 0.3},
    ),
    "MobileNetV4": ("mobilenetv4_conv_small_035", "warp:64", {}),
}


@pytest.fixture(scope="module", autouse=True)
def _quick_export():
    """Here the exporter counts, too."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "view", "smaller"), TOWERS.values(), ids=TOWERS.keys())
def test_it_trains_a_step_from_a_frozen_stage_on_and_scores_the_same_from_its_file(
    tmp_path, monkeypatch, name, view, smaller
):
    whole = timm.create_model
    monkeypatch.setattr(
        "timm.create_model", lambda name, **more: whole(name, **{**smaller, **more})
    )
    config = run_config(
        write_photos(tmp_path / "photos", count=8),
        f"random:{name}",
        tmp_path / "run",
        view=view,
        loggers=[],
        stage=[{"freeze": "half", "epochs": 1, "batch_size": 3, "warmup_steps": 0}],
    )
    first = read_start(config.start, view=config.view, scale=None, seed=0)
    last_frozen = halfway_stage(first.nima)
    run = train(config)
    nima, card = load_checkpoint(run.checkpoint)
    before, after = first.nima.state_dict(), nima.state_dict()
    learnt = {path for path, tensor in after.items() if not torch.equal(tensor, before[path])}
    assert "head.weight" in learnt
    assert any(path.startswith("backbone.") for path in learnt)
    assert not any(path.startswith(f"backbone.{last_frozen}.") for path in learnt)
    file = ModelFile(run.model)
    height, width = card.view.view_size
    views = np.random.default_rng(0).integers(0, 256, (3, 1, height, width, 3), dtype=np.uint8)
    np.testing.assert_allclose(file.rate(views), NetworkModel(nima, card).rate(views), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "view"),
    [("vit_tiny_patch16_224", "warp:224"), ("tf_efficientnet_lite2", "warp:260")],
)
def test_a_backbone_is_shown_photos_at_the_size_it_was_trained_at(name, view):
    start = read_start(f"random:{name}", view=None, scale=None, seed=0)
    assert str(start.card.view) == view
