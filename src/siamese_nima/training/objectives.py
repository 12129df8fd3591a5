"""What training lowers: the distance of rating distributions, and objectives of pairs.

An objective says what the gap between two mean scores should be. All take the network's gaps, shape
(P,), the first's mean less the second's in rating points, and give one value of 0 or more per pair.

| objective | learns from | knows direction | asks for |
|---|---|---|---|
| `contrastive` | same or different bucket | no | gap 0, or at least the margin either way |
| `margin_ranking` | which one is better | yes | at least the margin |
| `preference` | how likely it is better | yes | the gap the labels have, as far as they know it |
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from siamese_nima.errors import RatingError
from siamese_nima.training.config import StageConfig
from siamese_nima.training.pairs import Pairs

_DEFAULT_MARGIN = {"contrastive": 1.0, "margin": 0.2}
_ROOT_FLOOR = 1e-8  # keeps the slope of the square root finite where prediction meets label
_KERAS_EPSILON = 1e-7  # keras.backend.epsilon(), under the origin's square root


def squared_emd(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared earth mover's distance of order 2 of distributions (N, K), one value per photo.

    The mean over the K grades of the squared difference of the cumulative distributions: from 0
    (equal) to (K - 1) / K.

    Raises:
        RatingError: The shapes differ or are not (N, K).

    Reference:
        Talebi and Milanfar, "NIMA: Neural Image Assessment", 2018, equation 1 with r = 2, before
        the root. arXiv:1709.05424

    >>> squared_emd(torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1.0]])).tolist()
    [0.75]
    """
    if predicted.shape != target.shape or predicted.ndim != 2:
        raise RatingError(
            f"predicted and target distributions need one shape (N, K), got "
            f"{tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    return (predicted.cumsum(-1) - target.cumsum(-1)).square().mean(-1)


def emd(predicted: Tensor, target: Tensor) -> Tensor:
    """The square root of `squared_emd`; what NIMA is trained on.

    Photos that are far off pull no harder than others, where the square would let them rule the
    batch. From 1e-4 (equal) on: a small floor under the root bounds its gradient, so that it
    differs from `ratings.emd` by at most 1e-4.
    """
    return torch.sqrt(squared_emd(predicted, target) + _ROOT_FLOOR)


def contrastive(
    gap: Tensor, pairs: Pairs, *, margin: float = 1.0, distance: Literal["l1", "l2"] = "l2"
) -> Tensor:
    """Contrastive loss, the origin's: same bucket together, different buckets a margin apart.

    y d^2 + (1 - y) max(margin - d, 0)^2 with y = 1 for one bucket; every pair must have buckets.
    The distance d has no sign: swapping which photo is better changes nothing, and neighbouring
    buckets are pushed as far apart as the ends of the scale.

    The distance "l2" is sqrt(max(gap^2, 1e-7)), as the origin has it; "l1" is |gap|. Means are
    numbers, so they differ below 3e-4 points only, where "l2" has no gradient.

    Reference:
        Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping",
        2006, equation 4. Differs, as the origin does: no factor of one half.
    """
    d = gap.abs() if distance == "l1" else gap.square().clamp_min(_KERAS_EPSILON).sqrt()
    apart = (margin - d).clamp_min(0).square()
    return torch.where(pairs.same_bucket, d.square(), apart)


def margin_ranking(gap: Tensor, pairs: Pairs, *, margin: float = 0.2) -> Tensor:
    """Hinge on the gap, max(0, margin - gap): the better photo should lead by a margin.

    Better is the side of one half that `pairs.preference` is on; ties ask for nothing. Beyond the
    margin (rating points) a pair teaches nothing, so it orders photos but does not spread them; and
    a pair that the raters hardly agree on pulls as hard as a clear one, which `preference` mends.

    Reference:
        Liu, van de Weijer and Bagdanov, "RankIQA", 2017, equation 3. arXiv:1707.08347
    """
    direction = (pairs.preference - 0.5).sign()
    return (margin - direction * gap).clamp_min(0) * direction.abs()


def preference(gap: Tensor, pairs: Pairs) -> Tensor:
    """Cross-entropy between the labels' preference and the one that the gap means.

    A gap g stands for the preference Phi(g / deviation). Where the deviation is that of the labels'
    own gap, the loss of a pair is least at the labels' gap, and wrong order costs more the surer
    the labels are; pairs within their doubt pull gently, towards a tie. Over pairs that the network
    cannot tell for sure the mean is least at smaller gaps, those that come true as often as they
    say; `StageConfig.doubt` makes up for it. The labels' own entropy, which no network can lower,
    is taken off: 0 where the preferences are equal, and the gradients are the cross-entropy's.

    Reference:
        Thurstone, "A law of comparative judgment", 1927; Burges and others, "Learning to rank using
        gradient descent", 2005 (RankNet, with a logistic curve in place of the normal one).
    """
    p = pairs.preference
    z = gap / pairs.deviation
    cross_entropy = -p * torch.special.log_ndtr(z) - (1 - p) * torch.special.log_ndtr(-z)
    # The floor is rounding's: the difference is never below 0.
    excess: Tensor = cross_entropy - torch.special.entr(p) - torch.special.entr(1 - p)
    return excess.clamp_min(0)


def pair_values(config: StageConfig, gap: Tensor, pairs: Pairs) -> Tensor:
    """The value of the stage's objective for each pair, shape (P,)."""
    margin = config.margin or _DEFAULT_MARGIN.get(config.objective, 0.0)
    match config.objective:
        case "contrastive":
            return contrastive(gap, pairs, margin=margin, distance=config.distance)
        case "margin":
            return margin_ranking(gap, pairs, margin=margin)
        case "preference":
            return preference(gap, pairs)


def pair_loss(config: StageConfig, gap: Tensor, pairs: Pairs) -> Tensor:
    """The objective of a batch: the mean over its pairs; 0 where there are none.

    "contrastive" leaves out pairs without buckets; see `StageConfig.balanced`.
    """
    values = pair_values(config, gap, pairs)
    if config.objective != "contrastive":
        return values.mean() if len(gap) else gap.sum()
    groups = [pairs.has_buckets]
    if config.balanced:
        groups = [pairs.has_buckets & pairs.same_bucket, pairs.has_buckets & ~pairs.same_bucket]
    means = torch.stack([_mean_of(values, chosen) for chosen in groups])
    return _mean_of(means, torch.stack([chosen.any() for chosen in groups]))


def expectation(distributions: Tensor, grades: Tensor) -> Tensor:
    """Mean scores (N,) of distributions (N, K).

    Not a matrix product: under mixed precision that would be done in bfloat16, which tells scores
    apart by a thirtieth of a point.
    """
    return (distributions * grades).sum(-1)


class StageLoss(NamedTuple):
    """The loss of one batch, which is trained on, its parts (all scalars), and the gaps (P,)."""

    total: Tensor
    pairs: Tensor
    emd: Tensor
    gap: Tensor


def stage_loss(
    config: StageConfig, predicted: Tensor, target: Tensor, grades: Tensor, pairs: Pairs
) -> StageLoss:
    """A stage's loss: emd_weight * distance + weight * objective.

    Args:
        config: Says which.
        predicted: Shape (B, K), the network's rating distributions, single precision or better.
        target: Those of the labels; a row of NaN for a photo without one.
        grades: Shape (K,), of the scale.
        pairs: Of these photos.
    """
    means = expectation(predicted, grades)
    gap = means[pairs.first] - means[pairs.second]
    of_pairs = pair_loss(config, gap, pairs)
    labelled = target.isfinite().all(-1)
    known = torch.where(labelled[:, None], target, predicted.detach())
    learnt = distance = _mean_of(emd(predicted, known), labelled)
    if config.loss == "squared_emd":
        learnt = _mean_of(squared_emd(predicted, known), labelled)
    total = config.weight * of_pairs + config.emd_weight * learnt
    return StageLoss(total, of_pairs, distance, gap)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the values that are chosen; 0, with a gradient of 0, where none is.

    Unlike indexing it needs no look at the device's memory.
    """
    kept = torch.where(chosen, values, torch.zeros_like(values))
    return kept.sum() / chosen.sum().clamp_min(1)
