"""Linear heads on frozen features: the NIMA stage on votes, the Siamese stage on people's pairs.

The NIMA stage begins from ridge regression on the means: distributions tilt along its direction,
and what else the votes teach is held near 0. Both sets train one head on the scale 1..10. Each
group of photos (OASIS, each source of the study) has an offset of its own while training, and the
study a gain: its votes were 1..5, on other photos. New photos are scored as those of OASIS, which
are here whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from features import BLOCKS, Features, Floats
from people import OASIS, SCALE, Rated, Rows
from torch import Tensor, nn

from siamese_nima.evaluation.metrics import srcc
from siamese_nima.training.config import StageConfig
from siamese_nima.training.objectives import pair_loss, squared_emd
from siamese_nima.training.pairs import Pairs, all_pairs

GRADES = torch.tensor(SCALE.grades, dtype=torch.float32)
PENALTIES = (1.0, 2.0, 4.0, 8.0)  # of ridge regression
EMD_PENALTIES = (0.03, 0.1, 0.3, 1.0)
_FIRST_SLOPE = 0.3
_STEPS = 25
_SMALL = 1e-3
_LEAST_PEOPLE = 20  # who decided a pair
_DIRECTIONS = 400


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen inside the photos trained on.

    Attributes:
        ridge: Penalty of ridge regression.
        emd: Penalty of the earth mover's distance.
    """

    ridge: float
    emd: float


