"""A stage, of photos alone and of pairs, on photos whose brightness is their rating."""

import copy
from datetime import timedelta

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from siamese_nima.card import Normalisation
from siamese_nima.errors import ConfigError
from siamese_nima.networks.backbones import build_backbone
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.ratings import AVA_SCALE, distribution_from_mos
from siamese_nima.training import fit
from siamese_nima.training.batches import Photos, load_batches
from siamese_nima.training.config import StageConfig
from siamese_nima.training.fit import StageLog, train_stage
from siamese_nima.training.samplers import InOrder
from siamese_nima.training.stage import Stage


class TinyBackbone(nn.Module):
    num_features = 6

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, pixels):
        return self.norm(self.convolution(pixels)).relu().mean((2, 3))


def tiny_nima(seed=0):
    torch.manual_seed(seed)
    nima = NIMA(TinyBackbone())
    nima.dropout.p = 0.1  # six features do not bear more
    return nima


def paired_views(photos=24, *, variants=2, seed=0, **known):
    generator = np.random.default_rng(seed)
    means = generator.uniform(2, 9, photos)
    light = (means * 22)[:, None, None, None, None]
    noise = generator.integers(0, 20, (variants, photos, 1, 6, 6, 3))
    return photos_of((light + noise).astype(np.uint8), means, **known)


def photos_of(inputs, means, **known):
    distributions = np.full((len(means), 10), np.nan)
    rated = np.isfinite(means)
    distributions[rated] = distribution_from_mos(means[rated])
    return Photos(inputs=inputs, distributions=distributions, means=means, scale=AVA_SCALE, **known)


def all_at_once(photos, config):
    (batch,) = load_batches(photos, InOrder(len(photos), len(photos)), config)
    return batch


def config_of(**entries):
    defaults = {
        "kind": "siamese",
        "epochs": 3,
        "batch_size": 8,
        "warmup_steps": 2,
        "average_decay": 0.5,
        "head_learning_rate": 0.05,
        "backbone_learning_rate": 0.01,
        "monitor": "val_pair_accuracy",
        "dropout": None,
        "patience": 0,
        "doubt": 0.0,
    }
    return StageConfig(**(defaults | entries))


def stage_of(nima, config, views=None, **more):
    prepare = PixelNormalisation(Normalisation())
    return Stage(nima, prepare, views or paired_views(), config, **more)


def train(nima, folder, config, *, views=None, val=None, report=None, seed=0, callbacks=()):
    stage = stage_of(nima, config, views, val=val or paired_views(seed=1), seed=seed)
    return train_stage(stage, folder, log=StageLog(report), callbacks=callbacks)


def nima_config(**entries):
    alone = {"kind": "nima", "doubt": None, "monitor": "val_srcc"}
    return config_of(**(alone | entries))


@pytest.mark.parametrize("emd_weight", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["preference", "margin"])
def test_signed_objectives_learn_that_brighter_is_better(tmp_path, kind, emd_weight):
    config = config_of(objective=kind, emd_weight=emd_weight, epochs=8)
    history = train(tiny_nima(), tmp_path, config)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert max(figures["val_pair_accuracy"] for figures in history) > 0.9
    assert max(figures["val_srcc"] for figures in history) > 0.8


@pytest.mark.parametrize("sampler", ["scene", "hard"])
def test_contrastive_trains_with_every_sampler(tmp_path, sampler):
    buckets = np.arange(24) % 3
    views = paired_views(buckets=buckets, scenes=[f"scene {i % 5}" for i in range(24)])
    val = paired_views(seed=1, buckets=buckets)
    config = config_of(objective="contrastive", sampler=sampler, epochs=2)
    history = train(tiny_nima(), tmp_path, config, views=views, val=val)
    assert len(history) == 2
    assert 0 <= history[0]["val_accuracy"] <= 1
    assert "val_accuracy" not in train(tiny_nima(), tmp_path / "two", config_of(epochs=1))[0]


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    whole, resumed = tiny_nima(), tiny_nima(seed=5)
    expected = train(whole, tmp_path / "whole", config_of())

    class KilledError(Exception):
        pass

    def kill(epochs):
        if len(epochs) == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train(tiny_nima(), tmp_path / "resumed", config_of(), report=kill)
    history = train(resumed, tmp_path / "resumed", config_of())
    assert [f["val_loss"] for f in history] == pytest.approx([f["val_loss"] for f in expected])
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict())


