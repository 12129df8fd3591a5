"""Several training processes that act as one, whatever their number.

Each step has one batch, that of a single process. A process works on its share of the photos, but
losses are those of the whole batch (all its pairs among them), and dropout is one mask for all. So
the number of processes changes a result by no more than the order of sums does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.utils.data import Sampler


class Process(NamedTuple):
    """This process among all that train together.

    Attributes:
        rank: From 0 on.
        total: How many there are.
    """

    rank: int
    total: int


def this_process() -> Process:
    """The first of one where no process group runs."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Process(0, 1)
    return Process(distributed.get_rank(), distributed.get_world_size())


def is_first_process() -> bool:
    """Whether this is the first of all, by what the program that started it says.

    Known before the processes find each other: torchrun and SLURM number all of them, Lightning the
    nodes and those of a node.
    """
    for of_all in ("RANK", "SLURM_PROCID"):
        if of_all in os.environ:
            return os.environ[of_all] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("NODE_RANK", "LOCAL_RANK"))


class _Draws(Protocol):
    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


class SharedBatches(Sampler[list[Any]]):
    """Batches of draws, the last dropped if not full; each process gets its share of every batch.

    Args:
        draws: The same in every process.
        batch_size: Photos per step in all; a multiple of the number of processes.
    """

    def __init__(self, draws: _Draws | Sized, batch_size: int) -> None:
        self.draws: Any = draws
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.draws) // self.batch_size

    def __iter__(self) -> Iterator[list[Any]]:
        rank, count = this_process()
        share = self.batch_size // count
        batch: list[Any] = []
        for draw in self.draws:
            batch.append(draw)
            if len(batch) == self.batch_size:
                yield batch[rank * share : (rank + 1) * share]
                batch = []


class SharedDropout(nn.Dropout):
    """Dropout that draws the mask of the whole batch and takes this process's rows of it."""

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Dropout`; rows are photos."""
        rank, count = this_process()
        if count == 1 or not self.training:
            return super().forward(input)
        share = len(input)
        whole = nn.functional.dropout(input.new_ones(count * share, *input.shape[1:]), self.p)
        return input * whole[rank * share : (rank + 1) * share]


def of_all_processes(values: Tensor) -> Tensor:
    """The rows of all processes, in the order of the batch; a gradient flows to the own ones.

    A loss of the result, times the number of processes, has the gradient of the whole batch after
    gradients are averaged over processes, as they are.
    """
    rank, count = this_process()
    if count == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(count)]
    distributed.all_gather(parts, values.detach().contiguous())
    parts[rank] = values
    return torch.cat(parts)
