import json
from dataclasses import replace

import numpy as np
import pytest

from rated_photos import rated
from siamese_nima.evaluation.figures import measure_by_subset, measure_figures
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
