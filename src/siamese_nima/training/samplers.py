"""Which photos share a batch, and with it which pairs there are.

A draw depends on seed, epoch and the number of the batch alone: a resumed run sees what an
uninterrupted one would have seen. Each process takes its share of every batch.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import distributed
from torch.utils.data import Sampler

from siamese_nima.errors import ConfigError

# Standard deviation by that of the ratings: with none, hard batches are the same each epoch, and
# with much they are as good as random ones.
_NOISE = 0.2

Rows = NDArray[np.intp]
# From an epoch's random numbers to its batches: rows of shape (B,), or pairs of them, (P, 2).
Epoch = Callable[[np.random.Generator], Sequence[Rows] | Rows]


class Drawn(NamedTuple):
    """One step's photos.

    Attributes:
        rows: Shape (B,), rows of the table, each once.
        variants: Shape (B,), the version of each.
        places: Shape (P, 2), pairs as places in the batch; None for all.
        epoch: Of which this is a batch.
        rank: This process's number among the `processes` that share the batch.
    """

    rows: Rows
    variants: NDArray[np.int64]
    places: Rows | None = None
    epoch: int = 0
    rank: int = 0
    processes: int = 1


@dataclass(eq=False)
class Draws(Sampler[Drawn]):
    """The `count` batches of an epoch, drawn anew for each, and a variant of every photo."""

    batches: Epoch
    count: int
    variants: int
    seed: int
    epoch: int = 0
    first: int = 0

    # Not `set_epoch`, which Lightning would call with the number of an earlier epoch on resuming.
    def start_epoch(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch whose draw comes next, and its first batch that is still to be seen."""
        self.epoch, self.first = epoch, first

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Drawn]:
        generator = np.random.default_rng((self.seed, self.epoch))
        for number, batch in enumerate(self.batches(generator)):
            rows, places = batch, None
            if batch.ndim == 2:
                rows, inverse = np.unique(batch, return_inverse=True)
                places = inverse.reshape(-1, 2)
            variants = generator.integers(0, self.variants, len(rows))
            if number >= self.first:
                yield Drawn(rows, variants, places, self.epoch, *this_process())


