import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from siamese_nima.evaluation.calibration import (
    calibration_error,
    calibration_slope,
    calibration_table,
    fitted_plcc,
    logistic,
    majority_share,
    middle_accuracy,
    spread_ratio,
)


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


@settings(deadline=None, max_examples=25)
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


def test_too_few_or_constant_photos_have_no_fit():
    assert np.isnan(fitted_plcc([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]))
    assert np.isnan(fitted_plcc([1.0] * 6, np.arange(6.0)))
