import json
from dataclasses import replace

import numpy as np
import pytest

from rated_photos import rated
from siamese_nima.errors import TableError
from siamese_nima.evaluation.figures import find_threshold, measure_by_subset, measure_figures
from siamese_nima.evaluation.metrics import srcc
from siamese_nima.ratings import emd


def test_perfect_scores_reach_every_bound():
    photos = rated(100, noise=0, votes=True)
    figures = measure_figures(photos, repeats=20)
    assert figures.agreement.srcc.value == pytest.approx(1)
    assert figures.pairs.total.value == 1
    assert figures.agreement.pair_accuracy.value == 1
    assert figures.top_precision == figures.middle_accuracy == 1
    assert figures.emd_r1 == figures.emd_r2 == 0
    assert figures.spread_ratio == pytest.approx(1)
    assert figures.calibration_error == pytest.approx(0)


def test_a_constant_prediction_has_the_emd_of_a_constant():
    photos = rated(50, votes=True)
    middle = np.tile(photos.votes.mean(axis=0), (50, 1))
    figures = measure_figures(replace(photos, distributions=middle), repeats=5)
    assert figures.emd_r1 == pytest.approx(figures.constant_emd_r1)
    assert figures.emd_r2 == pytest.approx(emd(middle, photos.votes, r=2).mean())


def test_without_votes_there_is_no_emd():
    assert measure_figures(rated(30), repeats=5).emd_r1 is None


def test_subsets_are_measured_alone():
    photos = rated(90, subsets=2)
    found = measure_by_subset(photos, repeats=5)
    part = photos.by_subset()["part1"]
    assert list(found) == ["all", "part0", "part1"]
    assert found["part1"].agreement.srcc.value == srcc(part.scores, part.labels)


def test_figures_are_json_even_where_they_are_unknown():
    figures = measure_figures(replace(rated(4), scores=np.full(4, 5.0)), repeats=5)
    text = json.dumps(figures.to_json(), allow_nan=False)
    assert json.loads(text)["agreement"]["srcc"]["value"] is None


def test_a_model_that_ranks_photos_is_not_warned_of():
    assert measure_figures(rated(), repeats=50).verdict is None


def test_a_collapsed_head_is_judged_so():
    collapsed = replace(rated(), scores=np.full(200, 10.0))
    assert (
        "same score: the model tells none apart" in measure_figures(collapsed, repeats=20).verdict
    )


def test_a_model_worse_than_chance_is_judged_so():
    turned = replace(rated(), scores=11 - rated().scores)
    assert measure_figures(turned, repeats=50).verdict.startswith("Worse than chance")


def test_a_model_that_knows_nothing_is_judged_so():
    guessed = replace(rated(), scores=np.random.default_rng(5).uniform(1, 10, 200))
    assert measure_figures(guessed, repeats=100).verdict.startswith("No better than chance")


def test_equal_ratings_judge_nothing():
    same = replace(rated(), labels=np.full(200, 4.0))
    assert "nothing can be judged" in measure_figures(same, repeats=20).verdict


@pytest.mark.parametrize("wanted", [0.6, 0.8, 0.9])
def test_photos_above_the_cut_are_good_as_often_as_wanted(wanted):
    sample, others = rated(400, seed=1), rated(4000, seed=7)
    found = find_threshold(sample.scores, sample.labels, 6.0, wanted)
    assert found.lower >= wanted
    above = others.scores >= found.score
    assert np.mean(others.labels[above] >= 6) >= wanted - 0.02
    kept = sample.scores >= found.score
    assert found.kept == kept.sum()
    assert found.precision == pytest.approx(np.mean(sample.labels[kept] >= 6))
    assert found.recall == pytest.approx(kept[sample.labels >= 6].mean())


def test_a_lower_precision_keeps_more_photos():
    kept = [find_threshold(rated().scores, rated().labels, 6, w).kept for w in (0.95, 0.8, 0.6)]
    assert kept == sorted(kept)


def test_a_cut_that_nothing_proves_is_not_offered():
    scores, labels = np.arange(10.0), np.arange(10.0)
    found = find_threshold(scores, labels, 8, 0.9)
    assert found.score is None
    assert "No cut-off is sure to leave 90% good photos" in str(found)
    with pytest.raises(TableError, match="none of the 10 photos are good"):
        find_threshold(scores, labels, 11, 0.9)
    with pytest.raises(TableError, match="above 0 and below 1"):
        find_threshold(scores, labels, 5, 1)
