"""Objectives of the Siamese stage: what the gap between two mean scores should be.

The objectives take the network's gaps and the pairs' labels and give one value per pair; they know
nothing of networks. `siamese_loss` puts one of them beside the earth mover's distance.

| objective | learns from | knows direction | asks for |
|---|---|---|---|
| `contrastive` | same or different bucket | no | gap 0, or at least the margin either way |
| `margin_ranking` | which one is better | yes | at least the margin |
| `preference` | how likely it is better | yes | the gap the labels have, as far as they know it |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from siamese_nima.errors import ConfigError
from siamese_nima.training.losses import emd
from siamese_nima.training.pairs import Pairs, PreferenceKind, gaps

ObjectiveKind = Literal["contrastive", "margin", "preference"]
Distance = Literal["l1", "l2"]

_DEFAULT_MARGIN = {"contrastive": 1.0, "margin": 0.2}
_KERAS_EPSILON = 1e-7  # keras.backend.epsilon(), under the origin's square root


def contrastive(
    gap: Tensor, pairs: Pairs, *, margin: float = 1.0, distance: Distance = "l2"
) -> Tensor:
    """Contrastive loss, the origin's: same bucket together, different buckets a margin apart.

    Inputs:
        gap: Shape (P,), mean of the first less mean of the second, in rating points.
        margin: Rating points between different buckets.
        distance: "l2" is sqrt(max(gap^2, 1e-7)), as the origin has it; "l1" is |gap|. Means are
            numbers, so they differ below 3e-4 points only, where "l2" has no gradient.

    Labels:
        `pairs.same_bucket`; `pairs.has_buckets` must hold for every pair.

    Returns:
        Shape (P,), 0 or more: y d^2 + (1 - y) max(margin - d, 0)^2 with y = 1 for one bucket.

    Relations:
        The distance has no sign: swapping which photo is better changes nothing, and neighbouring
        buckets are pushed as far apart as the ends of the scale. `preference` has both.

    Reference:
        Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping",
        2006, equation 4. Differs, as the origin does: no factor of one half.
    """
    d = gap.abs() if distance == "l1" else gap.square().clamp_min(_KERAS_EPSILON).sqrt()
    apart = (margin - d).clamp_min(0).square()
    return torch.where(pairs.same_bucket, d.square(), apart)


def margin_ranking(gap: Tensor, pairs: Pairs, *, margin: float = 0.2) -> Tensor:
    """Hinge on the gap: the better photo should lead by a margin.

    Inputs:
        gap: Shape (P,), mean of the first less mean of the second, in rating points.
        margin: Rating points.

    Labels:
        The side of one half that `pairs.preference` is on; ties ask for nothing.

    Returns:
        Shape (P,), 0 or more: max(0, margin - gap) where the first is better.

    Relations:
        Beyond the margin a pair teaches nothing, so it orders photos but does not spread them;
        and a pair that the raters hardly agree on pulls as hard as a clear one, which
        `preference` mends.

    Reference:
        Liu, van de Weijer and Bagdanov, "RankIQA", 2017, equation 3. arXiv:1707.08347
    """
    direction = (pairs.preference - 0.5).sign()
    return (margin - direction * gap).clamp_min(0) * direction.abs()


def preference(gap: Tensor, pairs: Pairs) -> Tensor:
    """Cross-entropy between the labels' preference and the one that the gap means.

    A gap g stands for the preference Phi(g / deviation). Where the deviation is that of the labels'
    own gap, the loss of a pair is least at the labels' gap, and wrong order costs more the surer
    the labels are. Over pairs that the network cannot tell for sure the mean is least at smaller
    gaps, those that come true as often as they say; `SiameseObjective.doubt` makes up for it.

    Inputs:
        gap: Shape (P,), mean of the first less mean of the second, in rating points.

    Labels:
        `pairs.preference` and `pairs.deviation`.

    Returns:
        Shape (P,), 0 (the preferences are equal) or more. The labels' own entropy, which no
        network can lower, is taken off; gradients are those of the cross-entropy.

    Relations:
        With hard labels, the RankNet loss with Thurstone's normal curve in place of the logistic
        one. Unlike `margin_ranking`, pairs within the labels' doubt pull gently, towards a tie.

    Reference:
        Thurstone, "A law of comparative judgment", 1927; Burges and others, "Learning to rank using
        gradient descent", 2005.
    """
    p = pairs.preference
    z = gap / pairs.deviation
    cross_entropy = -p * torch.special.log_ndtr(z) - (1 - p) * torch.special.log_ndtr(-z)
    # The floor is rounding's: the difference is never below 0.
    excess: Tensor = cross_entropy - torch.special.entr(p) - torch.special.entr(1 - p)
    return excess.clamp_min(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiameseObjective:
    """Which objective, and how it stands beside the earth mover's distance.

    Attributes:
        kind: "preference", "margin" or "contrastive".
        weight: Of the objective; 0 is the NIMA stage's loss.
        emd_weight: Of the earth mover's distance, which keeps distributions calibrated; 0 is the
            objective alone, as the origin has it. Pairs pull some ten times harder than it, so that
            at 1 distributions drift nearly as far as without it.
        margin: Rating points; None for 1 (contrastive) or .2 (margin). `preference` has none.
        distance: Of "contrastive".
        labels: How "margin" and "preference" read the labels; see `pairs.label_pairs`.
        doubt: For "preference", the network's own error per photo in rating points, which its gaps
            are read with beside the labels' doubt. With 0 it draws its scores together until they
            are as sure as they are right; with about its RMSE it keeps the labels' spread.
        balanced: For "contrastive": pairs of one bucket weigh as much in sum as the others. The
            origin draws as many of either; among all pairs of a batch those of one bucket are few.
    """

    kind: ObjectiveKind = "preference"
    weight: float = 1.0
    emd_weight: float = 30.0
    margin: float | None = None
    distance: Distance = "l2"
    labels: PreferenceKind = "soft"
    doubt: float = 0.0
    balanced: bool = True

    def __post_init__(self) -> None:
        for name, kinds in (
            ("kind", ObjectiveKind),
            ("distance", Distance),
            ("labels", PreferenceKind),
        ):
            if getattr(self, name) not in get_args(kinds):
                wanted = ", ".join(get_args(kinds))
                raise ConfigError(f"{name} must be one of {wanted}, got {getattr(self, name)!r}")
        if self.weight < 0 or self.emd_weight < 0 or self.weight + self.emd_weight == 0:
            raise ConfigError(
                f"weight and emd_weight must not be negative nor both 0, got {self.weight} and "
                f"{self.emd_weight}"
            )
        if self.doubt < 0 or (self.doubt and self.kind != "preference"):
            raise ConfigError(
                f"doubt is for 'preference' and not negative, got {self.doubt} for {self.kind!r}"
            )
        if self.margin is not None and self.kind == "preference":
            raise ConfigError(f"'preference' has no margin, got {self.margin}")
        if self.margin is not None and not self.margin > 0:
            raise ConfigError(f"margin must be above 0 rating points, got {self.margin}")

    def per_pair(self, gap: Tensor, pairs: Pairs) -> Tensor:
        """The objective's value for each pair, shape (P,)."""
        margin = self.margin or _DEFAULT_MARGIN.get(self.kind, 0.0)
        match self.kind:
            case "contrastive":
                return contrastive(gap, pairs, margin=margin, distance=self.distance)
            case "margin":
                return margin_ranking(gap, pairs, margin=margin)
            case "preference":
                return preference(gap, pairs)

    def over_pairs(self, gap: Tensor, pairs: Pairs) -> Tensor:
        """The objective of a batch: the mean over its pairs; 0 where there are none.

        "contrastive" leaves out pairs without buckets.
        """
        values = self.per_pair(gap, pairs)
        if self.kind != "contrastive":
            return values.mean() if len(pairs) else gap.sum()
        parts = [
            values[chosen].mean()
            for chosen in _bucket_groups(pairs, balanced=self.balanced)
            if bool(chosen.any())
        ]
        return torch.stack(parts).mean() if parts else gap.sum() * 0


