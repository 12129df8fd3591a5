"""Shares of a batch, and one dropout mask, for processes that train together."""

import pytest
import torch

from siamese_nima.training import processes
from siamese_nima.training.processes import (
    Process,
    SharedBatches,
    SharedDropout,
    is_first_process,
    of_all_processes,
    this_process,
)


@pytest.fixture
def as_process(monkeypatch):
    def become(rank, count):
        monkeypatch.setattr(processes, "this_process", lambda: Process(rank, count))

    return become


def test_without_a_process_group_there_is_one():
    assert this_process() == (0, 1)
    values = torch.rand(3, requires_grad=True)
    assert of_all_processes(values) is values


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


def test_the_shares_of_all_processes_are_the_batches_of_one(as_process):
    batches = SharedBatches(range(14), batch_size=6)
    whole = list(batches)
    assert whole == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert len(batches) == 2
    shares = []
    for rank in range(3):
        as_process(rank, 3)
        shares.append(list(batches))
    assert shares[1] == [[2, 3], [8, 9]]
    joined = [[draw for part in parts for draw in part] for parts in zip(*shares, strict=True)]
    assert joined == whole


def test_dropout_is_one_mask_for_all_processes(as_process):
    dropout = SharedDropout(0.5)
    features = torch.rand(8, 40)
    torch.manual_seed(3)
    whole = dropout(features)
    parts = []
    for rank in range(2):
        as_process(rank, 2)
        torch.manual_seed(3)
        parts.append(dropout(features[4 * rank : 4 * (rank + 1)]))
    torch.testing.assert_close(torch.cat(parts), whole)
    assert 0.3 < float((whole == 0).float().mean()) < 0.7
    assert torch.equal(dropout.eval()(features[:4]), features[:4])


def test_ratings_of_all_processes_come_in_order_and_the_own_ones_keep_their_gradient(
    as_process, monkeypatch
):
    as_process(1, 2)

    def gather(parts, own):
        assert not own.requires_grad
        for rank, part in enumerate(parts):
            part.copy_(torch.full_like(own, float(rank)))

    monkeypatch.setattr(processes.distributed, "all_gather", gather)
    own = torch.tensor([[5.0], [6.0]], requires_grad=True)
    gathered = of_all_processes(own)
    assert gathered.tolist() == [[0.0], [0.0], [5.0], [6.0]]
    gathered.sum().backward()
    assert own.grad.tolist() == [[1.0], [1.0]]
