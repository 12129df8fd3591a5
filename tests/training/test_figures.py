"""The validation figures of the Siamese stage against hand-worked ones."""

import math

import numpy as np
import pytest
import torch

from siamese_nima.evaluation.metrics import srcc
from siamese_nima.ratings import AVA_SCALE, distribution_from_mos
from siamese_nima.training.batches import Photos
from siamese_nima.training.config import StageConfig
from siamese_nima.training.figures import best_of, same_bucket_accuracy, val_figures
from siamese_nima.training.samplers import draw_bucket_pairs


def validated(scores, means, *, buckets=None, ladders=None, rungs=None, scenes=None):
    count = len(scores)
    target = np.full((count, 10), math.nan)
    rated = np.isfinite(means)
    target[rated] = distribution_from_mos(np.array(means)[rated])
    photos = Photos(
        inputs=np.empty((1, count, 1, 1, 1, 3), np.uint8),
        distributions=target,
        means=np.array(means),
        scale=AVA_SCALE,
        standard_errors=np.full(count, 0.3),
        buckets=np.array(buckets or [-1] * count),
        ladders=np.array(ladders or [-1] * count),
        rungs=np.array(rungs or [0] * count),
        scenes=scenes,
    )
    return torch.tensor(distribution_from_mos(scores), dtype=torch.float32), photos


def objective_of(**entries):
    return StageConfig(**({"kind": "siamese", "doubt": 0.0} | entries))


def figures_of(*args, objective=None, **known):
    return val_figures(*validated(*args, **known), objective or objective_of())


def test_pairs_count_whose_labels_are_a_tenth_of_the_scale_apart():
    # 3 and 3.5 are within .9 points of each other, and their order does not count.
    figures = figures_of([5.0, 4.0, 6.0], [3.0, 3.5, 7.0])
    assert figures["val_pair_accuracy"] == 1.0
    figures = figures_of([5.0, 4.0, 4.5], [3.0, 3.5, 7.0])
    assert figures["val_pair_accuracy"] == 0.5
    assert figures["val_srcc"] == pytest.approx(srcc([5.0, 4.0, 4.5], [3.0, 3.5, 7.0]))


def test_scenes_are_judged_within():
    scores, means = [2.0, 3.0, 8.0, 7.0], [2.0, 4.0, 6.0, 8.0]
    figures = figures_of(scores, means, scenes=[0, 0, 1, 1])
    assert figures["val_scene_accuracy"] == 0.5
    assert "val_scene_accuracy" not in figures_of(scores, means)


def test_ladders_are_judged_by_their_rungs():
    unrated = [math.nan] * 5
    figures = figures_of(
        [8.0, 6.0, 7.0, 5.0, 3.0], unrated, ladders=[0, 0, 0, 1, -1], rungs=[0, 1, 2, 0, 0]
    )
    assert figures["val_ladder_accuracy"] == pytest.approx(2 / 3)
    assert "val_pair_accuracy" not in figures
    assert "val_srcc" not in figures
    assert "val_emd" not in figures


def test_the_origins_accuracy_is_over_pairs_drawn_as_the_origin_draws_them():
    rng = np.random.default_rng(0)
    buckets = rng.integers(0, 3, 30)
    scores = 4 + buckets + rng.normal(0, 0.4, 30)
    figures = figures_of(scores.tolist(), (4.0 + buckets).tolist(), buckets=buckets.tolist())
    rows, same = draw_bucket_pairs(buckets, np.random.default_rng(0))
    near = np.abs(scores[rows[:, 0]] - scores[rows[:, 1]]) < 0.5
    assert figures["val_accuracy"] == pytest.approx(np.mean(near == same), abs=1e-9)
    assert 0.5 < figures["val_accuracy"] < 1


def test_labels_that_make_no_bucket_pairs_give_no_accuracy():
    assert "val_accuracy" not in figures_of([1.0, 2.0], [1.0, 2.0], buckets=[0, 0])


def test_the_loss_is_that_of_the_objective_and_zero_for_the_labels_themselves():
    means = [2.0, 4.0, 6.0, 8.0]
    figures = figures_of(means, means, objective=objective_of(emd_weight=1))
    assert figures["val_pairs"] == pytest.approx(0, abs=1e-5)
    assert figures["val_loss"] == pytest.approx(figures["val_emd"], abs=1e-5)
    contrastive = objective_of(objective="contrastive", emd_weight=0)
    assert figures_of(means, means, objective=contrastive, buckets=[0, 1, 2, 3])["val_loss"] == 0


def test_accuracy_is_one_minus_the_share_of_pairs_told_wrong():
    gap = torch.tensor([0.49, -0.5])
    assert same_bucket_accuracy(gap, torch.tensor([True, False])) == 1
    assert same_bucket_accuracy(gap, torch.tensor([False, True])) == 0


def test_clean_rungs_of_ladders_do_not_count_again():
    """The same network has the same figures, whether ladders of its photos stand beside them."""
    scores, means = [4.0, 3.0, 6.0, 7.0], [3.0, 3.5, 7.0, 6.5]
    alone = figures_of(scores, means, ladders=[-1] * 4, rungs=[0] * 4)
    ladder = [6.0, 2.0, 3.0]
    with_it = figures_of(
        scores + ladder,
        [*means, 7.0, math.nan, math.nan],
        ladders=[-1] * 4 + [0] * 3,
        rungs=[0] * 4 + [0, 1, 2],
        scenes=[0, 1, 2, 3, 2, 2, 2],
    )
    for name in ("val_srcc", "val_plcc", "val_emd", "val_pair_accuracy"):
        assert with_it[name] == pytest.approx(alone[name]), name
    assert with_it["val_ladder_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("copies", "chosen"), [(1, "ordered"), (200, "flat")])
def test_on_few_photos_a_distance_without_any_order_does_not_win(copies, chosen):
    """Seen in fine-tuning on 14 val photos: the epoch of least distance had an SRCC of -.26."""
    means = np.linspace(4.3, 5.7, 14)
    flat = np.where(np.arange(14) % 3, 5.01, 4.99)  # all but the middle for everybody
    noise = np.random.default_rng(2).normal(0, 0.5, 14)
    ordered = means + noise  # on the whole
    found = {
        name: figures_of(np.tile(scores, copies).tolist(), np.tile(means, copies).tolist())
        for name, scores in (("flat", flat), ("ordered", ordered))
    }
    assert found["flat"]["val_srcc"] < 0.2 < 0.5 < found["ordered"]["val_srcc"]
    assert found["flat"]["val_emd"] < found["ordered"]["val_emd"]
    assert best_of(found, "val_emd") == "flat"
    assert best_of(found, "val_emd_and_order") == chosen
    assert StageConfig().monitor == "val_emd_and_order"
