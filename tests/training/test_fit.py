"""How stages run in Lightning: which process speaks for all, and the moving average."""

import lightning
import pytest
import torch

from siamese_nima.errors import ConfigError
from siamese_nima.training.config import config_from
from siamese_nima.training.fit import MovingAverage, is_first_process, machine_arguments


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"NODE_RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "1", "LOCAL_RANK": "0"}, False),  # torchrun on the second machine
        ({"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}, True),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "0"}, False),
    ],
)
def test_one_process_of_all_is_the_first_whatever_started_them(monkeypatch, variables, first):
    for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first


def test_more_devices_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    config = config_from({"data": {"source": "ratings.csv"}, "devices": 2})
    with pytest.raises(ConfigError, match="devices = 2: torch finds 1 GPUs here"):
        machine_arguments(config)
    assert machine_arguments(config.changed(devices=1))["precision"] == "bf16-mixed"
    assert machine_arguments(config.changed(device="cpu"))["precision"] == "32-true"


def test_the_moving_average_lies_where_the_weights_are():
    """On a GPU it would else fetch all of them after each step."""
    stage = lightning.LightningModule()
    stage.layer = torch.nn.Linear(2, 2)
    average = MovingAverage(0.9)
    average.setup(None, stage, "fit")
    average.on_fit_start(None, stage.to("meta"))
    kept = average._average_model
    assert {tensor.device.type for tensor in kept.module.state_dict().values()} == {"meta"}
    assert kept.n_averaged.device.type == "cpu", "where asking for it waits for nothing"
