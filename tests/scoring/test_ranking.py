"""Best first, how sure the order is, nothing lost, nothing overwritten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.ranking import (
    RankPlace,
    describe_order,
    describe_ranking,
    one_per_shot,
    rank_photos,
    rank_places,
)
from siamese_nima.scoring.results import ScoredPhoto


def result(path: str, mean: float | None) -> ScoredPhoto:
    error = f"{path}: broken" if mean is None else None
    return ScoredPhoto(path=path, model="m", scale=AVA_SCALE, score=mean, error=error)


@given(st.lists(st.one_of(st.none(), st.floats(1, 10))))
def test_every_photo_comes_back_best_first_and_failures_last(means):
    results = [result(f"{i}.jpg", mean) for i, mean in enumerate(means)]
    ranked = rank_photos(results)
    assert sorted(r.path for r in ranked) == sorted(r.path for r in results)
    scores = [r.mean for r in ranked if r.mean is not None]
    assert scores == sorted(scores, reverse=True)
    assert all(r.mean is None for r in ranked[len(scores) :])


def test_equal_scores_are_ordered_by_path():
    assert [r.path for r in rank_photos([result("b", 5), result("a", 5)])] == ["a", "b"]


# Sure from a gap of 1 on, with 80 % right pairs at least.
SURE_FROM_1 = PairError((0.0, 1.0, 2.0), (0.5, 0.9, 0.96), (0.5, 0.8, 0.92), 500)
NEVER_SURE = PairError((0.0, 2.0), (0.5, 0.7), (0.5, 0.6), 500)


def ranking(*means: float | None) -> list[ScoredPhoto]:
    return rank_photos(result(f"{i}.jpg", mean) for i, mean in enumerate(means))


def test_places_span_the_photos_that_are_too_close():
    places = rank_places(ranking(8, 7.5, 6.75, 6.5, 2, None), SURE_FROM_1)
    spans = [(place.rank, place.best, place.worst) for place in places]
    assert spans == [(1, 1, 2), (2, 1, 3), (3, 2, 4), (4, 3, 4), (5, 5, 5)]
    chances = [place.over_next for place in places[:4]]
    assert chances == pytest.approx([0.7, 0.8, 0.6, 0.96])
    assert places[-1].over_next is None


@given(st.lists(st.floats(1, 10), max_size=30))
def test_a_place_agrees_with_counting_pairs(means):
    ranked = ranking(*means)
    for place, own in zip(rank_places(ranked, SURE_FROM_1), ranked, strict=True):
        surely_better = sum(other.mean >= own.mean + 1.0 for other in ranked)
        surely_worse = sum(other.mean <= own.mean - 1.0 for other in ranked)
        assert (place.best, place.worst) == (1 + surely_better, len(ranked) - surely_worse)
        assert place.best <= place.rank <= place.worst


def test_without_a_measured_pair_error_nothing_is_claimed():
    assert rank_places(ranking(5, 4), None) == [RankPlace(rank=1), RankPlace(rank=2)]
    assert "how sure that is, is unknown" in describe_ranking(ranking(5, 4), None)
    assert "is unknown: nobody has measured" in describe_ranking(ranking(5, 4, 3), None)


def test_a_model_that_is_never_sure_leaves_every_place_open():
    places = rank_places(ranking(9, 5, 1), NEVER_SURE)
    assert [(place.best, place.worst) for place in places] == [(1, 3)] * 3
    assert "no gap of scores makes an order sure" in describe_ranking(ranking(9, 5, 1), NEVER_SURE)


def test_two_photos_are_compared_in_words():
    close, clear = ranking(5, 4.5), ranking(7, 5)
    assert describe_ranking(close, SURE_FROM_1) == (
        "Too close to call: 0.jpg (5.00) and 1.jpg (4.50); of 100 pairs with such a gap of "
        "scores, people put 70 in this order (at least 65, with 95 % confidence)."
    )
    assert describe_ranking(clear, SURE_FROM_1) == (
        "0.jpg (7.00) is better than 1.jpg (5.00); of 100 pairs with such a gap of scores, "
        "people put 96 in this order (at least 92, with 95 % confidence)."
    )
    with pytest.raises(ConfigError, match="only photos with scores"):
        describe_order(*ranking(5, None), SURE_FROM_1)


def test_a_ranking_says_how_many_may_be_the_best():
    assert "any of the first 2 may be the best" in describe_ranking(ranking(8, 7.5, 6), SURE_FROM_1)
    assert describe_ranking(ranking(8, 6, 5), SURE_FROM_1).startswith("The first is the best (a ga")
    assert describe_ranking(ranking(8, None), SURE_FROM_1) == ""


def test_of_a_shot_the_first_file_with_a_score_counts():
    results = [result("a.cr2", 5), result("b.jpg", 4), result("a.jpg", 6), result("b.cr2", None)]
    assert [r.path for r in one_per_shot(results)] == ["a.jpg", "b.jpg"]
    failed = [result("a.jpg", None), result("a.heic", 3)]
    assert [r.path for r in one_per_shot(failed)] == ["a.heic"]
