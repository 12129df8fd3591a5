import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from siamese_nima.card import Normalisation
from siamese_nima.errors import ConfigError
from siamese_nima.networks.nima import NIMA, PixelNormalisation
from siamese_nima.ratings import RatingScale, distribution_from_mos
from siamese_nima.training.batches import Photos
from siamese_nima.training.config import StageConfig
from siamese_nima.training.fit import StageLog, train_stage
from siamese_nima.training.stage import Stage

SCALE = RatingScale(1, 10)


class TinyBackbone(nn.Module):
    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(pixels)).relu().mean((2, 3))


def tiny_nima(seed: int = 0) -> NIMA:
    torch.manual_seed(seed)
    return NIMA(TinyBackbone(), group_sizes=(1, 1))


def photos_of(inputs: np.ndarray, means: np.ndarray) -> Photos:
    return Photos(
        inputs=inputs, distributions=distribution_from_mos(means), means=means, scale=SCALE
    )


def rated_views(photos: int = 24, variants: int = 2, seed: int = 0) -> Photos:
    """Photos whose brightness is their rating."""
    generator = np.random.default_rng(seed)
    means = generator.uniform(2, 9, photos)
    light = (means * 22)[:, None, None, None, None]
    noise = generator.integers(0, 20, (variants, photos, 2, 8, 8, 3))
    return photos_of((light + noise).astype(np.uint8), means)


def train(nima: NIMA, folder: Path, **settings: object) -> list[dict[str, float]]:
    defaults: dict[str, object] = {
        "epochs": 3,
        "batch_size": 8,
        "warmup_steps": 2,
        "average_decay": 0.5,
        "head_learning_rate": 0.05,
        "backbone_learning_rate": 0.01,
        "monitor": "val_srcc",
        "dropout": None,
        "patience": 0,
    }
    with warnings.catch_warnings():
        # Lightning's advice about workers and its own deprecated calls.
        warnings.simplefilter("ignore")
        return train_stage(
            nima,
            PixelNormalisation(Normalisation()),
            rated_views(),
            rated_views(seed=1),
            folder,
            config=StageConfig(**(defaults | settings)),  # type: ignore[arg-type]
        )


def test_training_learns_that_brighter_is_better(tmp_path: Path) -> None:
    history = train(tiny_nima(), tmp_path, epochs=10)
    assert [figures["epoch"] for figures in history] == list(range(10))
    assert history[-1]["val_emd"] < history[0]["val_emd"]
    assert max(figures["val_srcc"] for figures in history) > 0.9


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = tiny_nima()
    expected = train(whole, tmp_path / "whole")

    class KilledError(Exception):
        pass

    def kill(epochs: list[dict[str, float]]) -> None:
        if len(epochs) == 2:
            raise KilledError

    resumed = tiny_nima()
    config = StageConfig(
        epochs=3,
        batch_size=8,
        warmup_steps=2,
        average_decay=0.5,
        head_learning_rate=0.05,
        backbone_learning_rate=0.01,
        monitor="val_srcc",
        dropout=None,
        patience=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(KilledError):
            train_stage(
                resumed,
                PixelNormalisation(Normalisation()),
                rated_views(),
                rated_views(seed=1),
                tmp_path / "resumed",
                config=config,
                log=StageLog(kill),
            )
    fresh = tiny_nima(seed=5)
    history = train(fresh, tmp_path / "resumed")
    assert [f["val_emd"] for f in history] == pytest.approx([f["val_emd"] for f in expected])
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[name], tensor, msg=name)


def test_a_finished_stage_is_loaded_not_trained_again(tmp_path: Path) -> None:
    first = tiny_nima()
    history = train(first, tmp_path)
    again = tiny_nima(seed=3)
    assert train(again, tmp_path) == history
    torch.testing.assert_close(again.state_dict(), first.state_dict())


def test_frozen_layers_and_their_statistics_stay_as_they_were(tmp_path: Path) -> None:
    nima = tiny_nima()
    nima.backbone.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in nima.state_dict().items()}
    train(nima, tmp_path, update_batch_norm=True)
    for name, tensor in nima.state_dict().items():
        same = torch.equal(tensor, before[name])
        assert same == name.startswith("backbone."), name


def test_unfrozen_batch_norms_measure_only_when_asked(tmp_path: Path) -> None:
    still, moving = tiny_nima(), tiny_nima()
    train(still, tmp_path / "still")
    train(moving, tmp_path / "moving", update_batch_norm=True)
    assert torch.equal(still.backbone.norm.running_mean, torch.zeros(6))  # type: ignore[union-attr]
    assert not torch.equal(moving.backbone.norm.running_mean, torch.zeros(6))  # type: ignore[union-attr]


def test_the_squared_distance_settles_conflicting_labels_at_their_mean(tmp_path: Path) -> None:
    """Alike photos, two thirds rated 8 and one third 2: the root keeps to the many."""
    generator = np.random.default_rng(0)
    means = np.where(np.arange(24) % 3 == 0, 2.0, 8.0)
    inputs = generator.integers(120, 130, (1, 24, 2, 8, 8, 3)).astype(np.uint8)
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
        prepare = PixelNormalisation(Normalisation())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train_stage(nima, prepare, rated, rated, tmp_path / loss, config=config)
        last = torch.load(tmp_path / loss / "last.ckpt", weights_only=True)
        nima.load_state_dict(
            {k.removeprefix("nima."): v for k, v in last["current_model_state"].items()}
        )
        with torch.no_grad():
            predicted = nima(prepare(torch.from_numpy(inputs[0])))
        ends[loss] = float((predicted.numpy() @ SCALE.grades).mean())
    assert ends["squared_emd"] == pytest.approx(6.0, abs=0.3)
    assert ends["emd"] > ends["squared_emd"] + 0.3


def test_rates_warm_up_and_then_fall_to_nothing() -> None:
    config = StageConfig(warmup_steps=10)
    stage = Stage(tiny_nima(), nn.Identity(), SCALE, config, 100)
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
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StageConfig(**settings)  # type: ignore[arg-type]


def test_too_few_photos_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="24 training photos do not fill one batch of 64"):
        train(tiny_nima(), tmp_path, batch_size=64)
