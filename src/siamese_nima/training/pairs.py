"""Pairs of the photos of one batch, and what their labels say about each pair.

A batch of B photos goes through the network once; its B(B-1)/2 pairs are index arithmetic on the B
results. A pair is (first, second), and everything said about it is said of the first: its gap is
the first's mean less the second's, its preference is P(the first is the better one).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from siamese_nima.ratings import RatingScale
from siamese_nima.training.config import PreferenceKind

# Thirty votes whose spread is a sixth of the scale's width: 1 / 6 / sqrt(30).
DEFAULT_STANDARD_ERROR_SHARE = 0.03
# Below it, labels would claim an order of photos that no panel of raters would repeat.
_DEVIATION_FLOOR_SHARE = 0.005
UNKNOWN = -1


class PhotoLabels(NamedTuple):
    """What is known about N photos, see `batches.Photos`; distributions are of shape (N, K)."""

    distributions: Tensor
    means: Tensor
    standard_errors: Tensor
    buckets: Tensor
    ladders: Tensor
    rungs: Tensor
    scenes: Tensor


class Pairs(NamedTuple):
    """Pairs within one batch; every tensor has shape (P,).

    Attributes:
        first: Places in the batch of the first photos, and `second` of the second ones.
        preference: P(first is better than second) by the labels, in [0, 1]; .5 is a tie.
        deviation: Standard deviation that a network's gap is read with to be a preference, in
            rating points; above 0. That of the labels' gap, and the network's doubt.
        same_bucket: Whether both have one class label. Pairs of one ladder differ.
        has_buckets: Whether `same_bucket` is known.
    """

    first: Tensor
    second: Tensor
    preference: Tensor
    deviation: Tensor
    same_bucket: Tensor
    has_buckets: Tensor


def all_pairs(photos: int) -> Tensor:
    """The B(B-1)/2 pairs of a batch of B photos, shape (2, B(B-1)/2); first is before second.

    >>> all_pairs(3).tolist()
    [[0, 0, 1], [1, 2, 2]]
    """
    return torch.triu_indices(photos, photos, offset=1)


def some_pairs(photos: int, limit: int, *, seed: int = 0) -> Tensor:
    """All pairs where they are at most `limit`, else that many drawn at random, shape (2, P).

    Drawn pairs may repeat; no photo is paired with itself.
    """
    if photos * (photos - 1) // 2 <= limit:
        return all_pairs(photos)
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(photos, (limit,), generator=generator)
    step = torch.randint(1, photos, (limit,), generator=generator)
    return torch.stack([first, (first + step) % photos])


def label_pairs(
    index: Tensor,
    labels: PhotoLabels,
    scale: RatingScale,
    *,
    kind: PreferenceKind = "soft",
    doubt: float = 0.0,
) -> Pairs:
    """What the labels say about pairs; pairs about which they say nothing are left out.

    A pair is known when both photos have a mean opinion score, or stand on different rungs of one
    ladder. On a ladder the lower rung is preferred for certain.

    Args:
        index: Shape (2, P), places in the batch.
        labels: Of the batch, on `scale`.
        scale: The rating scale.
        kind: "soft": Phi(gap / sqrt(se_a^2 + se_b^2)), the probability that the means, each known
            up to its standard error, are in this order. "hard": 1, .5 or 0 by the sign of the gap.
            "votes": the probability that a vote on the first is above a vote on the second.
        doubt: Standard deviation of the network's own error per photo, in rating points. It widens
            `deviation`, not the labels' preference; ladders have none.

    Reference:
        Thurstone, "A law of comparative judgment", 1927: case III.
    """
    a, b = index
    on_ladder = (labels.ladders[a] == labels.ladders[b]) & (labels.ladders[a] != UNKNOWN)
    on_ladder &= labels.rungs[a] != labels.rungs[b]
    rated = labels.means[a].isfinite() & labels.means[b].isfinite()
    known = rated | on_ladder
    a, b, on_ladder = a[known], b[known], on_ladder[known]
    votes = labels.distributions
    errors = _spreads(votes, scale) if kind == "votes" else labels.standard_errors
    width = scale.high - scale.low
    deviation = torch.hypot(errors[a], errors[b]).clamp_min(_DEVIATION_FLOOR_SHARE * width)
    gap = labels.means[a] - labels.means[b]
    match kind:
        case "soft":
            preference = torch.special.ndtr(gap / deviation)
        case "hard":
            preference = (gap.sign() + 1) / 2
        case "votes":
            preference = vote_preference(votes, torch.stack([a, b]))
    deviation = torch.hypot(deviation, torch.full_like(deviation, 2**0.5 * doubt))
    below = (labels.rungs[a] < labels.rungs[b]).to(preference.dtype)
    # As if either rung had the standard error of a photo that thirty people rated.
    of_ladder = 2**0.5 * DEFAULT_STANDARD_ERROR_SHARE * width
    return Pairs(
        first=a,
        second=b,
        preference=torch.where(on_ladder, below, preference),
        deviation=torch.where(on_ladder, of_ladder, deviation),
        same_bucket=(labels.buckets[a] == labels.buckets[b]) & ~on_ladder,
        has_buckets=(labels.buckets[a] != UNKNOWN) & (labels.buckets[b] != UNKNOWN) | on_ladder,
    )


def vote_preference(distributions: Tensor, index: Tensor) -> Tensor:
    """P(a vote on the first is above a vote on the second) + half of P(equal), shape (P,).

    `ratings.preference` for many pairs (2, P) of distributions (B, K) at once, with a gradient.
    """
    first, second = distributions[index[0]], distributions[index[1]]
    below = second.cumsum(-1) - second
    return (first * (below + 0.5 * second)).sum(-1)


def _spreads(distributions: Tensor, scale: RatingScale) -> Tensor:
    grades = torch.tensor(scale.grades, dtype=distributions.dtype, device=distributions.device)
    means = distributions @ grades
    return (distributions * (grades - means[:, None]).square()).sum(-1).sqrt()