@dataclass(frozen=True, slots=True, eq=False)
class SiameseLoss:
    """The loss of one batch and its parts.

    Attributes:
        total: Weighted sum, a scalar; what is trained on.
        pairs: The objective over the pairs, a scalar.
        emd: Mean earth mover's distance over the photos that have a label, a scalar.
        gap: Shape (P,), the network's gaps.
    """

    total: Tensor
    pairs: Tensor
    emd: Tensor
    gap: Tensor


def siamese_loss(
    objective: SiameseObjective,
    predicted: Tensor,
    target: Tensor,
    grades: Tensor,
    pairs: Pairs,
) -> SiameseLoss:
    """The Siamese stage's loss from one forward pass per photo.

    Args:
        objective: What is asked for.
        predicted: Shape (B, K), the network's rating distributions.
        target: Shape (B, K), those of the labels; a row of NaN for a photo without one.
        grades: Shape (K,), the grades of the scale.
        pairs: Of these photos.
    """
    gap = gaps(predicted @ grades, torch.stack([pairs.first, pairs.second]))
    pair_loss = objective.over_pairs(gap, pairs)
    labelled = target.isfinite().all(-1)
    if bool(labelled.any()):
        distance = emd(predicted[labelled], target[labelled]).mean()
    else:
        distance = predicted.sum() * 0
    total = objective.weight * pair_loss + objective.emd_weight * distance
    return SiameseLoss(total, pair_loss, distance, gap)


def _bucket_groups(pairs: Pairs, *, balanced: bool) -> list[Tensor]:
    if not balanced:
        return [pairs.has_buckets]
    return [pairs.has_buckets & pairs.same_bucket, pairs.has_buckets & ~pairs.same_bucket]