def test_the_same_seed_gives_the_same_weights(tmp_path):
    one, two, other = tiny_nima(), tiny_nima(), tiny_nima()
    train(one, tmp_path / "one", config_of(epochs=1))
    train(two, tmp_path / "two", config_of(epochs=1))
    train(other, tmp_path / "other", config_of(epochs=1), seed=1)
    torch.testing.assert_close(one.state_dict(), two.state_dict())
    assert not torch.equal(one.head.weight, other.head.weight)


def test_frozen_layers_keep_their_weights_and_statistics(tmp_path):
    nima = tiny_nima()
    nima.backbone.requires_grad_(False)
    before = {name: value.clone() for name, value in nima.backbone.state_dict().items()}
    train(nima, tmp_path, config_of(epochs=1, update_batch_norm=True))
    torch.testing.assert_close(nima.backbone.state_dict(), before)


def test_ladders_teach_order_without_labels(tmp_path):
    """Rungs are darker and darker copies that nobody rated; order comes from them alone."""
    generator = np.random.default_rng(3)
    rungs = np.tile(np.arange(4), 8)
    light = (200 - 40 * rungs)[:, None, None, None, None]
    noise = generator.integers(0, 20, (1, 32, 1, 6, 6, 3))
    unrated = np.full(32, np.nan)
    views = photos_of(
        (light + noise).astype(np.uint8), unrated, ladders=np.arange(32) // 4, rungs=rungs
    )
    config = config_of(sampler="scene", epochs=6)
    history = train(tiny_nima(), tmp_path, config, views=views)
    assert history[-1]["val_pair_accuracy"] > 0.9
    assert history[-1]["train_emd"] == 0
    with pytest.raises(ConfigError, match=r"give no val_pair_accuracy .* val_ladder_accuracy"):
        train(tiny_nima(), tmp_path / "unrated", config, views=views, val=views)


def test_a_moving_average_takes_no_copy_of_the_photos():
    val = paired_views()
    stage = stage_of(tiny_nima(), config_of(), val=val)
    assert copy.deepcopy(stage).val is val


def test_one_step_runs_the_network_once_per_photo():
    nima = tiny_nima()
    seen = []
    nima.backbone.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    batch = all_at_once(paired_views(), config_of())
    stage = stage_of(nima, config_of())
    stage.batch_loss(batch).total.backward()
    assert seen == [24]
    assert len(batch.pairs.first) == 276


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: config_of(sampler="easy"), "one of random, scene, hard, bucket, got 'easy'"),
        (lambda: config_of(monitor="val_loss"), "one of val_emd_and_order, .*, got 'val_loss'"),
    ],
)
def test_an_impossible_configuration_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_too_few_photos_for_a_batch_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="24 training photos do not fill one batch of 25"):
        train(tiny_nima(), tmp_path, config_of(batch_size=25))


def test_a_monitor_that_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="24 validation photos give no val_scene_accuracy"):
        train(tiny_nima(), tmp_path, config_of(monitor="val_scene_accuracy"))


def test_with_the_default_weights_pairs_are_heard():
    """With a weight of 30 the distance's gradient is five times theirs: a NIMA stage."""
    batch = all_at_once(paired_views(), StageConfig(kind="siamese"))
    norms = []
    for only in ({"emd_weight": 0.0}, {"weight": 0.0}):
        nima, config = tiny_nima().eval(), StageConfig(kind="siamese").changed(**only)
        stage = stage_of(nima, config)
        stage.batch_loss(batch).total.backward()
        norms.append(torch.cat([p.grad.flatten() for p in nima.parameters()]).norm())
    assert norms[0] > norms[1]


