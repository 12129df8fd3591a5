"""Batches for the Siamese stage: cached views, the labels of their photos, and their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import RatingScale
from siamese_nima.training.augmentation import Augmentation
from siamese_nima.training.pair_samplers import BucketPairDraws, PairDraws
from siamese_nima.training.pairs import UNKNOWN, PhotoLabels, all_pairs, standard_errors
from siamese_nima.training.photo_loader import Draw, PlainDraws, RatedViews
from siamese_nima.training.processes import SharedBatches

Integers = NDArray[np.int64]


class PairBatch(NamedTuple):
    """One step's photos, each once, and the pairs among them.

    Attributes:
        inputs: Shape (B, V, H, W, C), as `RatedViews` has them.
        distributions: Shape (B, K), the labels' rating distributions; NaN where nobody rated.
        labels: Of these photos.
        places: Shape (2, P), the pairs, as places in the batch.
    """

    inputs: Tensor
    distributions: Tensor
    labels: PhotoLabels
    places: Tensor


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PairedViews:
    """What the Siamese stage trains or validates on.

    Attributes:
        rated: Views with distributions and means; both NaN for photos that nobody rated, such as
            the distorted rungs of a ladder.
        scale: The rating scale of the means.
        standard_errors: Shape (N,), of the means in rating points; None for the scale's default.
        buckets: Shape (N,), class labels for the contrastive objective, -1 for none; or None.
        scenes: Shape (N,), the scene of each photo; None where each is its own.
        ladders: Shape (N,), the ladder each photo belongs to, -1 for none; or None.
        rungs: Shape (N,), its place on that ladder, 0 is the clean photo; or None.
    """

    rated: RatedViews
    scale: RatingScale
    standard_errors: NDArray[np.float64] | None = None
    buckets: Integers | None = None
    scenes: Sequence[str] | None = None
    ladders: Integers | None = None
    rungs: Integers | None = None

    def __post_init__(self) -> None:
        photos = len(self)
        for name in ("standard_errors", "buckets", "scenes", "ladders", "rungs"):
            values = getattr(self, name)
            if values is not None and len(values) != photos:
                raise ConfigError(f"{photos} photos have {len(values)} {name}")
        if (self.ladders is None) != (self.rungs is None):
            raise ConfigError("ladders and rungs belong together: give both or neither")

    def __len__(self) -> int:
        return len(self.rated.means)

    def groups(self) -> Integers:
        """Shape (N,), a number per group that a batch should hold together: ladder, else scene."""
        _, codes = np.unique(
            self.scenes if self.scenes is not None else np.arange(len(self)), return_inverse=True
        )
        if self.ladders is None:
            return codes.astype(np.int64)
        return np.where(self.ladders == UNKNOWN, codes, len(self) + self.ladders)

    def labels(self) -> PhotoLabels:
        """The labels as the objectives read them, single precision."""
        photos = len(self)
        errors = self.standard_errors
        if errors is None:
            errors = standard_errors(photos, self.scale).numpy()
        _, scenes = np.unique(
            self.scenes if self.scenes is not None else np.arange(photos), return_inverse=True
        )
        unknown = np.full(photos, UNKNOWN)
        return PhotoLabels(
            means=torch.tensor(self.rated.means, dtype=torch.float32),
            standard_errors=torch.tensor(errors, dtype=torch.float32),
            buckets=_integers(unknown if self.buckets is None else self.buckets),
            ladders=_integers(unknown if self.ladders is None else self.ladders),
            rungs=_integers(np.zeros(photos) if self.rungs is None else self.rungs),
            scenes=_integers(scenes),
        )


def pair_loader(
    paired: PairedViews, draws: PairDraws, *, augmentation: Augmentation | None = None
) -> DataLoader[PairBatch]:
    """Batches of distinct photos with all their pairs; the last is dropped when not full.

    Args:
        paired: The photos.
        draws: Their order; its epoch and seed decide on the augmentation too.
        augmentation: Drawn anew for each photo and epoch.

    Raises:
        ConfigError: There are fewer photos than a batch holds.
    """
    if len(paired) < draws.batch_size:
        raise ConfigError(
            f"{len(paired)} training photos do not fill one batch of {draws.batch_size}"
        )
    data = PairedPhotos(paired, draws, augmentation)
    return DataLoader(
        data,
        batch_sampler=SharedBatches(draws, draws.batch_size),
        collate_fn=data.with_all_pairs,
    )


def plain_pair_loader(paired: PairedViews, batch_size: int) -> DataLoader[PairBatch]:
    """All photos in table order, in variant 0."""
    data = PairedPhotos(paired)
    return DataLoader(
        data,
        batch_size=batch_size,
        sampler=PlainDraws(paired.rated.means),
        collate_fn=data.with_all_pairs,
    )


def bucket_pair_loader(
    paired: PairedViews, draws: BucketPairDraws, *, augmentation: Augmentation | None = None
) -> DataLoader[PairBatch]:
    """Batches of the origin's pairs; a photo that is in several pairs of a batch is in it once."""
    data = PairedPhotos(paired, draws, augmentation)
    return DataLoader(
        data,
        batch_size=None,
        sampler=draws,
        collate_fn=data.with_pairs,  # type: ignore[arg-type]
    )


class PairedPhotos(Dataset[Any]):
    """Makes batches from draws; what is drawn is passed through to the collating functions.

    Args:
        paired: The photos.
        draws: Whose epoch and seed decide on the augmentation; None for none.
        augmentation: What is changed.
    """

    def __init__(
        self,
        paired: PairedViews,
        draws: PairDraws | BucketPairDraws | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.paired = paired
        self.draws = draws
        self.augmentation = augmentation
        self.labels = paired.labels()
        self.distributions = torch.tensor(paired.rated.distributions, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.paired)

    def __getitem__(self, drawn: Any) -> Any:
        return drawn

    def with_all_pairs(self, draws: Sequence[Draw]) -> PairBatch:
        """The batch of distinct photos with all its pairs."""
        return self._batch(draws, all_pairs(len(draws)))

    def with_pairs(self, rows: NDArray[np.intp]) -> PairBatch:
        """The batch of the pairs (P, 2) of rows."""
        photos, places = np.unique(rows, return_inverse=True)
        draws = [(0, int(row)) for row in photos]
        return self._batch(draws, _integers(places.reshape(-1, 2).T))

    def _batch(self, draws: Sequence[Draw], places: Tensor) -> PairBatch:
        rows = torch.tensor([row for _, row in draws])
        inputs = np.stack([self._views(variant, row) for variant, row in draws])
        labels = PhotoLabels(*(column[rows] for column in self.labels))
        return PairBatch(torch.from_numpy(inputs), self.distributions[rows], labels, places)

    def _views(self, variant: int, row: int) -> Any:
        inputs: Any = self.paired.rated.inputs[variant, row]
        if self.draws is None or self.augmentation is None:
            return inputs
        generator = np.random.default_rng((self.draws.seed, self.draws.epoch, row))
        pixels: NDArray[np.uint8] = inputs  # what a trunk gave is not augmented
        return self.augmentation.apply(pixels, generator)


def _integers(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