class Coordinates:
    """Features centred and scaled, each of unit variance and each block with the same say, along
    the directions in which photos differ most.

    Measured on all photos; no rating takes part.

    Args:
        features: Of all photos.
        blocks: Features of each block.

    Attributes:
        centre: Shape (F,), mean of the features.
        factor: Shape (F,), what centred features are multiplied by.
        trained: Shape (N, D), of photos and their mirror images, to learn from.
        plain: Shape (N, D), of photos as they are scored.
    """

    def __init__(self, features: Features, blocks: Sequence[int] = tuple(BLOCKS.values())) -> None:
        seen = (features.plain + features.mirrored) / 2
        self.centre = seen.mean(0)
        ends = np.cumsum(blocks)[:-1]
        self.factor: Floats = np.concatenate(
            [
                1 / ((part.std(0) + _SMALL * part.std()) * np.sqrt(part.shape[1] * len(blocks)))
                for part in np.split(seen, ends, axis=1)
            ]
        )
        scaled = (seen - self.centre) * self.factor
        directions = np.linalg.svd(scaled, full_matrices=False)[2][:_DIRECTIONS].T
        self._basis = self.factor[:, np.newaxis] * directions
        self.trained: Floats = scaled @ directions
        self.plain: Floats = (features.plain - self.centre) @ self._basis

    def on_features(self, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Weight (K, F) and bias (K,) on the features themselves."""
        whole = weight @ self._basis.T
        return whole, bias - whole @ self.centre


def ridge_directions(
    coordinates: Coordinates, rated: Rated, rows: Rows, penalties: tuple[float, ...]
) -> Floats:
    """Ridge regression on means, shape (penalties, D), without unit: each group's mean is left out
    and both sets have the same spread while training.
    """
    inputs, targets = coordinates.trained[rows].copy(), rated.means[rows].copy()
    for group in np.unique(rated.groups[rows]):
        here = rated.groups[rows] == group
        inputs[here] -= inputs[here].mean(0)
        targets[here] -= targets[here].mean()
        targets[here] /= rated.means[rated.of_oasis == (group == OASIS)].std()
    square, onto = inputs.T @ inputs, inputs.T @ targets
    identity = np.eye(inputs.shape[1])
    return np.stack([np.linalg.solve(square + p * identity, onto) for p in penalties])


class Head(nn.Module):
    """A linear head on coordinates.

    Args:
        direction: Shape (D,), of ridge regression.
        groups: Names of the groups of photos trained on.
    """

    def __init__(self, direction: Tensor, groups: list[str]) -> None:
        super().__init__()
        self.groups = groups
        self.direction: Tensor
        self.register_buffer("direction", direction)
        self.slope = nn.Parameter(torch.tensor(_FIRST_SLOPE))
        self.other = nn.Parameter(torch.zeros(SCALE.size, len(direction)))
        self.offsets = nn.Parameter(torch.zeros(len(groups), SCALE.size))
        self.gain = nn.Parameter(torch.zeros(()))

    @property
    def weight(self) -> Tensor:
        """Shape (K, D)."""
        steps = GRADES - GRADES.mean()
        return self.slope * steps[:, np.newaxis] * self.direction + self.other

    def forward(self, coordinates: Tensor, group: Tensor) -> Tensor:
        """Rating distributions of photos of known groups."""
        whole = torch.tensor([float(name == OASIS) for name in self.groups])[group]
        gain = torch.exp(self.gain * (1 - whole))[:, np.newaxis]
        return (gain * (coordinates @ self.weight.T) + self.offsets[group]).softmax(-1)

    @property
    def bias(self) -> Tensor:
        """Shape (K,), the offset of new photos."""
        if OASIS in self.groups:
            return self.offsets[self.groups.index(OASIS)]
        return self.offsets.mean(0)

    def scores(self, coordinates: Floats) -> Floats:
        """Mean scores of new photos."""
        with torch.no_grad():
            logits = torch.tensor(coordinates, dtype=torch.float32) @ self.weight.T + self.bias
            return np.asarray((logits.softmax(-1) @ GRADES).numpy(), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What people said of the photos trained on, as tensors.

    Attributes:
        distributions: Shape (N, 10).
        group: Shape (N,), numbers of `groups`.
        groups: Names.
        shares: Shape (N, N), see `people.decided_pairs`; .5 where not known.
        decided: Shape (N, N), people who decided a pair.
        deviation: Of a single person's gap, in rating points.
    """

    distributions: Tensor
    group: Tensor
    groups: list[str]
    shares: Tensor
    decided: Tensor
    deviation: float

    @classmethod
    def of(cls, rated: Rated, rows: Rows, pairs: tuple[Floats, Floats]) -> Targets:
        """Of these rows."""
        groups = sorted(set(rated.groups[rows].tolist()))
        number = torch.tensor([groups.index(name) for name in rated.groups[rows].tolist()])
        first = rows[rows < len(rated.oasis)]
        places = np.flatnonzero(rows < len(rated.oasis))
        shares, decided = np.full((len(rows),) * 2, 0.5), np.zeros((len(rows),) * 2)
        shares[np.ix_(places, places)] = pairs[0][np.ix_(first, first)]
        decided[np.ix_(places, places)] = pairs[1][np.ix_(first, first)]
        gaps = np.subtract.outer(rated.means[rows], rated.means[rows])
        known = decided >= _LEAST_PEOPLE
        return cls(
            torch.tensor(rated.distributions[rows], dtype=torch.float32),
            number,
            groups,
            torch.tensor(shares, dtype=torch.float32),
            torch.tensor(decided, dtype=torch.float32),
            _deviation(gaps[known], shares[known]) if known.any() else 1.0,
        )

    def pairs(self, batch: Tensor) -> Pairs:
        """Those of a batch that enough people decided."""
        first, second = all_pairs(len(batch))
        known = self.decided[batch[first], batch[second]] >= _LEAST_PEOPLE
        first, second = first[known], second[known]
        share = self.shares[batch[first], batch[second]]
        return Pairs(
            first,
            second,
            share,
            torch.full_like(share, self.deviation),
            (share - 0.5).abs() < 0.1,
            torch.ones_like(share, dtype=torch.bool),
        )


def _deviation(gaps: Floats, shares: Floats) -> float:
    """Of a person's gap about the crowd's, such that shares come out as they are."""
    from scipy.special import log_ndtr

    def cost(deviation: float) -> float:
        z = gaps / deviation
        return float(-(shares * log_ndtr(z) + (1 - shares) * log_ndtr(-z)).mean())

    return float(min(np.arange(0.5, 6, 0.1), key=cost))


def train_emd(coordinates: Floats, targets: Targets, direction: Floats, penalty: float) -> Head:
    """The NIMA stage: earth mover's distance, all photos in one step."""
    inputs = torch.tensor(coordinates, dtype=torch.float32)
    head = Head(torch.tensor(direction, dtype=torch.float32), targets.groups)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _emd_loss(head, inputs, targets, slice(None)) + _penalty(head, penalty, len(inputs))
        loss.backward()
        return loss

    optimizer.step(closure)
    return head


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTraining:
    """How a head goes on with pairs."""

    epochs: int = 8
    batch_size: int = 96
    learning_rate: float = 0.02


def go_on_with_pairs(
    first: Head,
    coordinates: Floats,
    targets: Targets,
    objective: StageConfig,
    penalty: float,
    seed: int,
    how: PairTraining | None = None,
) -> Head:
    """The Siamese stage from a head on; `objective.weight` 0 goes on with the NIMA stage alone."""
    how = how or PairTraining()
    inputs = torch.tensor(coordinates, dtype=torch.float32)
    head = Head(first.direction, targets.groups)
    head.load_state_dict(first.state_dict())
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(head.parameters(), lr=how.learning_rate)
    size = min(how.batch_size, len(inputs))
    steps = how.epochs * (len(inputs) // size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(how.epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for batch in order[: len(order) - len(order) % size].split(size):
            loss = objective.emd_weight * _emd_loss(head, inputs, targets, batch)
            if objective.weight:
                pairs = targets.pairs(batch)
                scores = head(inputs[batch], targets.group[batch]) @ GRADES
                gap = scores[pairs.first] - scores[pairs.second]
                loss = loss + objective.weight * pair_loss(objective, gap, pairs)
            loss = loss / (objective.weight + objective.emd_weight)
            loss = loss + _penalty(head, penalty, len(inputs))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head


def choose(
    coordinates: Coordinates, rated: Rated, rows: Rows, pairs: tuple[Floats, Floats]
) -> Choice:
    """The choice that predicts best inside these rows, by parts that are held out in turn."""
    by_ridge = np.zeros(len(PENALTIES))
    splits = [(held, np.setdiff1d(rows, held)) for held in _inner(rated, rows)]
    for held, trained in splits:
        scores = (
            ridge_directions(coordinates, rated, trained, PENALTIES) @ coordinates.plain[held].T
        )
        by_ridge += [srcc(row, rated.means[held]) for row in scores]
    ridge = PENALTIES[int(np.argmax(by_ridge))]
    by_emd = dict.fromkeys(EMD_PENALTIES, 0.0)
    for held, trained in splits:
        targets = Targets.of(rated, trained, pairs)
        (direction,) = ridge_directions(coordinates, rated, trained, (ridge,))
        for penalty in EMD_PENALTIES:
            head = train_emd(coordinates.trained[trained], targets, direction, penalty)
            by_emd[penalty] += srcc(head.scores(coordinates.plain[held]), rated.means[held])
    return Choice(ridge, max(by_emd, key=lambda penalty: by_emd[penalty]))


def _inner(rated: Rated, rows: Rows) -> list[Rows]:
    """Parts of rows to hold out: of OASIS two by theme, of the study two of its sources."""
    parts = []
    if rated.of_oasis[rows].any():
        fold = rated.folds(4, seed=7)[rows]
        parts += [rows[fold == number] for number in (0, 1)]
    sources = [name for name in rated.sources if (rated.groups[rows] == name).any()]
    parts += [rows[rated.groups[rows] == name] for name in sources[:2]]
    return parts


def _emd_loss(head: Head, inputs: Tensor, targets: Targets, rows: Tensor | slice) -> Tensor:
    return squared_emd(head(inputs[rows], targets.group[rows]), targets.distributions[rows]).mean()


def _penalty(head: Head, penalty: float, photos: int) -> Tensor:
    return penalty * head.other.square().sum() / photos