def test_in_half_precision_every_photo_keeps_its_own_mean():
    views = paired_views(64)
    batch = all_at_once(views, config_of())
    nima = tiny_nima().eval()
    stage = stage_of(nima, config_of())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = stage.batch_loss(batch)
        rated = stage(batch.inputs)
        means = (rated * stage.grades).sum(-1)
    assert rated.dtype == loss.gap.dtype == torch.float32
    assert len(means.unique()) == 64
    exact = stage.batch_loss(batch).gap
    assert (loss.gap - exact).abs().max() < 0.02


@pytest.mark.parametrize("kind", ["nima", "siamese"])
def test_a_run_that_diverges_says_so_and_blames_no_photo(tmp_path, kind):
    rates = {"head_learning_rate": 1e30, "backbone_learning_rate": 1e30}
    config = StageConfig(kind=kind, epochs=2, batch_size=8, warmup_steps=0, **rates)
    with pytest.raises(ConfigError, match=r"diverged in epoch 1: .* not the photos' fault"):
        train(tiny_nima(), tmp_path, config)


@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_run_that_is_killed_within_an_epoch_ends_with_the_same_weights(
    tmp_path, monkeypatch, after
):
    """Three batches an epoch; saved after every one, killed after the fourth in all."""
    monkeypatch.setattr(fit, "SAVE_EVERY", timedelta(0))
    whole = tiny_nima()
    expected = train(whole, tmp_path / "whole", config_of())

    class KilledError(Exception):
        pass

    class Kill(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == after:
                raise KilledError

    with pytest.raises(KilledError):
        train(tiny_nima(), tmp_path / "killed", config_of(), callbacks=[Kill()])
    seen = []

    class Seen(Callback):
        def on_train_batch_start(self, trainer, *_):
            seen.append(trainer.global_step)

    resumed = tiny_nima(seed=5)
    history = train(resumed, tmp_path / "killed", config_of(), callbacks=[Seen()])
    assert seen[0] == after
    assert len(seen) == 9 - after
    assert [f["val_loss"] for f in history] == pytest.approx([f["val_loss"] for f in expected])
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict())


def test_gradients_of_several_batches_make_one_step(tmp_path):
    steps = []

    class Count(Callback):
        def on_train_end(self, trainer, *_):
            steps.append(trainer.global_step)

    config = config_of(accumulate=3, clip=1.0, warmup_steps=0)
    train(tiny_nima(), tmp_path, config, callbacks=[Count()])
    assert steps == [3]


def test_position_embeddings_and_norms_do_not_decay():
    backbone = build_backbone("vit_tiny_patch16_224")
    nima = NIMA(backbone)
    stage = stage_of(nima, config_of(layer_decay=0.7))
    groups = stage._parameter_groups()
    names = {id(parameter): name for name, parameter in nima.named_parameters()}
    still = {names[id(p)] for group in groups if not group["weight_decay"] for p in group["params"]}
    assert {"backbone.pos_embed", "backbone.cls_token", "head.bias"} <= still
    assert all("norm" in name or "bias" in name for name in still if "block" in name)
    rates = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
    assert rates["backbone.blocks.0.attn.qkv.weight"] < rates["backbone.blocks.11.attn.qkv.weight"]
    assert rates["head.weight"] == pytest.approx(0.05)


