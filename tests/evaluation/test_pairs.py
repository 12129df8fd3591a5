import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import norm

from siamese_nima.errors import TableError
from siamese_nima.evaluation.pairs import (
    accuracy_by_gap,
    measure_pair_error,
    measure_scene_pair_error,
    pair_error_of_answers,
    right_order,
    sample_pairs,
    top_precision,
)
from siamese_nima.ratings import RatingScale

numbers = st.lists(st.integers(0, 9), min_size=3, max_size=12)


def own_scene(values):
    return [f"s{i}" for i in range(len(values))]


def test_accuracy_in_total_and_by_gap_by_hand():
    # Labels 0, 1, 3; the scores have the first two the wrong way round.
    found = accuracy_by_gap([2.0, 1.0, 4.0], [0.0, 1.0, 3.0], own_scene("abc"), [0, 1, 3])
    assert found.pairs == 3
    assert found.total.value == pytest.approx(2 / 3)
    assert [(row.low, row.high, row.pairs, row.accuracy.value) for row in found.by_gap] == [
        (0.0, 1.0, 1, 0.0),
        (1.0, 3.0, 2, 1.0),
    ]


@given(numbers, st.randoms())
def test_total_accuracy_is_kendalls_concordance(labels, random):
    scores = [float(random.randint(0, 9)) for _ in labels]
    found = accuracy_by_gap(scores, labels, own_scene(labels), [0, 20], repeats=2)
    if found.pairs == 0:
        return
    pairs = [(a, b) for a in range(len(labels)) for b in range(a) if labels[a] != labels[b]]
    signs = [np.sign((scores[a] - scores[b]) * (labels[a] - labels[b])) for a, b in pairs]
    assert found.total.value == pytest.approx((1 + np.mean(signs)) / 2)
    if len(set(labels)) == len(labels) and len(set(scores)) == len(scores):
        tau = stats.kendalltau(scores, labels).statistic
        assert found.total.value == pytest.approx((1 + tau) / 2)


def test_accuracy_of_normal_noise_is_greiners_relation():
    generator = np.random.default_rng(0)
    scores, noise = generator.normal(size=(2, 4000))
    labels = 0.8 * scores + 0.6 * noise
    found = accuracy_by_gap(scores, labels, own_scene(labels), [0, 20], repeats=50)
    wanted = 0.5 + np.arcsin(0.8) / np.pi
    assert found.total.low < wanted < found.total.high
    assert found.total.high - found.total.low < 0.03


def test_intervals_are_wider_when_photos_share_scenes():
    generator = np.random.default_rng(1)
    labels = generator.normal(size=60)
    scores = labels + 0.5 * generator.normal(size=60)
    copies = np.repeat(np.arange(60), 5)
    alone = accuracy_by_gap(scores[copies], labels[copies], own_scene(copies), [0, 9]).total
    grouped = accuracy_by_gap(scores[copies], labels[copies], copies.astype(str), [0, 9]).total
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_all_pairs_are_taken_or_as_many_as_asked_for():
    assert sample_pairs(4).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    drawn = sample_pairs(1000, 500)
    assert drawn.shape == (500, 2)
    assert np.all(drawn[:, 0] != drawn[:, 1])
    assert drawn.min() >= 0
    assert drawn.max() < 1000


def test_a_tie_of_scores_is_half_right():
    order = right_order(np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0, 2.0]), sample_pairs(3))
    assert order.tolist() == [0.5, 0.0, 0.0]


def test_top_precision_by_hand():
    labels = np.arange(10.0)
    assert top_precision(labels, labels, share=0.2) == 1
    assert top_precision(-labels, labels, share=0.2) == 0
    swapped = labels.copy()
    swapped[[8, 0]] = swapped[[0, 8]]
    assert top_precision(swapped, labels, share=0.2) == 0.5
    with pytest.raises(TableError, match="got 0"):
        top_precision(labels, labels, share=0)


def test_edges_must_ascend():
    with pytest.raises(TableError, match=r"must ascend, at least two, got \[1.0\]"):
        accuracy_by_gap([1.0, 2.0], [1.0, 2.0], ["a", "b"], [1.0])


