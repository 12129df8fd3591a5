"""Batches for training: inputs of this process, labels and pairs of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import RatingScale
from siamese_nima.training.augmentation import Augmentation
from siamese_nima.training.config import StageConfig
from siamese_nima.training.pairs import (
    DEFAULT_STANDARD_ERROR_SHARE,
    UNKNOWN,
    Pairs,
    PhotoLabels,
    all_pairs,
    label_pairs,
)
from siamese_nima.training.samplers import BucketDraws, Drawn, Draws, GroupDraws, HardDraws

Integers = NDArray[np.int64]


class Inputs(Protocol):
    """Inputs of photos in several versions: an array, or what makes them when they are asked for.

    Attributes:
        shape: (variants, N, V, H, W, C).
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """See the class."""

    def __getitem__(self, place: Any, /) -> Any:
        """The inputs of (variant, row), shape (V, H, W, C): uint8 pixels, or activations."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Photos:
    """What a stage trains or validates on.

    Attributes:
        inputs: Shape (variants, N, V, H, W, C); variant 0 is as scoring sees the photo.
        distributions: Shape (N, K), what people said, on `scale`; NaN for photos that nobody rated,
            such as the distorted rungs of a ladder.
        means: Shape (N,), their mean opinion scores on `scale`, or NaN.
        scale: The rating scale.
        standard_errors: Shape (N,), of the means in rating points; None for the scale's default.
        buckets: Shape (N,), class labels for the contrastive objective, -1 for none; or None.
        scenes: Shape (N,), the scene of each photo; None where each is its own.
        ladders: Shape (N,), the ladder each photo belongs to, -1 for none; or None.
        rungs: Shape (N,), its place on that ladder, 0 is the clean photo; or None.
    """

    inputs: Inputs
    distributions: NDArray[np.float64]
    means: NDArray[np.float64]
    scale: RatingScale
    standard_errors: NDArray[np.float64] | None = None
    buckets: Integers | None = None
    scenes: Sequence[str] | None = None
    ladders: Integers | None = None
    rungs: Integers | None = None

    def __post_init__(self) -> None:
        shape, photos = self.inputs.shape, len(self)
        if len(shape) != 6 or not (shape[1] == len(self.distributions) == photos > 0):
            raise ConfigError(
                f"inputs of shape {shape} do not fit {len(self.distributions)} distributions and "
                f"{photos} means"
            )
        for name in ("standard_errors", "buckets", "scenes", "ladders", "rungs"):
            values = getattr(self, name)
            if values is not None and len(values) != photos:
                raise ConfigError(f"{photos} photos have {len(values)} {name}")
        if (self.ladders is None) != (self.rungs is None):
            raise ConfigError("ladders and rungs belong together: give both or neither")

    def __len__(self) -> int:
        return len(self.means)

    def labels(self) -> PhotoLabels:
        """The labels as the objectives read them, single precision."""
        photos = len(self)
        errors = self.standard_errors
        if errors is None:
            width = self.scale.high - self.scale.low
            errors = np.full(photos, DEFAULT_STANDARD_ERROR_SHARE * width)
        scenes = np.arange(photos) if self.scenes is None else np.asarray(self.scenes)
        unknown = np.full(photos, UNKNOWN)
        return PhotoLabels(
            means=torch.tensor(self.means, dtype=torch.float32),
            standard_errors=torch.tensor(errors, dtype=torch.float32),
            buckets=_integers(unknown if self.buckets is None else self.buckets),
            ladders=_integers(unknown if self.ladders is None else self.ladders),
            rungs=_integers(np.zeros(photos) if self.rungs is None else self.rungs),
            scenes=_integers(np.unique(scenes, return_inverse=True)[1]),
        )

    def draws(self, config: StageConfig, seed: int) -> Draws:
        """The stage's sampler of these photos.

        Raises:
            ConfigError: Fewer photos than a batch holds, or a batch without pairs.
        """
        labels, common = self.labels(), (self.inputs.shape[0], config.batch_size, seed)
        if config.sampler == "bucket":
            return BucketDraws(labels.buckets, *common)
        if config.weight and min(len(self), config.batch_size) < 2:
            raise ConfigError(
                f"pairs need at least two photos per batch, got {len(self)} photos in batches of "
                f"{config.batch_size}"
            )
        # A distortion ladder stays together, whatever else does.
        ladders = labels.ladders.numpy()
        alone = labels.scenes.numpy() if config.sampler == "scene" else np.arange(len(self))
        groups = np.where(ladders == UNKNOWN, alone, len(self) + ladders)
        if config.sampler == "hard":
            return HardDraws(self.means, *common, groups=groups)
        if config.sampler == "scene" or (ladders != UNKNOWN).any():
            return GroupDraws(groups, *common)
        return Draws(len(self), *common)


class Batch(NamedTuple):
    """One step's photos, each once, and pairs of them.

    Several processes share a step: each has the inputs of its share, and the labels of all.

    Attributes:
        inputs: Shape (B / processes, V, H, W, C), as `Photos` has them.
        distributions: Shape (B, K), the labels' rating distributions; NaN where nobody rated.
        pairs: With what the labels say about them.
    """

    inputs: Tensor
    distributions: Tensor
    pairs: Pairs


class _Batches(Dataset[Batch]):
    """Makes batches of what is drawn: inputs are read, and pairs labelled, in worker processes."""

    def __init__(
        self,
        photos: Photos,
        config: StageConfig,
        draws: Draws | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.photos = photos
        self.config = config
        self.draws = draws
        self.augmentation = augmentation
        self.labels = photos.labels()
        self.distributions = torch.tensor(photos.distributions, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, drawn: tuple[Drawn, int, int, int]) -> Batch:
        (rows, variants, places), rank, processes, epoch = drawn
        # A share less than full is filled up with the first photo, which then has no label there.
        share = -(-len(rows) // processes)
        own = [
            place if place < len(rows) else 0 for place in range(rank * share, (rank + 1) * share)
        ]
        inputs = np.stack([self._input(int(variants[i]), int(rows[i]), epoch) for i in own])
        whole = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        distributions = self.distributions[whole]
        if missing := share * processes - len(rows):
            empty = distributions.new_full((missing, distributions.shape[1]), float("nan"))
            distributions = torch.cat([distributions, empty])
        pairs = label_pairs(
            self._places(len(rows), places),
            PhotoLabels(*(column[whole] for column in self.labels)),
            self.photos.scale,
            kind=self.config.labels,
            doubt=self.config.doubt_on(self.photos.scale),
            distributions=distributions,
        )
        return Batch(torch.from_numpy(inputs), distributions, pairs)

    def _places(self, photos: int, places: NDArray[np.intp] | None) -> Tensor:
        if places is not None:
            return _integers(places.T)
        if not self.config.weight:
            return torch.empty(2, 0, dtype=torch.int64)
        return all_pairs(photos)

    def _input(self, variant: int, row: int, epoch: int) -> Any:
        inputs = self.photos.inputs[variant, row]
        if self.draws is None or self.augmentation is None:
            return inputs
        generator = np.random.default_rng((self.draws.seed, epoch, row))
        return self.augmentation.apply(inputs, generator)  # what a trunk gave is not augmented


class _Shared(Sampler[Any]):
    """Draws with this process's place among all, and the epoch, as worker processes need them."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws

    def __len__(self) -> int:
        return len(self.draws)

    def __iter__(self) -> Iterator[tuple[Drawn, int, int, int]]:
        rank, processes = this_process()
        for drawn in self.draws:
            yield drawn, rank, processes, self.draws.epoch


