from dataclasses import replace

import numpy as np
import pytest

from rated_photos import rated
from siamese_nima.errors import TableError
from siamese_nima.evaluation.comparison import compare_models
from siamese_nima.ratings import RatingScale


def with_noise(noise, seed):
    scores = rated().labels + noise * np.random.default_rng(seed).normal(size=200)
    return replace(rated(), scores=scores)


def test_a_model_does_not_differ_from_itself():
    for difference in compare_models(rated(), rated(), repeats=50).values():
        assert difference.difference.value == 0
        assert difference.chance == 1
        assert difference.winner == "neither"


def test_a_much_better_model_wins_on_every_figure():
    found = compare_models(with_noise(3.0, 1), with_noise(0.3, 2), repeats=200)
    assert set(found) == {"srcc", "plcc", "rmse", "same_scene_pairs"}
    assert {difference.winner for difference in found.values()} == {"second"}
    assert all(difference.chance < 0.01 for difference in found.values())
    assert found["rmse"].difference.value < 0


def test_exchanging_the_models_turns_the_sign():
    one, other = with_noise(1.0, 1), with_noise(1.2, 2)
    there, back = compare_models(one, other, repeats=50), compare_models(other, one, repeats=50)
    for name in there:
        assert there[name].difference.value == pytest.approx(-back[name].difference.value)
        assert there[name].chance == pytest.approx(back[name].chance)


def test_equally_good_models_rarely_differ():
    found = [
        compare_models(with_noise(1.0, 2 * seed), with_noise(1.0, 2 * seed + 1), repeats=100)
        for seed in range(12)
    ]
    assert sum(differences["srcc"].winner != "neither" for differences in found) <= 3


def test_other_photos_or_scales_are_refused():
    with pytest.raises(TableError, match=r"got 200 photos on 1\.\.10 and 199 on 1\.\.10"):
        compare_models(rated(), rated().select(np.arange(199)))
    with pytest.raises(TableError, match=r"200 on 1\.\.5"):
        compare_models(rated(), replace(rated(), scale=RatingScale(1, 5)))


def test_a_model_that_ranks_beats_one_that_gives_every_photo_the_same():
    collapsed = replace(rated(), scores=np.full(200, 10.0))
    found = compare_models(collapsed, with_noise(0.5, 1), repeats=200)
    assert {difference.winner for difference in found.values()} == {"second"}
    assert found["srcc"].first == 0


def test_a_model_worse_than_chance_loses_against_a_collapsed_one():
    collapsed = replace(rated(), scores=np.full(200, 5.5))
    turned = replace(rated(), scores=11 - rated().scores)
    found = compare_models(turned, collapsed, repeats=200)
    assert found["srcc"].winner == "second"
