"""Heads on frozen features: ridge regression, earth mover's distance, and the Siamese objectives.

All of them are linear, and regularised alike: in coordinates in which each feature has unit
variance, each block the same say, and what photos of another set taught comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from features import SCALE, Floats, Rated, in_order
from numpy.typing import NDArray
from torch import Tensor, nn

from siamese_nima.training.config import StageConfig
from siamese_nima.training.losses import emd
from siamese_nima.training.objectives import stage_loss
from siamese_nima.training.pairs import UNKNOWN, PhotoLabels, all_pairs, label_pairs

GRADES = torch.tensor(SCALE.grades)
BUCKETS = 5
_HELPER_PENALTY = 3.0
_SMALL = 1e-3
_STEPS = 50

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen by leaving out one source after the other.

    Attributes:
        levels: Blocks that the head reads beside the pooled features.
        prior: Say of the directions that BIQ2021 taught; 0 for none.
        penalty: Of the square of the weights.
    """

    levels: tuple[str, ...]
    prior: float
    penalty: float


class Directions:
    """What BIQ2021 teaches about features: directions of quality, and of origin.

    Ridge regression on the mean opinion score and on whether a photo is one of Unsplash's or a
    snapshot.

    Args:
        helpers: Photos of BIQ2021.
        levels: Blocks beside the pooled features.
    """

    def __init__(self, helpers: Rated, levels: tuple[str, ...]) -> None:
        blocks = [helpers.plain[name] for name in in_order(levels)]
        inputs, factor = np.concatenate(blocks, axis=1), _unit_factor(blocks)
        inputs = (inputs - inputs.mean(0)) * factor
        from_unsplash = (helpers.sources == "ss03").astype(np.float64)
        targets = np.stack([helpers.table.mos, from_unsplash], axis=1)
        penalty = _HELPER_PENALTY * np.eye(inputs.shape[1])
        slopes = np.linalg.solve(
            inputs.T @ inputs + penalty, inputs.T @ (targets - targets.mean(0))
        )
        self.on_features: Floats = factor[:, np.newaxis] * slopes


