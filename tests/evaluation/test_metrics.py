import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from siamese_nima.errors import TableError
from siamese_nima.evaluation.metrics import (
    bootstrap_by_scene,
    krcc,
    measure_agreement,
    measure_by_subset,
    pair_accuracy,
    plcc,
    rmse,
    same_scene_pairs,
    srcc,
)

values = hnp.arrays(np.float64, 12, elements=st.integers(-50, 50).map(float))


@settings(deadline=None)
@given(values, values)
def test_correlations_are_those_of_scipy(scores: np.ndarray, labels: np.ndarray) -> None:
    assume(np.ptp(scores) > 0 and np.ptp(labels) > 0)
    assert srcc(scores, labels) == pytest.approx(stats.spearmanr(scores, labels).statistic)
    assert plcc(scores, labels) == pytest.approx(stats.pearsonr(scores, labels).statistic)
    assert krcc(scores, labels) == pytest.approx(stats.kendalltau(scores, labels).statistic)


@settings(deadline=None)
@given(values, values)
def test_ranks_do_not_care_about_a_rising_transform(scores: np.ndarray, labels: np.ndarray) -> None:
    assume(np.ptp(scores) > 0 and np.ptp(labels) > 0)
    assert srcc(np.exp(scores / 10), labels) == pytest.approx(srcc(scores, labels))


@settings(deadline=None)
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
