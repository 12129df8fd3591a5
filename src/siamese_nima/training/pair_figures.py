"""The figures of the Siamese stage over all validation photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from siamese_nima.evaluation.metrics import PAIR_GAP, pair_accuracy, same_scene_pairs, srcc
from siamese_nima.ratings import RatingScale
from siamese_nima.training.bucket_pairs import draw_bucket_pairs, same_bucket_accuracy
from siamese_nima.training.objectives import SiameseObjective, siamese_loss
from siamese_nima.training.pairs import UNKNOWN, PhotoLabels, label_pairs, some_pairs

_PAIR_LIMIT = 1_000_000  # all pairs of 1,400 photos; more are sampled


class Validated(NamedTuple):
    """What the network says about photos, and what people said.

    Attributes:
        predicted: Shape (N, K).
        target: Shape (N, K); NaN where nobody rated.
        labels: Of these photos.
    """

    predicted: Tensor
    target: Tensor
    labels: PhotoLabels

    @classmethod
    def joined(cls, parts: Sequence[Validated]) -> Validated:
        """Several batches as one, on the CPU."""
        predicted, target, labels = zip(*parts, strict=True)
        return cls(
            torch.cat(predicted).float().cpu(),
            torch.cat(target).cpu(),
            PhotoLabels(*(torch.cat(column).cpu() for column in zip(*labels, strict=True))),
        )


def pair_figures(
    validated: Validated, objective: SiameseObjective, scale: RatingScale
) -> dict[str, float]:
    """What can be said with the labels there are.

    Returns:
        val_loss, val_pairs, val_emd: the loss and its parts.
        val_srcc: rank correlation of mean scores and mean opinion scores.
        val_pair_accuracy: share of pairs in the right order, of all pairs whose labels are further
            apart than a tenth of the scale; of a random million where there are more.
        val_scene_accuracy: the same within scenes.
        val_ladder_accuracy: share of pairs on distortion ladders in the right order.
        val_accuracy: the origin's, by buckets, over pairs drawn as the origin draws them, the same
            pairs each epoch.
        A figure without photos to measure it on is left out.
    """
    grades = torch.as_tensor(scale.grades, dtype=torch.float32)
    labels = validated.labels
    index = some_pairs(len(labels.means), _PAIR_LIMIT)
    pairs = label_pairs(
        index,
        labels,
        scale,
        kind=objective.labels,
        doubt=objective.doubt,
        distributions=validated.target,
    )
    loss = siamese_loss(objective, validated.predicted, validated.target, grades, pairs)
    figures = {"val_loss": loss.total, "val_pairs": loss.pairs, "val_emd": loss.emd}
    known = {name: float(value) for name, value in figures.items()}

    scores = (validated.predicted @ grades).double().numpy()
    means = labels.means.double().numpy()
    rated = np.isfinite(means)
    if rated.sum() > 1:
        known["val_srcc"] = srcc(scores[rated], means[rated])
    gap = PAIR_GAP * (scale.high - scale.low)
    first, second = index.numpy()
    apart = np.stack([first, second], 1)[np.abs(means[first] - means[second]) > gap]
    better_first = np.where(
        (means[apart[:, 0]] > means[apart[:, 1]])[:, None], apart, apart[:, ::-1]
    )
    known["val_pair_accuracy"] = pair_accuracy(scores, better_first)
    scenes = [str(scene) for scene in labels.scenes[torch.from_numpy(rated)].tolist()]
    in_scene = same_scene_pairs(means[rated], scenes, gap=gap)
    known["val_scene_accuracy"] = pair_accuracy(scores[rated], in_scene)
    known["val_ladder_accuracy"] = pair_accuracy(scores, _ladder_pairs(labels))
    known["val_accuracy"] = _bucket_accuracy(scores, labels)
    return {name: value for name, value in known.items() if not np.isnan(value)}


def _ladder_pairs(labels: PhotoLabels) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    on_ladder = (labels.ladders != UNKNOWN).nonzero().flatten()
    pairs = same_scene_pairs(
        -labels.rungs[on_ladder].numpy(),
        [str(ladder) for ladder in labels.ladders[on_ladder].tolist()],
        gap=0,
    )
    return on_ladder.numpy()[pairs].reshape(-1, 2)


def _bucket_accuracy(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], labels: PhotoLabels
) -> float:
    known = (labels.buckets != UNKNOWN).nonzero().flatten().numpy()
    buckets = labels.buckets.numpy()[known]
    counts = np.unique(buckets, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        return float("nan")
    rows, same = draw_bucket_pairs(buckets, np.random.default_rng(0))
    gap = scores[known[rows[:, 0]]] - scores[known[rows[:, 1]]]
    return same_bucket_accuracy(gap, same)
