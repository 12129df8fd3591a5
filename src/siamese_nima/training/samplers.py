"""Which photos share a batch, and with it which pairs there are.

A draw depends on seed, epoch and the number of the batch alone: a resumed run sees what an
uninterrupted one would have seen. Each process takes its share of every batch.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

from siamese_nima.errors import ConfigError

Rows = NDArray[np.intp]


class Drawn(NamedTuple):
    """One step's photos.

    Attributes:
        rows: Shape (B,), rows of the table, each once.
        variants: Shape (B,), the version of each.
        places: Shape (P, 2), pairs as places in the batch; None for all.
    """

    rows: Rows
    variants: NDArray[np.int64]
    places: Rows | None = None


class Draws(Sampler[Drawn]):
    """Photos in random order, each once per epoch: pairs of every kind, most of different scenes.

    The last batch is left out when it is not full. Of the `variants` of each photo one is drawn for
    each epoch. Subclasses choose the order, by what they are given of the photos.

    Raises:
        ConfigError: Fewer photos than a batch.
    """

    def __init__(self, photos: int, variants: int, batch_size: int, seed: int) -> None:
        if photos < batch_size:
            raise ConfigError(f"{photos} training photos do not fill one batch of {batch_size}")
        self.photos = photos
        self.variants = variants
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = self.first = 0

    # Not `set_epoch`, which Lightning would call with the number of an earlier epoch on resuming.
    def start_epoch(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch whose draw comes next, and its first batch that is still to be seen."""
        self.epoch, self.first = epoch, first

    def order(self, generator: np.random.Generator) -> Rows:
        """The photos' rows in the order of this epoch, shape (N,)."""
        return generator.permutation(self.photos)

    def __len__(self) -> int:
        return self.photos // self.batch_size

    def __iter__(self) -> Iterator[Drawn]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = self.order(generator)
        variants = generator.integers(0, self.variants, self.photos)
        for batch in range(self.first, len(self)):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            yield Drawn(order[part], variants[part])


class GroupDraws(Draws):
    """Photos of one group in one batch, so that its pairs include the ones people choose between.

    Groups larger than a batch are cut into batches. A group is divided between two batches only
    where none of the groups left is small enough to fill the first.

    Args:
        groups: Shape (N,), the group of each photo: its scene, or its distortion ladder.
    """

    def __init__(self, groups: ArrayLike, variants: int, batch_size: int, seed: int) -> None:
        _, codes = np.unique(np.asarray(groups), return_inverse=True)
        super().__init__(len(codes), variants, batch_size, seed)
        by_group = np.argsort(codes, kind="stable")
        self.members = np.split(by_group, np.cumsum(np.bincount(codes))[:-1])

    def order(self, generator: np.random.Generator) -> Rows:
        """Whole groups packed into batches; the batch that is not full comes last."""
        pieces: list[Rows] = []
        for place in generator.permutation(len(self.members)):
            group = generator.permutation(self.members[place])
            pieces += np.split(group, range(self.batch_size, len(group), self.batch_size))
        # Photos that are alone fill the gaps that groups leave, so they wait until the end.
        pieces.sort(key=lambda piece: len(piece) == 1)
        packed = np.concatenate(_packed(pieces, self.batch_size))
        full = self.photos - self.photos % self.batch_size
        batches = generator.permutation(packed[:full].reshape(-1, self.batch_size))
        return np.concatenate([batches.ravel(), packed[full:]])


class HardDraws(Draws):
    """Photos of nearly equal rating in one batch, so that its pairs are hard to order.

    Photos are sorted by their rating plus noise and cut into batches, which come in random order.

    Args:
        means: Shape (N,), mean opinion scores; photos without one (NaN) are spread at random.
        groups: Shape (N,); photos of one group stay together, where its first one belongs. None
            where each is its own.
        noise: Standard deviation of the noise as a share of that of the ratings: 0 makes the same
            batches each epoch, and large values are as good as no sorting.
    """

    def __init__(
        self,
        means: ArrayLike,
        variants: int,
        batch_size: int,
        seed: int,
        *,
        groups: ArrayLike | None = None,
        noise: float = 0.2,
    ) -> None:
        ratings = np.asarray(means, dtype=np.float64)
        super().__init__(len(ratings), variants, batch_size, seed)
        if not noise >= 0:
            raise ConfigError(f"noise must not be negative, got {noise}")
        self.ratings = ratings
        self.noise = noise
        known = np.arange(self.photos) if groups is None else np.asarray(groups)
        _, self.leaders, self.codes = np.unique(known, return_index=True, return_inverse=True)

    def order(self, generator: np.random.Generator) -> Rows:
        """Batches of neighbours in rating; the batch that is not full comes last."""
        rated = self.ratings[np.isfinite(self.ratings)]
        keys = self.ratings[self.leaders]
        if rated.size:
            keys[np.isnan(keys)] = generator.choice(rated, int(np.isnan(keys).sum()))
            keys += generator.normal(0, self.noise * rated.std() + 1e-12, len(keys))
        ranked = np.lexsort((self.codes, keys[self.codes]))
        # Left out of the batches at random, not always the best photos.
        short = self.photos % self.batch_size
        left = np.sort(generator.choice(self.photos, short, replace=False))
        batches = np.delete(ranked, left).reshape(-1, self.batch_size)
        return np.concatenate([generator.permutation(batches).ravel(), ranked[left]])


class BucketDraws(Draws):
    """The origin's pairs, drawn anew each epoch; one draw is a whole batch of them.

    Batches are runs of the origin's list of pairs, in random order. Neighbours in that list share
    photos, so a batch of 64 pairs holds some 65 to 97 photos, not 128.

    Args:
        buckets: Shape (N,), class labels.
        batch_size: Pairs per batch; the last may have fewer.

    Raises:
        ConfigError: Labels that make no pairs.
    """

    def __init__(self, buckets: ArrayLike, variants: int, batch_size: int, seed: int) -> None:
        self.buckets = np.asarray(buckets)
        super().__init__(len(self.buckets), variants, 1, seed)
        self.batch_size = batch_size
        self.pairs = len(draw_bucket_pairs(self.buckets, np.random.default_rng(0))[0])

    def __len__(self) -> int:
        return -(-self.pairs // self.batch_size)

    def __iter__(self) -> Iterator[Drawn]:
        generator = np.random.default_rng((self.seed, self.epoch))
        rows, _ = draw_bucket_pairs(self.buckets, generator)
        batches = np.split(rows, range(self.batch_size, len(rows), self.batch_size))
        variants = generator.integers(0, self.variants, self.photos)
        for place in generator.permutation(len(batches))[self.first :]:
            photos, places = np.unique(batches[place], return_inverse=True)
            yield Drawn(photos, variants[photos], places.reshape(-1, 2))


def draw_bucket_pairs(
    buckets: ArrayLike, generator: np.random.Generator
) -> tuple[Rows, NDArray[np.bool_]]:
    """One epoch's pairs, as ryanfwy/image-quality makes them.

    Within each bucket every photo but the last is paired with the next one of its bucket, and with
    a random photo of a random other bucket. So there are twice as many pairs as photos, less two
    per bucket, in the order of the buckets.

    Args:
        buckets: Shape (N,), class labels.
        generator: Of the random photos.

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
