"""Which photos share a batch, and with it which pairs there are.

A draw depends on seed and epoch alone: a resumed run sees what an uninterrupted one would have
seen. The stage calls `start_epoch`. All but `BucketPairDraws` draw each photo once per epoch, in a
random variant (see `photo_loader`); their batches are runs of `batch_size` draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

from siamese_nima.errors import ConfigError
from siamese_nima.training.bucket_pairs import draw_bucket_pairs
from siamese_nima.training.photo_loader import EpochDraws

SamplerKind = Literal["random", "scene", "hard"]
Rows = NDArray[np.intp]


class PairDraws(EpochDraws):
    """Photos in random order: pairs of every kind, most of them from different scenes.

    Args:
        photos: N.
        variants: Versions of each photo in the cache.
        batch_size: Photos per batch.
        seed: Of order and variants.
    """

    def __init__(self, photos: int, variants: int, batch_size: int, seed: int) -> None:
        if photos < 2 or batch_size < 2:
            raise ConfigError(
                f"pairs need at least two photos per batch, got {photos} photos in batches of "
                f"{batch_size}"
            )
        super().__init__(photos, variants, seed)
        self.batch_size = batch_size


class SceneDraws(PairDraws):
    """Photos of one scene in one batch, so that its pairs include the ones people choose between.

    Scenes larger than a batch are cut into batches. A scene is divided between two batches only
    where none of the scenes left is small enough to fill the first.

    Args:
        scenes: Shape (N,), the scene of each photo; a distortion ladder is one too.
        variants: As in `PairDraws`.
        batch_size: As in `PairDraws`.
        seed: As in `PairDraws`.
    """

    def __init__(self, scenes: ArrayLike, variants: int, batch_size: int, seed: int) -> None:
        _, codes = np.unique(np.asarray(scenes), return_inverse=True)
        super().__init__(len(codes), variants, batch_size, seed)
        by_scene = np.argsort(codes, kind="stable")
        self.members = np.split(by_scene, np.cumsum(np.bincount(codes))[:-1])

    def order(self, generator: np.random.Generator) -> Rows:
        """Whole scenes packed into batches; the batch that is not full comes last."""
        pieces: list[Rows] = []
        for place in generator.permutation(len(self.members)):
            scene = generator.permutation(self.members[place])
            pieces += np.split(scene, range(self.batch_size, len(scene), self.batch_size))
        # Photos that are alone fill the gaps that scenes leave, so they wait until the end.
        pieces.sort(key=lambda piece: len(piece) == 1)
        packed = np.concatenate(_packed(pieces, self.batch_size))
        full = self.photos - self.photos % self.batch_size
        batches = generator.permutation(packed[:full].reshape(-1, self.batch_size))
        return np.concatenate([batches.ravel(), packed[full:]])


class HardPairDraws(PairDraws):
    """Photos of nearly equal rating in one batch, so that its pairs are hard to order.

    Photos are sorted by their rating plus noise and cut into batches, which come in random order.

    Args:
        means: Shape (N,), mean opinion scores; photos without one (NaN) are spread at random.
        variants: As in `PairDraws`.
        batch_size: As in `PairDraws`.
        seed: As in `PairDraws`.
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
        noise: float = 0.2,
    ) -> None:
        ratings = np.asarray(means, dtype=np.float64)
        super().__init__(len(ratings), variants, batch_size, seed)
        if not noise >= 0:
            raise ConfigError(f"noise must not be negative, got {noise}")
        self.ratings = ratings
        self.noise = noise

    def order(self, generator: np.random.Generator) -> Rows:
        """Batches of neighbours in rating; the batch that is not full comes last."""
        rated = self.ratings[np.isfinite(self.ratings)]
        keys = self.ratings.copy()
        if rated.size:
            keys[np.isnan(keys)] = generator.choice(rated, int(np.isnan(keys).sum()))
            keys += generator.normal(0, self.noise * rated.std() + 1e-12, self.photos)
        ranked = np.argsort(keys, kind="stable")
        # Left out of the batches at random, not always the best photos.
        short = self.photos % self.batch_size
        left = np.sort(generator.choice(self.photos, short, replace=False))
        batches = np.delete(ranked, left).reshape(-1, self.batch_size)
        return np.concatenate([generator.permutation(batches).ravel(), ranked[left]])


class BucketPairDraws(Sampler[Rows]):
    """The origin's pairs, drawn anew each epoch; one draw is a whole batch of them, (P, 2) rows.

    Batches are runs of the origin's list of pairs, in random order. Neighbours in that list share
    photos, so a batch of 64 pairs holds some 65 to 97 photos, not 128.

    Args:
        buckets: Shape (N,), class labels.
        batch_size: Pairs per batch; the last may have fewer.
        seed: Of pairs and order.

    Raises:
        ConfigError: Labels that make no pairs.
    """

    def __init__(self, buckets: ArrayLike, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        self.buckets = np.asarray(buckets)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.pairs = len(self._drawn(np.random.default_rng(0)))

    def start_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draw comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.pairs // self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        generator = np.random.default_rng((self.seed, self.epoch))
        rows = self._drawn(generator)
        batches = np.split(rows, range(self.batch_size, len(rows), self.batch_size))
        return (batches[place] for place in generator.permutation(len(batches)))

    def _drawn(self, generator: np.random.Generator) -> Rows:
        return draw_bucket_pairs(self.buckets, generator).rows


def pair_draws(
    kind: SamplerKind,
    *,
    means: ArrayLike,
    scenes: ArrayLike,
    variants: int,
    batch_size: int,
    seed: int,
) -> PairDraws:
    """The sampler of that kind.

    Raises:
        ConfigError: Unknown kind, or fewer than two photos per batch.
    """
    match kind:
        case "random":
            return PairDraws(len(np.asarray(means)), variants, batch_size, seed)
        case "scene":
            return SceneDraws(scenes, variants, batch_size, seed)
        case "hard":
            return HardPairDraws(means, variants, batch_size, seed)
    raise ConfigError(f"sampler must be one of {', '.join(get_args(SamplerKind))}, got {kind!r}")


def _packed(pieces: list[Rows], batch_size: int) -> list[Rows]:
    """The pieces in an order in which as few as possible cross the end of a batch."""
    ordered: list[Rows] = []
    room = batch_size
    while pieces:
        place = next((i for i, piece in enumerate(pieces) if len(piece) <= room), None)
        if place is None:
            head, tail = np.split(pieces.pop(0), [room])
            ordered.append(head)
            pieces.insert(0, tail)
            room = batch_size
            continue
        piece = pieces.pop(place)
        ordered.append(piece)
        room = (room - len(piece)) or batch_size
    return ordered