class WaitsForDevice(TorchDispatchMode):
    """Counts what makes a GPU's queue run dry: values and sizes that Python asks for."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = str(function)
        if "_local_scalar_dense" in name or "nonzero" in name or "masked_select" in name:
            self.found.append(name)
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize(
    "config",
    [
        StageConfig(loss="squared_emd"),
        config_of(),
        config_of(objective="margin"),
        config_of(objective="contrastive"),
        config_of(objective="contrastive", sampler="bucket", emd_weight=0.0),
    ],
    ids=lambda config: f"{config.kind}-{config.objective}-{config.sampler}",
)
def test_no_step_waits_for_the_device(config):
    views = paired_views(buckets=np.arange(24) % 3)
    batch = next(iter(load_batches(views, views.draws(config, 0), config)))
    nima = tiny_nima().train()
    stage = stage_of(nima, config, views)
    with WaitsForDevice() as waits:
        stage.batch_loss(batch).total.backward()
    assert waits.found == []
    with waits:
        float(torch.ones(1).sum())
    assert len(waits.found) == 1, "the test sees such a thing"


def test_a_stage_of_photos_alone_learns_that_brighter_is_better(tmp_path):
    history = train(tiny_nima(), tmp_path, nima_config(epochs=10))
    assert [figures["epoch"] for figures in history] == list(range(10))
    assert history[-1]["val_emd"] < history[0]["val_emd"]
    assert max(figures["val_srcc"] for figures in history) > 0.9


def test_a_finished_stage_is_loaded_not_trained_again(tmp_path):
    first, again = tiny_nima(), tiny_nima(seed=3)
    history = train(first, tmp_path, nima_config())
    assert train(again, tmp_path, nima_config()) == history
    torch.testing.assert_close(again.state_dict(), first.state_dict())


def test_unfrozen_batch_norms_measure_only_when_asked(tmp_path):
    still, moving = tiny_nima(), tiny_nima()
    train(still, tmp_path / "still", nima_config(epochs=1))
    train(moving, tmp_path / "moving", nima_config(epochs=1, update_batch_norm=True))
    assert torch.equal(still.backbone.norm.running_mean, torch.zeros(6))
    assert not torch.equal(moving.backbone.norm.running_mean, torch.zeros(6))


def test_the_squared_distance_settles_conflicting_labels_at_their_mean(tmp_path):
    """Alike photos, two thirds rated 8 and one third 2: the root keeps to the many."""
    generator = np.random.default_rng(0)
    means = np.where(np.arange(24) % 3 == 0, 2.0, 8.0)
    inputs = generator.integers(120, 130, (1, 24, 1, 6, 6, 3)).astype(np.uint8)
    rated = photos_of(inputs, means)
    ends = {}
    for loss in ("emd", "squared_emd"):
        nima = tiny_nima()
        nima.dropout.p = 0.0
        config = StageConfig(
            epochs=30,
            batch_size=24,
            head_learning_rate=0.05,
            warmup_steps=2,
            loss=loss,
            dropout=None,
            patience=0,
        )
        stage = stage_of(nima, config, rated, val=rated)
        train_stage(stage, tmp_path / loss)
        last = torch.load(tmp_path / loss / "last.ckpt", weights_only=True)
        nima.load_state_dict(
            {k.removeprefix("nima."): v for k, v in last["current_model_state"].items()}
        )
        with torch.no_grad():
            predicted = stage(torch.from_numpy(inputs[0]))
        ends[loss] = float((predicted.numpy() @ AVA_SCALE.grades).mean())
    assert ends["squared_emd"] == pytest.approx(6.0, abs=0.3)
    assert ends["emd"] > ends["squared_emd"] + 0.3


def test_rates_warm_up_and_then_fall_to_nothing():
    config = StageConfig(warmup_steps=10, epochs=100, batch_size=24)
    stage = stage_of(tiny_nima(), config)
    assert stage.total_steps == 100
    factors = [stage.rate_factor(step) for step in range(101)]
    assert factors[0] < 0.1
    assert np.argmax(factors) in range(9, 13)
    assert factors[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"head_learning_rate": -1.0}, "head_learning_rate must not be negative, got -1.0"),
        ({"average_decay": 1.0}, "average_decay must be below 1, got 1.0"),
        ({"loss": "l2"}, "loss must be one of emd, squared_emd, got 'l2'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        StageConfig(**settings)