class Coordinates:
    """The map from features to regularised coordinates, measured on training photos.

    Each feature, centred and scaled; then the directions of BIQ2021.

    Args:
        rated: The photos of the study.
        rows: Those trained on.
        levels: Blocks beside the pooled features.
        directions: Of the same blocks.
        prior: Standard deviation along each direction, where all features together have one of
            about 1; 0 leaves the directions out.
    """

    def __init__(
        self,
        rated: Rated,
        rows: Rows,
        levels: tuple[str, ...],
        directions: Directions,
        prior: float,
    ) -> None:
        self.blocks = in_order(levels)
        seen = [(rated.plain[name][rows] + rated.mirrored[name][rows]) / 2 for name in self.blocks]
        joined = np.concatenate(seen, axis=1)
        self.centre = joined.mean(0)
        self.factor = _unit_factor(seen)
        self.taught = np.zeros((len(self.centre), 0))
        if prior:
            along = (joined - self.centre) @ directions.on_features
            self.taught = directions.on_features * (prior / along.std(0))
        self.trained = self._map(joined)

    def of(self, features: dict[str, Floats], rows: Rows) -> Floats:
        """Coordinates of photos as they are scored."""
        return self._map(np.concatenate([features[name][rows] for name in self.blocks], axis=1))

    def on_features(self, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Weight (K, F) and bias (K,) on the features themselves, from those on coordinates."""
        own, taught = np.split(weight, [len(self.centre)], axis=1)
        whole = own * self.factor + taught @ self.taught.T
        return whole, bias - whole @ self.centre

    def _map(self, joined: Floats) -> Floats:
        centred = joined - self.centre
        return np.concatenate([centred * self.factor, centred @ self.taught], axis=1)


def _unit_factor(blocks: list[Floats]) -> Floats:
    """Factors that give each feature of a block the same spread, and each block the same say."""
    return np.concatenate(
        [
            1 / ((block.std(0) + _SMALL * block.std()) * np.sqrt(block.shape[1] * len(blocks)))
            for block in blocks
        ]
    )


def ridge_scores(
    trained: Floats, means: Floats, sources: NDArray[np.str_], new: Floats, penalties: list[float]
) -> Floats:
    """Predicted means of new photos, shape (penalties, N); offsets between sources are left out."""
    overall = means.mean()
    targets = means - overall
    for name in np.unique(sources):
        targets[sources == name] -= targets[sources == name].mean()
    centre = trained.mean(0)
    inputs = trained - centre
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    onto = (new - centre) @ inputs.T @ vectors
    rotated = vectors.T @ targets
    return np.stack(
        [overall + onto @ (rotated / (values.clip(0) + penalty)) for penalty in penalties]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What people said about training photos, as tensors."""

    distributions: Tensor
    photos: PhotoLabels
    sources: Tensor

    @classmethod
    def of(cls, rated: Rated, rows: Rows) -> Labels:
        """Of these rows. Buckets are fifths of the training photos by mean, as the origin's are."""
        table = rated.table.select(rows)
        means = table.means(SCALE)
        errors = table.standard_errors(SCALE)
        edges = np.quantile(means, np.arange(1, BUCKETS) / BUCKETS)
        nothing = torch.full((len(rows),), UNKNOWN)
        photos = PhotoLabels(
            means=torch.tensor(means),
            standard_errors=torch.tensor(errors),
            buckets=torch.tensor(np.searchsorted(edges, means)),
            ladders=nothing,
            rungs=nothing,
            scenes=torch.arange(len(rows)),
        )
        codes = np.unique(rated.sources[rows], return_inverse=True)[1]
        return cls(torch.tensor(table.distributions(SCALE)), photos, torch.tensor(codes))


class Head(nn.Module):
    """A linear head on coordinates, with an offset for each source that new photos lack."""

    def __init__(self, dimensions: int, sources: int) -> None:
        super().__init__()
        double = {"dtype": torch.float64}
        self.weight = nn.Parameter(torch.zeros(SCALE.size, dimensions, **double))
        self.offsets = nn.Parameter(torch.zeros(sources, SCALE.size, **double))

    def forward(self, coordinates: Tensor, sources: Tensor) -> Tensor:
        """Rating distributions of training photos."""
        return (coordinates @ self.weight.T + self.offsets[sources]).softmax(-1)

    def scores(self, coordinates: Floats) -> Floats:
        """Mean scores of new photos."""
        with torch.no_grad():
            logits = torch.tensor(coordinates) @ self.weight.T + self.offsets.mean(0)
            return np.asarray((logits.softmax(-1) @ GRADES).numpy())


def train_emd(coordinates: Floats, labels: Labels, penalty: float) -> Head:
    """The NIMA stage on frozen features: earth mover's distance, all photos in one step."""
    inputs = torch.tensor(coordinates)
    head = Head(inputs.shape[1], int(labels.sources.max()) + 1)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        distance = emd(head(inputs, labels.sources), labels.distributions).mean()
        loss = distance + penalty * head.weight.square().sum() / len(inputs)
        loss.backward()
        return loss

    optimizer.step(closure)
    return head


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTraining:
    """How a head goes on with pairs."""

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.03


def go_on_with_pairs(
    head: Head,
    coordinates: Floats,
    labels: Labels,
    objective: StageConfig,
    penalty: float,
    seed: int,
    how: PairTraining,
) -> None:
    """The Siamese stage on frozen features; `objective.weight` 0 goes on with EMD alone."""
    inputs = torch.tensor(coordinates)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(head.parameters(), lr=how.learning_rate)
    steps = how.epochs * (len(inputs) // how.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    index = all_pairs(how.batch_size)
    for _ in range(how.epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for batch in order[: len(order) - len(order) % how.batch_size].split(how.batch_size):
            photos = PhotoLabels(*(column[batch] for column in labels.photos))
            target = labels.distributions[batch]
            pairs = label_pairs(
                index,
                photos,
                SCALE,
                kind=objective.labels,
                distributions=target,
                doubt=objective.doubt_on(SCALE),
            )
            predicted = head(inputs[batch], labels.sources[batch])
            loss = stage_loss(objective, predicted, target, GRADES, pairs).total
            total = objective.weight + objective.emd_weight
            loss = loss / total + penalty * head.weight.square().sum() / len(inputs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
