"""Batches for training: inputs of this process, labels and pairs of the whole batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import RatingScale
from siamese_nima.training.augmentation import Augmentation
from siamese_nima.training.config import StageConfig
from siamese_nima.training.ladders import RUNGS
from siamese_nima.training.pairs import (
    DEFAULT_STANDARD_ERROR_SHARE,
    UNKNOWN,
    Pairs,
    PhotoLabels,
    all_pairs,
    label_pairs,
)
from siamese_nima.training.samplers import (
    Drawn,
    Draws,
    InOrder,
    at_random,
    by_bucket,
    by_group,
    by_rating,
    draw_bucket_pairs,
)


class Inputs(Protocol):
    """Inputs of photos in several versions: an array, or what makes them when asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(variants, N, V, H, W, C)."""

    def __getitem__(self, place: Any, /) -> Any:
        """The inputs of (variant, row), shape (V, H, W, C): uint8 pixels, or activations."""


class Photos:
    """What a stage trains or validates on.

    Args:
        inputs: Variant 0 is as scoring sees the photo.
        distributions: Shape (N, K), what people said, on `scale`; NaN for photos that nobody rated,
            such as the distorted rungs of a ladder.
        means: Shape (N,), as all that follow: mean opinion scores on `scale`, or NaN.
        scale: The rating scale.
        standard_errors: Of the means in rating points; None for 3 % of the scale's width.
        buckets: Class labels for the contrastive objective; -1, or None for all, where unknown.
        scenes: The scene of each photo; None where each is its own.
        ladders: The distortion ladder that each photo belongs to; -1, or None for all, for none.
        rungs: Its place there: 0 is the clean photo, higher is worse. None without ladders.

    Raises:
        ConfigError: They are of different numbers of photos.
    """

    def __init__(
        self,
        inputs: Inputs,
        distributions: ArrayLike,
        means: ArrayLike,
        scale: RatingScale,
        *,
        standard_errors: ArrayLike | None = None,
        buckets: ArrayLike | None = None,
        scenes: ArrayLike | None = None,
        ladders: ArrayLike | None = None,
        rungs: ArrayLike | None = None,
    ) -> None:
        self.inputs = inputs
        self.scale = scale
        columns = {
            "distributions": _tensor(distributions, torch.float32),
            "means": _tensor(means, torch.float32),
        }
        (rated, photos), shape = map(len, columns.values()), inputs.shape
        if len(shape) != 6 or not (shape[1] == rated == photos > 0):
            raise ConfigError(
                f"inputs of shape {shape} do not fit {rated} distributions and {photos} means"
            )
        if (ladders is None) != (rungs is None):
            raise ConfigError("ladders and rungs belong together: give both or neither")

        error = DEFAULT_STANDARD_ERROR_SHARE * (scale.high - scale.low)
        known: dict[str, tuple[ArrayLike | None, ArrayLike]] = {
            "standard_errors": (standard_errors, error),
            "buckets": (buckets, UNKNOWN),
            "ladders": (ladders, UNKNOWN),
            "rungs": (rungs, 0),
            "scenes": (scenes, np.arange(photos)),
        }
        for name, (given, default) in known.items():
            values = np.full(photos, default) if given is None else np.asarray(given)
            if len(values) != photos:
                raise ConfigError(f"{photos} photos have {len(values)} {name}")
            if name == "scenes":
                values = np.unique(values, return_inverse=True)[1]
            kind = torch.float32 if name == "standard_errors" else torch.int64
            columns[name] = _tensor(values, kind)
        self.labels = PhotoLabels(**columns)

    def __len__(self) -> int:
        return len(self.labels.means)

    def __deepcopy__(self, _: object) -> Photos:
        return self  # a moving average copies all that a stage holds, views of gigabytes too

    def draws(self, config: StageConfig, seed: int) -> Draws:
        """The stage's sampler of these photos.

        Raises:
            ConfigError: Fewer photos than a batch holds, or a batch without pairs.
        """
        photos, variants = len(self), self.inputs.shape[0]
        size, labels = config.batch_size, self.labels
        if config.sampler == "bucket":
            pairs, _ = draw_bucket_pairs(labels.buckets, np.random.default_rng(0))
            return Draws(by_bucket(labels.buckets, size), -(-len(pairs) // size), variants, seed)
        if config.weight and min(photos, size) < 2:
            got = f"{photos} photos in batches of {size}"
            raise ConfigError(f"pairs need at least two photos per batch, got {got}")
        require_full_batch(photos, size)
        # A distortion ladder stays together, whatever else does.
        ladders = labels.ladders.numpy()
        alone = labels.scenes.numpy() if config.sampler == "scene" else np.arange(photos)
        groups = np.where(ladders == UNKNOWN, alone, photos + ladders)
        batches = at_random(photos, size)
        if config.sampler == "hard":
            batches = by_rating(labels.means, groups, size)
        elif config.sampler == "scene" or (ladders != UNKNOWN).any():
            batches = by_group(groups, size)
        return Draws(batches, photos // size, variants, seed)

    def with_ladders(self, inputs: Inputs, ladder_rows: NDArray[np.intp]) -> Photos:
        """These photos and ladders of some of them, as the Siamese stage takes them.

        The first rung of a ladder is a rated photo and keeps its labels; the others have none.

        Args:
            inputs: Shape (1, 6 L, ...): views or activations of L ladders.
            ladder_rows: Shape (L,), the photo that each ladder is of.

        Raises:
            ConfigError: Ladders of another number or form than the photos.
        """
        count = len(ladder_rows) * RUNGS
        if inputs.shape[1] != count:
            raise ConfigError(
                f"{len(ladder_rows)} ladders have {count} rungs, got {inputs.shape[1]}"
            )
        ladders, rungs = np.divmod(np.arange(count), RUNGS)
        rows, none = ladder_rows[ladders], np.full(len(self), UNKNOWN)
        known = self.labels._asdict().items()
        columns = {name: torch.cat([column, column[rows]]) for name, column in known}
        distorted = len(self) + np.flatnonzero(rungs)
        for name, unknown in (("distributions", np.nan), ("means", np.nan), ("buckets", UNKNOWN)):
            columns[name][distorted] = unknown
        columns["ladders"] = _tensor(np.concatenate([none, ladders]))
        columns["rungs"] = _tensor(np.concatenate([none * 0, rungs]))
        return Photos(_Joined(self.inputs, inputs), scale=self.scale, **columns)


class _Joined:
    """Inputs (variants, N, ...), then (1, M, ...) that are the same in every variant."""

    def __init__(self, first: Inputs, second: Inputs) -> None:
        if first.shape[2:] != second.shape[2:] or second.shape[0] != 1:
            raise ConfigError(f"inputs of shape {second.shape} do not go on those of {first.shape}")
        self.first = first
        self.second = second
        self.shape = (first.shape[0], first.shape[1] + second.shape[1], *first.shape[2:])

    def __getitem__(self, place: tuple[int, int]) -> Any:
        variant, row = place
        known = self.first.shape[1]
        return self.first[variant, row] if row < known else self.second[0, row - known]


def require_full_batch(photos: int, size: int) -> None:
    """Raise a ConfigError where there are fewer training photos than that."""
    if photos < size:
        raise ConfigError(
            f"{photos} training photos do not fill one batch of {size}; take a smaller batch_size "
            "(--batch-size)"
        )


class Batch(NamedTuple):
    """One step's photos: inputs (B / processes, V, H, W, C), distributions (B, K), and pairs.

    Several processes share a step: each has the inputs of its share, and the labels of all.
    """

    inputs: Tensor
    distributions: Tensor
    pairs: Pairs


@dataclass(eq=False)
class _Batches(Dataset[Batch]):
    """Makes batches of what is drawn: inputs are read, and pairs labelled, in worker processes."""

    photos: Photos
    config: StageConfig
    seed: int
    augmentation: Augmentation | None

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, drawn: Drawn) -> Batch:
        photos, rows = self.photos, torch.from_numpy(drawn.rows)
        # A share less than full is filled up with the first photo, which then has no label there.
        share = -(-len(rows) // drawn.processes)
        missing = share * drawn.processes - len(rows)
        places = np.pad(np.arange(len(rows)), (0, missing))[drawn.rank * share :][:share]
        inputs = np.stack([self._input(drawn, place) for place in places])
        labels = PhotoLabels(*(column[rows] for column in photos.labels))
        nobody = float("nan")
        distributions = functional.pad(labels.distributions, (0, 0, 0, missing), value=nobody)
        if drawn.places is None:
            index = all_pairs(len(rows) if self.config.weight else 0)
        else:
            index = _tensor(drawn.places.T)
        pairs = label_pairs(
            index,
            labels,
            photos.scale,
            kind=self.config.labels,
            doubt=self.config.doubt_on(photos.scale),
        )
        return Batch(torch.from_numpy(inputs), distributions, pairs)

    def _input(self, drawn: Drawn, place: int) -> Any:
        row = int(drawn.rows[place])
        inputs = self.photos.inputs[int(drawn.variants[place]), row]
        if self.augmentation is None:
            return inputs
        generator = np.random.default_rng((self.seed, drawn.epoch, row))
        return self.augmentation.apply(inputs, generator)  # what a trunk gave is not augmented


def load_batches(
    photos: Photos,
    sampler: Draws | InOrder,
    config: StageConfig | None = None,
    *,
    augmentation: Augmentation | None = None,
    workers: int = 0,
) -> DataLoader[Batch]:
    """The batches that are drawn, or those of all photos in order, made by so many more processes.

    With the pairs that `config` asks for; None for none. The augmentation is drawn anew for each
    photo, by the epoch and seed of the draws.
    """
    seed = sampler.seed if isinstance(sampler, Draws) else 0
    return DataLoader(
        _Batches(photos, config or StageConfig(), seed, augmentation),
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


def _tensor(values: ArrayLike, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=dtype)