@dataclass(eq=False)
class InOrder(Sampler[Drawn]):
    """All photos in table order and variant 0; several processes have a run of them each.

    Or, with `whole`, all of them.
    """

    photos: int
    batch_size: int
    whole: bool = False

    def __len__(self) -> int:
        return -(-len(self._run()) // self.batch_size)

    def __iter__(self) -> Iterator[Drawn]:
        run = self._run()
        for rows in np.split(run, range(self.batch_size, len(run), self.batch_size)):
            yield Drawn(rows, np.zeros(len(rows), dtype=np.int64))

    def _run(self) -> Rows:
        rank, processes = (0, 1) if self.whole else this_process()
        share = -(-self.photos // processes)
        return np.arange(rank * share, (rank + 1) * share) % self.photos


def at_random(photos: int, batch_size: int) -> Epoch:
    """Photos in random order: pairs of every kind, most of different scenes."""
    full = photos - photos % batch_size
    return lambda generator: generator.permutation(photos)[:full].reshape(-1, batch_size)


def by_group(groups: ArrayLike, batch_size: int) -> Epoch:
    """Photos of one group in one batch, so that its pairs include the ones people choose between.

    Groups larger than a batch are cut into batches. A group is divided between two batches only
    where none of the groups left is small enough to fill the first.

    Args:
        groups: Shape (N,), the group of each photo: its scene, or its distortion ladder.
        batch_size: Photos per batch.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])

    def batches(generator: np.random.Generator) -> Rows:
        pieces: list[Rows] = []
        for place in generator.permutation(len(members)):
            group = generator.permutation(members[place])
            pieces += np.split(group, range(batch_size, len(group), batch_size))
        # Photos that are alone fill the gaps that groups leave, so they wait until the end.
        pieces.sort(key=lambda piece: len(piece) == 1)
        packed = np.concatenate(_packed(pieces, batch_size))
        full = len(packed) - len(packed) % batch_size
        return generator.permutation(packed[:full].reshape(-1, batch_size))

    return batches


def by_rating(means: ArrayLike, groups: ArrayLike, batch_size: int) -> Epoch:
    """Photos of nearly equal rating in one batch, so that its pairs are hard to order.

    Photos are sorted by their rating plus noise and cut into batches, which come in random order.

    Args:
        means: Shape (N,), mean opinion scores; photos without one (NaN) are spread at random.
        groups: Shape (N,); photos of one group stay together, where its first one belongs.
        batch_size: Photos per batch.
    """
    ratings = np.asarray(means, dtype=np.float64)
    rated = ratings[np.isfinite(ratings)]
    _, leaders, codes = np.unique(np.asarray(groups), return_index=True, return_inverse=True)

    def batches(generator: np.random.Generator) -> Rows:
        keys = ratings[leaders]
        if rated.size:
            keys[np.isnan(keys)] = generator.choice(rated, int(np.isnan(keys).sum()))
            keys += generator.normal(0, _NOISE * rated.std() + 1e-12, len(keys))
        ranked = np.lexsort((codes, keys[codes]))
        # Left out of the batches at random, not always the best photos.
        left = np.sort(generator.choice(len(ranked), len(ranked) % batch_size, replace=False))
        return generator.permutation(np.delete(ranked, left).reshape(-1, batch_size))

    return batches


def by_bucket(buckets: ArrayLike, batch_size: int) -> Epoch:
    """Runs of the origin's list of pairs, in random order; the last of the list may have fewer.

    Neighbours in the list share photos, so 64 pairs are of some 65 to 97 photos, not 128.
    """

    def batches(generator: np.random.Generator) -> list[Rows]:
        rows, _ = draw_bucket_pairs(buckets, generator)
        runs = np.split(rows, range(batch_size, len(rows), batch_size))
        return [runs[place] for place in generator.permutation(len(runs))]

    return batches


def draw_bucket_pairs(
    buckets: ArrayLike, generator: np.random.Generator
) -> tuple[Rows, NDArray[np.bool_]]:
    """One epoch's pairs, as ryanfwy/image-quality makes them.

    Within each bucket every photo but the last is paired with the next one of its bucket, and with
    a random photo of a random other bucket. So there are twice as many pairs as photos, less two
    per bucket, in the order of the buckets, which are class labels of shape (N,).

    Returns:
        Rows of the table, shape (P, 2), and whether both are of one bucket, shape (P,).

    Raises:
        ConfigError: Fewer than two buckets, or no bucket with two photos.
    """
    labels = np.asarray(buckets)
    classes, codes = np.unique(labels, return_inverse=True)
    members = [np.flatnonzero(codes == code) for code in range(len(classes))]
    if len(classes) < 2 or max(map(len, members)) < 2:
        raise ConfigError(
            f"{labels.size} photos with {len(classes)} different labels make no pairs: at least "
            "two labels are needed, and one of them on two photos. Labels are classes (0, 1, 2, "
            "...); mean scores with decimals must be put into buckets first."
        )
    rows, same = [], []
    for code, photos in enumerate(members):
        for first, second in itertools.pairwise(photos):
            other = int(generator.integers(0, len(classes) - 1))
            other += other >= code
            rows += [(first, second), (first, generator.choice(members[other]))]
            same += [True, False]
    return np.array(rows, dtype=np.intp), np.array(same)


def this_process() -> tuple[int, int]:
    """This process's number, from 0 on, among all that train together, and how many they are."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _packed(pieces: list[Rows], batch_size: int) -> list[Rows]:
    """The pieces in an order in which as few as possible cross the end of a batch.

    The next is always the first one left that still has room in the batch, cut if none has.
    """
    waiting: dict[int, deque[tuple[int, Rows]]] = defaultdict(deque)
    for place, piece in enumerate(pieces):
        waiting[len(piece)].append((place, piece))
    ordered: list[Rows] = []
    room, left, front = batch_size, len(pieces), 0
    while left:
        fitting = [size for size, queue in waiting.items() if queue and size <= room]
        of_all = fitting or [size for size, queue in waiting.items() if queue]
        size = min(of_all, key=lambda size: waiting[size][0][0])
        piece = waiting[size].popleft()[1]
        if size > room:
            front -= 1  # the rest comes before all others
            waiting[size - room].appendleft((front, piece[room:]))
            piece = piece[:room]
        else:
            left -= 1
        ordered.append(piece)
        room = (room - len(piece)) or batch_size
    return ordered