def measured(noise, count=1500, seed=0):
    """Labels are the scores and normal noise, so P(right order | gap) = Phi(gap / (noise √2))."""
    generator = np.random.default_rng(seed)
    scores = generator.uniform(1, 10, count)
    labels = scores + noise * generator.normal(size=count)
    return measure_pair_error(scores, labels, [str(i) for i in range(count)], repeats=60)


def test_the_measured_probability_is_that_of_the_noise():
    error = measured(1.0)
    gaps = np.array([0.3, 0.7, 1.5, 3.0])
    assert error.accuracy_at(gaps) == pytest.approx(stats.norm.cdf(gaps / 2**0.5), abs=0.03)


def test_probabilities_rise_from_one_half_and_bounds_lie_below():
    error = measured(2.0)
    assert error.accuracy_at(0.0) == 0.5
    assert np.all(np.diff(error.accuracy) >= 0)
    assert np.all(np.array(error.lower) <= np.array(error.accuracy))
    assert error.accuracy_at(-1.2) == error.accuracy_at(1.2)


def test_a_small_gap_is_too_close_and_a_large_one_is_not():
    error = measured(1.0)
    assert error.too_close(0.05)
    assert not error.too_close(4.0)
    assert error.closest_call() == pytest.approx(2**0.5 * stats.norm.ppf(0.8), abs=0.35)
    assert error.closest_call(wanted=0.95) > error.closest_call(wanted=0.6)
    closest = error.closest_call()
    assert error.too_close(closest - 0.01)
    assert not error.too_close(closest + 0.01)
    assert error.closest_call(wanted=0.5) == 0


def test_a_model_that_knows_nothing_calls_nothing():
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(size=(2, 400))
    error = measure_pair_error(scores, labels, [str(i) for i in range(400)], repeats=30)
    assert error.too_close(5.0)
    assert error.closest_call() is None


def test_fewer_photos_give_a_lower_bound():
    few, many = measured(1.0, count=80), measured(1.0, count=2000)
    assert few.accuracy_at(1.0) - few.lower_at(1.0) > many.accuracy_at(1.0) - many.lower_at(1.0)


def test_too_few_pairs_and_equal_scores_are_refused():
    with pytest.raises(TableError, match="100 pairs or more, got 3"):
        measure_pair_error([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], ["a", "b", "c"])
    with pytest.raises(TableError, match="needs scores that differ, all 30 are 5"):
        measure_pair_error([5.0] * 30, list(range(30)), [str(i) for i in range(30)])


def test_pairs_of_different_groups_do_not_count():
    """Between two groups order is certain, within each the scores are noise."""
    generator = np.random.default_rng(0)
    groups = ["low"] * 300 + ["high"] * 300
    labels = generator.uniform(0, 1, 600) + 5 * (np.array(groups) == "high")
    scores = generator.uniform(0, 1, 600) + 5 * (np.array(groups) == "high")
    scenes = [str(i) for i in range(600)]
    everywhere = measure_pair_error(scores, labels, scenes, repeats=20)
    within = measure_pair_error(scores, labels, scenes, groups=groups, repeats=20)
    assert everywhere.accuracy[-1] == 1
    assert max(within.gaps) < 1
    assert within.accuracy[-1] == pytest.approx(0.5, abs=0.05)


