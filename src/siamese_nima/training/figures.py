"""The figures of a stage over all validation photos, and which of them are better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siamese_nima.evaluation.metrics import PAIR_GAP, pair_accuracy, plcc, same_scene_pairs, srcc
from siamese_nima.training.batches import Photos
from siamese_nima.training.config import StageConfig
from siamese_nima.training.objectives import emd, expectation, stage_loss
from siamese_nima.training.pairs import UNKNOWN, PhotoLabels, label_pairs, some_pairs
from siamese_nima.training.samplers import draw_bucket_pairs

Figures = dict[str, float]

SAME_THRESHOLD = 0.5  # rating points; the origin's
_PAIR_LIMIT = 1_000_000  # all pairs of 1,400 photos; more are sampled


def best_of(found: Mapping[Any, Figures], figure: str) -> Any:
    """The key of the best figures by one of them; the first of equals."""
    sign = -1 if lower_is_better(figure) else 1
    return max(found, key=lambda key: sign * found[key].get(figure, -sign * math.inf))


def lower_is_better(figure: str) -> bool:
    """Whether a figure is a distance, or a loss; all others are better the higher."""
    return figure.endswith(("emd", "emd_and_order", "loss"))


def val_figures(predicted: Tensor, photos: Photos, config: StageConfig) -> Figures:
    """What can be said with the labels there are.

    Args:
        predicted: Shape (N, K), what the network says.
        photos: With what people said.
        config: The stage, for the loss.

    Returns:
        val_emd: mean earth mover's distance.
        val_emd_and_order: that less its standard error times val_srcc, lower is better: of a few
            dozen photos a network without any order can have the least distance by chance, of
            some hundred the distance decides alone.
        val_srcc, val_plcc: correlations of mean scores and mean opinion scores.
        val_pair_accuracy: share of pairs in the right order, of all pairs whose labels are further
            apart than a tenth of the scale; of a random million where there are more.
        val_scene_accuracy: the same within scenes.
        val_ladder_accuracy: share of pairs on distortion ladders in the right order.
        val_accuracy: the origin's, by buckets, over pairs drawn as the origin draws them, the same
            pairs each epoch.
        val_loss, val_pairs: where the stage learns from pairs, its loss and the pairs' part.
        A figure without photos to measure it on is left out. All but those of ladders and of the
        loss are over the photos themselves: their copies on ladders do not count again.
    """
    scale, labels, target = photos.scale, photos.labels, photos.labels.distributions
    grades = torch.tensor(scale.grades, dtype=torch.float32)
    known: Figures = {}
    if config.weight:
        pairs = label_pairs(
            some_pairs(len(photos), _PAIR_LIMIT),
            labels,
            scale,
            kind=config.labels,
            doubt=config.doubt_on(scale),
        )
        # Among all pairs those of one bucket are few, whatever is drawn in training.
        loss = stage_loss(config.changed(balanced=True), predicted, target, grades, pairs)
        known |= {"val_loss": float(loss.total), "val_pairs": float(loss.pairs)}
    scores = expectation(predicted, grades).double().numpy()
    known["val_ladder_accuracy"] = pair_accuracy(scores, _ladder_pairs(labels))

    alone = (labels.ladders == UNKNOWN).nonzero().flatten()
    labels = PhotoLabels(*(column[alone] for column in labels))
    scores, target, predicted = scores[alone.numpy()], labels.distributions, predicted[alone]
    means = labels.means.double().numpy()
    rated = np.isfinite(means)
    if rated.sum() > 1:
        known["val_srcc"] = srcc(scores[rated], means[rated])
        known["val_plcc"] = plcc(scores[rated], means[rated])
    labelled = target.isfinite().all(-1)
    distances = emd(predicted[labelled], target[labelled]).double().numpy()
    if len(distances):
        order = np.nan_to_num(known.get("val_srcc", 0.0))
        error = distances.std() / len(distances) ** 0.5
        known["val_emd"] = float(distances.mean())
        known["val_emd_and_order"] = float(distances.mean() - error * order)
    gap = PAIR_GAP * (scale.high - scale.low)
    first, second = some_pairs(len(means), _PAIR_LIMIT).numpy()
    better_first = np.where(means[first] > means[second], (first, second), (second, first)).T
    apart = np.abs(means[first] - means[second]) > gap
    known["val_pair_accuracy"] = pair_accuracy(scores, better_first[apart])
    scenes = [str(scene) for scene in labels.scenes[torch.from_numpy(rated)].tolist()]
    in_scene = same_scene_pairs(means[rated], scenes, gap=gap)
    known["val_scene_accuracy"] = pair_accuracy(scores[rated], in_scene)
    known["val_accuracy"] = _bucket_accuracy(scores, labels)
    return {name: value for name, value in known.items() if not np.isnan(value)}


def same_bucket_accuracy(gap: Tensor, same: Tensor) -> Tensor:
    """Share of pairs told right as same or different bucket, 0 to 1: the origin's accuracy.

    A pair counts as one bucket when its means are less than half a point apart.

    Args:
        gap: Shape (P,), differences of mean scores in rating points, either sign.
        same: Shape (P,), whether both are of one bucket.

    >>> gap, same = torch.tensor([0.2, -0.6, 0.4, 3.0]), torch.tensor([True, True, False, False])
    >>> same_bucket_accuracy(gap, same).item()
    0.5
    """
    return ((gap.abs() < SAME_THRESHOLD) == same).double().mean()


def _ladder_pairs(labels: PhotoLabels) -> NDArray[np.intp]:
    on_ladder = (labels.ladders != UNKNOWN).nonzero().flatten()
    ladders = [str(ladder) for ladder in labels.ladders[on_ladder].tolist()]
    pairs = same_scene_pairs(-labels.rungs[on_ladder].numpy(), ladders, gap=0)
    return on_ladder.numpy()[pairs].reshape(-1, 2)


def _bucket_accuracy(scores: NDArray[np.float64], labels: PhotoLabels) -> float:
    known = (labels.buckets != UNKNOWN).nonzero().flatten().numpy()
    buckets = labels.buckets.numpy()[known]
    counts = np.unique(buckets, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        return float("nan")
    rows, same = draw_bucket_pairs(buckets, np.random.default_rng(0))
    gap = scores[known[rows[:, 0]]] - scores[known[rows[:, 1]]]
    return float(same_bucket_accuracy(torch.from_numpy(gap), torch.from_numpy(same)))
