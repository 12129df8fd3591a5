"""Batches for training: cached views or activations beside the distributions to learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from siamese_nima.errors import ConfigError
from siamese_nima.training.processes import SharedBatches

Inputs = NDArray[np.uint8] | NDArray[np.float16]
Batch = tuple[Tensor, Tensor]
Draw = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class RatedViews:
    """What one stage trains or validates on.

    Attributes:
        inputs: Shape (variants, N, V, H, W, C): uint8 pixels, or trunk activations as
            `trunk.build_trunk_cache` gives them.
        distributions: Shape (N, K), what people said, on the model's rating scale.
        means: Shape (N,), their mean opinion scores on that scale.
    """

    inputs: Inputs
    distributions: NDArray[np.float64]
    means: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.inputs.ndim != 6 or not (
            self.inputs.shape[1] == len(self.distributions) == len(self.means) > 0
        ):
            raise ConfigError(
                f"inputs of shape {self.inputs.shape} do not fit {len(self.distributions)} "
                f"distributions and {len(self.means)} means"
            )


class _DrawnViews(Dataset[tuple[Inputs, NDArray[np.float32]]]):
    def __init__(self, rated: RatedViews) -> None:
        self.rated = rated
        self.distributions = rated.distributions.astype(np.float32)

    def __len__(self) -> int:
        return len(self.distributions)

    def __getitem__(self, draw: Draw) -> tuple[Inputs, NDArray[np.float32]]:
        variant, row = draw
        return self.rated.inputs[variant, row], self.distributions[row]


class EpochDraws(Sampler[Draw]):
    """Each photo once per epoch, in random order and in a random variant.

    The draw depends on seed and epoch alone, so that a resumed run sees what an uninterrupted one
    would have seen.

    Args:
        photos: N.
        variants: Versions of each photo in the cache.
        seed: Of order and variants.
    """

    def __init__(self, photos: int, variants: int, seed: int) -> None:
        self.photos = photos
        self.variants = variants
        self.seed = seed
        self.epoch = 0

    # Not `set_epoch`, which Lightning would call with the number of an earlier epoch on resuming.
    def start_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draw comes next."""
        self.epoch = epoch

    def order(self, generator: np.random.Generator) -> NDArray[np.intp]:
        """The photos' rows in the order of this epoch, shape (N,)."""
        return generator.permutation(self.photos)

    def __len__(self) -> int:
        return self.photos

    def __iter__(self) -> Iterator[Draw]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = self.order(generator)
        variants = generator.integers(0, self.variants, self.photos)
        return iter(zip(variants.tolist(), order.tolist(), strict=True))


class PlainDraws(Sampler[Draw]):
    """Each photo once, in table order, as scoring sees it (variant 0)."""

    def __init__(self, rated: Sized) -> None:
        self.photos = len(rated)

    def __len__(self) -> int:
        return self.photos

    def __iter__(self) -> Iterator[Draw]:
        return iter((0, row) for row in range(self.photos))


def train_loader(rated: RatedViews, batch_size: int, draws: EpochDraws) -> DataLoader[Batch]:
    """Shuffled batches; the last one is dropped when it is not full.

    Several processes share each batch.

    Raises:
        ConfigError: There are fewer photos than a batch holds.
    """
    if len(rated.means) < batch_size:
        raise ConfigError(
            f"{len(rated.means)} training photos do not fill one batch of {batch_size}"
        )
    return _loader(rated, batch_sampler=SharedBatches(draws, batch_size))


def plain_loader(rated: RatedViews, batch_size: int) -> DataLoader[Batch]:
    """All photos in table order."""
    return _loader(rated, batch_size=batch_size, sampler=PlainDraws(rated.means))


def _loader(rated: RatedViews, **batches: Any) -> DataLoader[Batch]:
    return DataLoader(
        _DrawnViews(rated),  # type: ignore[arg-type]
        **batches,
        collate_fn=_collate,
        # Of its own: a loader draws from it at each start, and dropout must not depend on that.
        generator=torch.Generator(),
    )


def _collate(rows: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> Batch:
    inputs, distributions = zip(*rows, strict=True)
    return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(distributions))