class _InOrder(Sampler[Any]):
    """All photos in table order and variant 0; several processes have a run of them each.

    Attributes:
        whole: Every process has all of them.
    """

    def __init__(self, photos: int, batch_size: int, *, whole: bool = False) -> None:
        self.photos = photos
        self.batch_size = batch_size
        self.whole = whole

    def __len__(self) -> int:
        return -(-self._share() // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Drawn, int, int, int]]:
        rank = 0 if self.whole else this_process()[0]
        share = self._share()
        rows = np.arange(rank * share, (rank + 1) * share) % self.photos
        for start in range(0, share, self.batch_size):
            part = rows[start : start + self.batch_size]
            yield Drawn(part, np.zeros(len(part), dtype=np.int64)), 0, 1, 0

    def _share(self) -> int:
        return self.photos if self.whole else -(-self.photos // this_process()[1])


def train_batches(
    photos: Photos,
    config: StageConfig,
    draws: Draws,
    *,
    augmentation: Augmentation | None = None,
    workers: int = 0,
) -> DataLoader[Batch]:
    """The batches of an epoch, as `config` and `draws` want them, made by so many more processes.

    The augmentation is drawn anew for each photo, by the epoch and seed of `draws`.
    """
    return _loader(_Batches(photos, config, draws, augmentation), _Shared(draws), workers)


def plain_batches(
    photos: Photos,
    batch_size: int,
    *,
    config: StageConfig | None = None,
    workers: int = 0,
    whole: bool = False,
) -> DataLoader[Batch]:
    """All photos in table order, as scoring sees them; the last batch may have fewer.

    With all pairs of a batch where `config` asks for pairs. Several processes have a run of them
    each, or with `whole` all.
    """
    made = _Batches(photos, config or StageConfig())
    return _loader(made, _InOrder(len(photos), batch_size, whole=whole), workers)


def _loader(batches: _Batches, sampler: Sampler[Any], workers: int) -> DataLoader[Batch]:
    return DataLoader(
        batches,
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        # Forked workers share what is mapped; a thread of ONNX Runtime would not survive it.
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        # Of its own: a loader draws from it at each start, and dropout must not depend on that.
        generator=torch.Generator(),
    )


def this_process() -> tuple[int, int]:
    """This process's number, from 0 on, among all that train together, and how many they are."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _integers(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