def test_answers_teach_how_sure_an_order_is() -> None:
    draw = np.random.default_rng(0)
    gaps = draw.normal(0, 2, 4000)
    right = draw.random(4000) < 1 / (1 + np.exp(-np.abs(gaps)))
    error = pair_error_of_answers(gaps, right)
    assert error.pairs == 4000
    at = np.array([0.5, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(error.accuracy_at(at), 1 / (1 + np.exp(-at)), atol=0.05)
    assert np.all(error.lower_at(at) <= error.accuracy_at(at))


def test_few_answers_have_few_gaps_and_too_few_none() -> None:
    draw = np.random.default_rng(0)
    gaps = draw.normal(0, 2, 120)
    error = pair_error_of_answers(gaps, np.ones(120))
    assert len(error.gaps) <= 5
    with pytest.raises(TableError, match="100 pairs or more, got 99"):
        pair_error_of_answers(gaps[:99], np.ones(99))
    with pytest.raises(TableError, match="gaps that differ, all are 1"):
        pair_error_of_answers(np.ones(120), np.ones(120))


def scene_pairs(count=900, seed=0, noise=0.3, alike=0.3, apart=0.9, slope=1.2):
    """Pairs of 150 scenes: gaps by the model, true preferences, label gaps with raters' noise."""
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(0.8, count) * generator.choice([-1, 1], count)
    sizes = np.abs(gaps)
    spread = alike + (apart - alike) * sizes / (1 + sizes)
    preferred = slope * gaps + spread * generator.normal(size=count)
    labels = preferred + noise * generator.normal(size=count)
    scenes = [f"s{n % 150}" for n in range(count)]
    return gaps, preferred, labels, scenes


def test_the_error_in_a_scene_is_that_of_the_model_without_the_raters_noise():
    gaps, _, labels, scenes = scene_pairs(4000)
    error = measure_scene_pair_error(gaps, labels, scenes, noise=0.3, repeats=20)
    for gap in (0.1, 0.3, 0.5, 1.0, 2.0):
        spread = 0.3 + 0.6 * gap / (1 + gap)
        assert error.accuracy_at(gap) == pytest.approx(norm.cdf(1.2 * gap / spread), abs=0.03)
    # With the raters' noise taken for errors of the model it would be surer of nothing.
    taken = measure_scene_pair_error(gaps, labels, scenes, noise=0, repeats=2)
    assert taken.accuracy_at(0.3) < error.accuracy_at(0.3) - 0.03


def test_the_lower_bound_in_a_scene_holds_in_nearly_all_cases():
    truth = norm.cdf(1.2 * 0.5 / (0.3 + 0.6 * 0.5 / 1.5))
    bounds = []
    for seed in range(12):
        gaps, _, labels, scenes = scene_pairs(300, seed)
        error = measure_scene_pair_error(gaps, labels, scenes, noise=0.3, repeats=40)
        bounds.append(float(error.lower_at(0.5)))
    assert sum(bound <= truth for bound in bounds) >= 10


def test_the_error_in_a_scene_is_the_same_on_every_scale():
    gaps, _, labels, scenes = scene_pairs(400)
    ten = measure_scene_pair_error(gaps, labels, scenes, noise=0.3, repeats=5)
    five = measure_scene_pair_error(
        gaps * 4 / 9, labels * 4 / 9, scenes, noise=0.3 * 4 / 9, scale=RatingScale(1, 5), repeats=5
    )
    assert five.accuracy == pytest.approx(ten.accuracy, abs=1e-4)
    assert five.gaps == pytest.approx(np.array(ten.gaps) * 4 / 9)


def test_the_sign_of_a_pair_does_not_matter():
    gaps, _, labels, scenes = scene_pairs(400)
    turn = np.random.default_rng(5).choice([-1, 1], 400)
    one = measure_scene_pair_error(gaps, labels, scenes, noise=0.3, repeats=5)
    other = measure_scene_pair_error(gaps * turn, labels * turn, scenes, noise=0.3, repeats=5)
    assert one == other


def test_scores_that_say_nothing_are_at_no_gap_sure():
    gaps, _, labels, scenes = scene_pairs(400)
    labels = np.random.default_rng(9).permutation(labels)
    error = measure_scene_pair_error(gaps, labels, scenes, noise=0.3, repeats=40)
    assert error.too_close(0.5)
    with pytest.raises(TableError, match="100 pairs or more, got 99"):
        measure_scene_pair_error(gaps[:99], labels[:99], scenes[:99], noise=0.3)
    with pytest.raises(TableError, match="gaps that differ"):
        measure_scene_pair_error(np.zeros(400), labels, scenes, noise=0.3)
