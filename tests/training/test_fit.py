"""How stages run in Lightning: which process speaks for all, and the moving average."""

import lightning
import pytest
import torch

from siamese_nima.training.fit import MovingAverage, is_first_process


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
