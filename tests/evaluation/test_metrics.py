import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from siamese_nima.errors import TableError
from siamese_nima.evaluation.metrics import (
    bootstrap_by_scene,
    calibration_error,
    calibration_slope,
    calibration_table,
    fitted_plcc,
    krcc,
    logistic,
    majority_share,
    measure_agreement,
    measure_by_subset,
    middle_accuracy,
    pair_accuracy,
    plcc,
    rmse,
    same_scene_pairs,
    spread_ratio,
    srcc,
)

values = hnp.arrays(np.float64, 12, elements=st.integers(-50, 50).map(float))


@given(values, values)
def test_correlations_are_those_of_scipy(scores: np.ndarray, labels: np.ndarray) -> None:
    assume(np.ptp(scores) > 0 and np.ptp(labels) > 0)
    assert srcc(scores, labels) == pytest.approx(stats.spearmanr(scores, labels).statistic)
    assert plcc(scores, labels) == pytest.approx(stats.pearsonr(scores, labels).statistic)
    assert krcc(scores, labels) == pytest.approx(stats.kendalltau(scores, labels).statistic)


@given(values, values)
def test_ranks_do_not_care_about_a_rising_transform(scores: np.ndarray, labels: np.ndarray) -> None:
    assume(np.ptp(scores) > 0 and np.ptp(labels) > 0)
    assert srcc(np.exp(scores / 10), labels) == pytest.approx(srcc(scores, labels))


@given(values)
def test_turning_the_scores_round_flips_the_sign(scores: np.ndarray) -> None:
    assume(np.ptp(scores) > 0)
    assert srcc(-scores, scores) == pytest.approx(-1)
    assert plcc(-scores, scores) == pytest.approx(-1)


def test_a_constant_prediction_has_no_correlation() -> None:
    assert np.isnan(srcc([1.0, 1, 1], [1.0, 2, 3]))
    assert np.isnan(plcc([1.0, 1, 1], [1.0, 2, 3]))


def test_rmse_by_hand() -> None:
    assert rmse([1.0, 2.0], [4.0, 6.0]) == pytest.approx(np.sqrt((9 + 16) / 2))


def test_pairs_are_of_one_scene_and_further_apart_than_the_gap() -> None:
    labels = [0.9, 0.5, 0.45, 0.1, 0.9]
    scenes = ["a", "a", "a", "b", "b"]
    assert same_scene_pairs(labels, scenes, gap=0.1).tolist() == [[0, 1], [0, 2], [4, 3]]


def test_a_tie_is_half_right() -> None:
    pairs = np.array([[0, 1], [2, 1], [3, 2]])
    assert pair_accuracy([2.0, 1.0, 1.0, 0.0], pairs) == pytest.approx((1 + 0.5 + 0) / 3)
    assert np.isnan(pair_accuracy([1.0], np.empty((0, 2), dtype=np.intp)))


