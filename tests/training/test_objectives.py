"""Objectives of pairs: laws, hand-worked numbers, the published formulas, gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.config import StageConfig
from siamese_nima.training.objectives import (
    contrastive,
    emd,
    margin_ranking,
    pair_loss,
    pair_values,
    preference,
    squared_emd,
    stage_loss,
)
from siamese_nima.training.pairs import (
    UNKNOWN,
    Pairs,
    PhotoLabels,
    all_pairs,
    label_pairs,
)

GRADES = torch.tensor(AVA_SCALE.grades)
KINDS = ["contrastive", "margin", "preference"]


def objective_of(**entries):
    return StageConfig(**({"kind": "siamese", "doubt": 0.0} | entries))


gap_values = st.lists(st.floats(-9, 9), min_size=1, max_size=20)


def pairs_of(preferences, *, deviation=0.5, same=None, known=None):
    count = len(preferences)
    return Pairs(
        first=torch.arange(count),
        second=torch.arange(count) + 1,
        preference=torch.tensor(preferences, dtype=torch.float64),
        deviation=torch.full((count,), deviation, dtype=torch.float64),
        same_bucket=torch.tensor(same or [False] * count),
        has_buckets=torch.tensor(known or [True] * count),
    )


def random_pairs(count, seed=0):
    rng = np.random.default_rng(seed)
    same = rng.random(count) < 0.5
    return pairs_of(rng.random(count).tolist(), same=same.tolist())


def swapped(pairs):
    return pairs._replace(first=pairs.second, second=pairs.first, preference=1 - pairs.preference)


@pytest.mark.parametrize("kind", KINDS)
@given(values=gap_values)
@settings(deadline=None)
def test_swapping_first_and_second_changes_nothing(kind, values):
    pairs = random_pairs(len(values))
    gap = torch.tensor(values, dtype=torch.float64)
    objective = objective_of(objective=kind)
    there = pair_values(objective, gap, pairs)
    assert torch.allclose(there, pair_values(objective, -gap, swapped(pairs)), atol=1e-9)
    assert torch.all(there >= 0)


@given(values=gap_values)
@settings(deadline=None)
def test_contrastive_equals_the_published_formula_as_the_origin_writes_it(values):
    pairs = random_pairs(len(values))
    y = pairs.same_bucket.numpy().astype(float)
    d = np.sqrt(np.maximum(np.square(values), 1e-7))
    expected = y * d**2 + (1 - y) * np.maximum(1 - d, 0) ** 2
    gap = torch.tensor(values, dtype=torch.float64)
    assert contrastive(gap, pairs).numpy() == pytest.approx(expected)
    mean = pair_loss(objective_of(objective="contrastive", balanced=False), gap, pairs)
    assert mean.item() == pytest.approx(expected.mean())


def test_contrastive_by_hand():
    pairs = pairs_of([0.5] * 4, same=[True, False, False, False])
    gap = torch.tensor([0.5, -0.25, 1.5, 0.0], dtype=torch.float64)
    root = math.sqrt(1e-7)
    assert contrastive(gap, pairs).tolist() == pytest.approx(
        [0.25, 0.5625, 0.0, (1 - root) ** 2], abs=1e-12
    )
    assert contrastive(gap, pairs, margin=2, distance="l1").tolist() == pytest.approx(
        [0.25, 3.0625, 0.25, 4.0]
    )


def test_contrastive_cannot_see_which_photo_is_better():
    gap = torch.tensor([0.3, -0.3], dtype=torch.float64)
    right, wrong = contrastive(gap, pairs_of([1.0, 1.0]))
    assert right == wrong


def test_margin_ranking_by_hand():
    pairs = pairs_of([1.0, 1.0, 0.0, 0.5, 0.9])
    gap = torch.tensor([0.5, -0.1, -0.1, 3.0, 0.05], dtype=torch.float64)
    assert margin_ranking(gap, pairs, margin=0.2).tolist() == pytest.approx(
        [0.0, 0.3, 0.1, 0.0, 0.15]
    )


def test_preference_by_hand():
    # Phi(1) = .841345: cross-entropy with a label of 1 is -ln .841345 = .172753.
    pairs = pairs_of([1.0, 0.5], deviation=0.5)
    found = preference(torch.tensor([0.5, 0.5], dtype=torch.float64), pairs)
    expected = -0.5 * (math.log(0.841345) + math.log(0.158655)) - math.log(2)
    assert found.tolist() == pytest.approx([0.172753, expected], abs=1e-5)


@given(st.floats(-3, 3), st.floats(0.05, 2))
@settings(deadline=None)
def test_preference_is_least_where_the_gap_is_the_labels_gap(label_gap, deviation):
    label = torch.special.ndtr(torch.tensor([label_gap / deviation], dtype=torch.float64))
    pairs = pairs_of(label.tolist(), deviation=deviation)
    gap = torch.tensor([label_gap], dtype=torch.float64, requires_grad=True)
    value = preference(gap, pairs)
    assert value.item() == pytest.approx(0, abs=1e-9)
    value.sum().backward()
    assert gap.grad.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["margin", "preference"])
@given(values=gap_values)
@settings(deadline=None)
def test_the_gradient_moves_the_better_photo_up(kind, values):
    gap = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    pair_values(objective_of(objective=kind), gap, pairs_of([1.0] * len(values))).sum().backward()
    assert torch.all(gap.grad <= 0)
    wrong = gap.detach() < 0
    assert torch.all(gap.grad[wrong] < 0)


@pytest.mark.parametrize("kind", KINDS)
def test_perfect_order_costs_nothing(kind):
    pairs = pairs_of([1.0, 0.0], same=[False, False])
    gap = torch.tensor([5.0, -5.0], dtype=torch.float64)
    assert pair_values(objective_of(objective=kind), gap, pairs).tolist() == pytest.approx(
        [0, 0], abs=1e-12
    )


def test_wrong_order_costs_more_the_surer_the_labels_are():
    gap = torch.tensor([-1.0], dtype=torch.float64)
    costs = [preference(gap, pairs_of([p])).item() for p in (0.5, 0.7, 0.9, 0.99)]
    assert costs == sorted(costs)


def test_gaps_of_the_whole_scale_stay_finite_in_single_precision():
    pairs = pairs_of([1.0, 0.0, 0.5], deviation=0.045)
    gap = torch.tensor([-9.0, 9.0, 9.0], requires_grad=True)
    value = preference(gap, pairs)
    value.sum().backward()
    assert value.isfinite().all()
    assert gap.grad.isfinite().all()


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_scale_of_points_does_not_matter_where_labels_scale_too(factor):
    pairs = random_pairs(12)
    scaled = pairs_of(
        pairs.preference.tolist(), deviation=0.5 * factor, same=pairs.same_bucket.tolist()
    )
    gap = torch.linspace(-2, 2, 12, dtype=torch.float64)
    assert torch.allclose(preference(gap, pairs), preference(factor * gap, scaled))
    hinge = margin_ranking(gap, pairs, margin=0.2)
    assert torch.allclose(factor * hinge, margin_ranking(factor * gap, pairs, margin=0.2 * factor))


@pytest.mark.parametrize(
    "objective", [*(objective_of(objective=kind) for kind in KINDS), objective_of(labels="hard")]
)
def test_gradients_are_those_of_finite_differences(objective):
    torch.manual_seed(1)
    index = all_pairs(6)
    pairs = random_pairs(15, seed=4)
    pairs = Pairs(*index, pairs.preference, pairs.deviation, pairs.same_bucket, pairs.has_buckets)
    target = torch.randn(6, 10, dtype=torch.float64).softmax(-1)

    def loss(logits):
        return stage_loss(objective, logits.softmax(-1), target, GRADES, pairs).total

    logits = torch.randn(6, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (logits,))


def test_balance_gives_either_kind_of_pair_half_the_weight():
    pairs = pairs_of([0.5] * 4, same=[True, False, False, False])
    gap = torch.tensor([0.5, 0.0, 0.0, 2.0], dtype=torch.float64)
    values = contrastive(gap, pairs)
    expected = (values[0] + values[1:].mean()) / 2
    assert pair_loss(objective_of(objective="contrastive"), gap, pairs) == expected
    alone = pairs_of([0.5] * 4, same=[False] * 4)
    mean = pair_loss(objective_of(objective="contrastive"), gap, alone)
    assert mean == contrastive(gap, alone).mean()


def test_contrastive_leaves_out_pairs_without_buckets():
    pairs = pairs_of([0.5] * 2, same=[True, True], known=[True, False])
    gap = torch.tensor([0.5, 4.0], dtype=torch.float64)
    assert pair_loss(objective_of(objective="contrastive"), gap, pairs) == 0.25


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_pairs_costs_nothing_and_still_has_a_gradient(kind):
    logits = torch.zeros(1, 10, dtype=torch.float64, requires_grad=True)
    empty = Pairs(*all_pairs(1), *torch.zeros(2, 0), *torch.zeros(2, 0, dtype=torch.bool))
    objective = objective_of(objective=kind, emd_weight=0)
    target = torch.full((1, 10), math.nan, dtype=torch.float64)
    loss = stage_loss(objective, logits.softmax(-1), target, GRADES, empty)
    loss.total.backward()
    assert loss.total == 0
    assert torch.all(logits.grad == 0)


def test_the_loss_is_the_weighted_sum_and_unlabelled_photos_have_no_distance():
    torch.manual_seed(2)
    predicted = torch.randn(4, 10, dtype=torch.float64).softmax(-1)
    target = torch.randn(4, 10, dtype=torch.float64).softmax(-1)
    target[2] = math.nan
    base = random_pairs(6)
    index = all_pairs(4)
    pairs = Pairs(*index, base.preference, base.deviation, base.same_bucket, base.has_buckets)
    loss = stage_loss(objective_of(weight=2, emd_weight=3), predicted, target, GRADES, pairs)
    means = predicted @ GRADES
    torch.testing.assert_close(loss.gap, means[pairs.first] - means[pairs.second])
    means = predicted @ GRADES
    by_hand = preference(means[index[0]] - means[index[1]], pairs).mean()
    distance = emd(predicted[[0, 1, 3]], target[[0, 1, 3]]).mean()
    assert loss.pairs.item() == pytest.approx(by_hand.item(), rel=1e-12)
    assert loss.emd.item() == pytest.approx(distance.item(), rel=1e-12)
    assert loss.total.item() == pytest.approx((2 * by_hand + 3 * distance).item(), rel=1e-12)


def test_a_siamese_stage_hears_which_distance_is_asked_for():
    torch.manual_seed(2)
    predicted, target = (torch.randn(4, 10, dtype=torch.float64).softmax(-1) for _ in range(2))
    base, index = random_pairs(6), all_pairs(4)
    pairs = Pairs(*index, base.preference, base.deviation, base.same_bucket, base.has_buckets)
    wanted = objective_of(weight=0.0, emd_weight=1.0, loss="squared_emd")
    loss = stage_loss(wanted, predicted, target, GRADES, pairs)
    torch.testing.assert_close(loss.total, squared_emd(predicted, target).mean())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "triplet"}, "one of contrastive, margin, preference, got 'triplet'"),
        ({"distance": "cosine"}, "one of l1, l2, got 'cosine'"),
        ({"labels": "firm"}, "one of soft, hard, votes, got 'firm'"),
        ({"weight": -1}, "weight must not be negative, got -1"),
        ({"weight": 0, "emd_weight": 0}, "weight and emd_weight must not both be 0"),
        ({"objective": "margin", "margin": 0}, "margin must be above 0, got 0"),
        ({"margin": 1}, "'preference' has no margin, got 1"),
    ],
)
def test_an_impossible_objective_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        objective_of(**values)


def test_with_its_own_doubt_a_network_keeps_the_labels_spread():
    """Scores that miss the labels by 1: without doubt the least loss is at a fraction of them."""
    generator = torch.Generator().manual_seed(0)
    scores = 5.5 + 1.5 * torch.randn(300, generator=generator)
    means = scores + torch.randn(300, generator=generator)
    unknown = torch.full((300,), UNKNOWN)
    errors, nobody = torch.full((300,), 0.27), torch.full((300, 10), float("nan"))
    labels = PhotoLabels(nobody, means, errors, unknown, unknown, unknown, unknown)

    def best_share(doubt):
        pairs = label_pairs(all_pairs(300), labels, AVA_SCALE, doubt=doubt)
        gap = scores[pairs.first] - scores[pairs.second]
        shares = torch.linspace(0.1, 1.5, 29)
        losses = torch.stack([preference(share * gap, pairs).mean() for share in shares])
        return float(shares[losses.argmin()])

    assert best_share(0.0) < 0.5
    assert 0.75 < best_share(1.0) < 1.2


def test_doubt_is_for_preferences_of_rated_photos_alone():
    with pytest.raises(ConfigError, match="doubt is for 'preference'"):
        objective_of(objective="margin", doubt=1.0)
    labels = PhotoLabels(
        distributions=torch.full((3, 10), float("nan")),
        means=torch.tensor([5.0, 6.0, float("nan")]),
        standard_errors=torch.full((3,), 0.27),
        buckets=torch.full((3,), UNKNOWN),
        ladders=torch.tensor([UNKNOWN, 0, 0]),
        rungs=torch.tensor([0, 0, 1]),
        scenes=torch.arange(3),
    )
    sure, doubtful = (
        label_pairs(all_pairs(3), labels, AVA_SCALE, doubt=doubt) for doubt in (0.0, 1.0)
    )
    assert doubtful.preference.tolist() == sure.preference.tolist()
    assert doubtful.deviation[0] == pytest.approx((0.27**2 * 2 + 2) ** 0.5)
    assert doubtful.deviation[1] == sure.deviation[1]