def test_intervals_hold_the_figure_and_repeat_with_the_seed() -> None:
    generator = np.random.default_rng(0)
    labels = generator.random(200)
    scores = labels + generator.normal(0, 0.2, 200)
    scenes = [str(i // 2) for i in range(200)]

    def measure(index: np.ndarray) -> float:
        return srcc(scores[index], labels[index])

    interval = bootstrap_by_scene(measure, scenes, repeats=200)
    assert interval.low < interval.value < interval.high
    assert interval == bootstrap_by_scene(measure, scenes, repeats=200)
    assert interval != bootstrap_by_scene(measure, scenes, repeats=200, seed=1)
    assert str(interval) == f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def test_copies_of_a_photo_do_not_narrow_the_interval() -> None:
    generator = np.random.default_rng(1)
    labels = generator.random(40)
    scores = labels + generator.normal(0, 0.3, 40)

    def width(copies: int) -> float:
        s, y = np.repeat(scores, copies), np.repeat(labels, copies)
        scenes = [str(i // copies) for i in range(len(s))]
        interval = bootstrap_by_scene(lambda i: plcc(s[i], y[i]), scenes, repeats=300)
        return interval.high - interval.low

    assert width(10) == pytest.approx(width(1), rel=0.3)


def test_agreement_is_reported_for_all_and_per_subset() -> None:
    scores = [0.1, 0.4, 0.8, 0.9, 0.3, 0.2]
    labels = [0.2, 0.4, 0.6, 0.9, 0.1, 0.3]
    scenes = ["a", "a", "b", "b", "c", "d"]
    report = measure_by_subset(scores, labels, scenes, ["x", "x", "x", "x", "y", "y"], repeats=20)
    assert list(report) == ["all", "x", "y"]
    assert report["all"].photos == 6
    assert report["all"].scenes == 4
    assert report["x"].pairs == 2
    assert report["x"].pair_accuracy is not None
    assert report["x"].pair_accuracy.value == 1
    assert report["y"].pair_accuracy is None
    assert report["y"].srcc.value == pytest.approx(-1)


def test_a_report_is_plain_json() -> None:
    report = measure_agreement([0.1, 0.5, 0.7], [0.2, 0.4, 0.9], ["a", "a", "b"], repeats=10)
    content = json.loads(json.dumps(report.to_json()))
    assert content["photos"] == 3
    assert content["srcc"]["value"] == 1.0


def test_scores_that_do_not_fit_the_labels_are_refused() -> None:
    with pytest.raises(TableError, match=r"got \(2,\) and \(3,\)"):
        srcc([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(TableError, match="not finite"):
        plcc([1.0, float("nan")], [1.0, 2.0])
    with pytest.raises(TableError, match="at least one photo, got none"):
        bootstrap_by_scene(lambda _: 0.0, [])


def noisy(noise, seed=0, count=400):
    generator = np.random.default_rng(seed)
    scores = generator.normal(5, 1.2, count)
    return scores, scores + noise * generator.normal(size=count)


def test_the_table_by_hand():
    table = calibration_table([3.0, 1.0, 2.0, 4.0], [5.0, 1.0, 2.0, 6.0], rows=2)
    assert [(row.photos, row.score, row.label) for row in table] == [(2, 1.5, 1.5), (2, 3.5, 5.5)]
    assert table[1].label_error == pytest.approx(stats.sem([5.0, 6.0]))
    assert calibration_error(table) == 1.0


def test_calibrated_scores_have_slope_1_and_squeezed_ones_more():
    scores, labels = noisy(0.5)
    assert calibration_slope(scores, labels) == pytest.approx(
        stats.linregress(scores, labels).slope
    )
    squeezed = 5 + 0.5 * (scores - 5)
    assert calibration_slope(squeezed, labels) == pytest.approx(
        2 * calibration_slope(scores, labels)
    )
    assert spread_ratio(squeezed, labels) == pytest.approx(0.5 * spread_ratio(scores, labels))


def test_constant_scores_and_labels_have_no_slope_and_no_ratio():
    assert np.isnan(calibration_slope([2.0, 2.0], [1.0, 2.0]))
    assert np.isnan(spread_ratio([1.0, 2.0], [2.0, 2.0]))


def test_the_middle_separates_good_from_bad():
    assert middle_accuracy([5.5, 5.6, 1.0, 9.0], [4.0, 7.0, 7.0, 8.0], 5.5) == 0.75
    assert majority_share([4.0, 7.0, 7.0, 8.0], 5.5) == 0.75
    assert majority_share([4.0, 5.5, 5.0, 8.0], 5.5) == 0.75


@settings(max_examples=8)
@given(st.integers(0, 1000), st.floats(0.1, 2.0))
def test_the_fit_never_lowers_a_rising_correlation(seed, noise):
    scores, labels = noisy(noise, seed, 80)
    raw = stats.pearsonr(scores, labels).statistic
    if raw > 0.3:
        assert fitted_plcc(scores, labels) >= raw - 0.005


def test_a_bent_scale_is_straightened():
    scores, _ = noisy(0)
    labels = logistic(scores, np.array([9.0, 2.0, 5.0, 0.4]))
    assert stats.pearsonr(scores, labels).statistic < 0.97
    assert fitted_plcc(scores, labels) == pytest.approx(1, abs=1e-4)


def test_the_fit_agrees_with_scipys_curve_fit():
    scores, labels = noisy(1.0)

    def curve(x, top, bottom, centre, width):
        return logistic(x, np.array([top, bottom, centre, width]))

    start = [labels.max(), labels.min(), scores.mean(), scores.std()]
    found, _ = optimize.curve_fit(curve, scores, labels, start, maxfev=20000)
    wanted = stats.pearsonr(curve(scores, *found), labels).statistic
    assert fitted_plcc(scores, labels) == pytest.approx(wanted, abs=1e-4)


def test_scores_that_fall_with_the_labels_are_not_straightened_into_agreement():
    scores, labels = noisy(0.5)
    raw = stats.pearsonr(-scores, labels).statistic
    assert fitted_plcc(-scores, labels) == pytest.approx(raw, abs=0.1)
    assert raw < -0.9


def test_too_few_or_constant_photos_have_no_fit():
    assert np.isnan(fitted_plcc([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]))
    assert np.isnan(fitted_plcc([1.0] * 6, np.arange(6.0)))
