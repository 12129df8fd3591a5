from siamese_nima.curation.bursts import Burst
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.web.report import make_entries

SURE_FROM_1 = PairError((0.0, 1.0, 9.0), (0.5, 0.85, 1.0), (0.5, 0.8, 1.0), pairs=100)


def photo(path, mean=None):
    error = None if mean is not None else f"{path}: broken"
    return ScoredPhoto(path=path, model="m", scale=AVA_SCALE, score=mean, error=error)


def test_entries_are_best_first_and_remember_both_orders():
    entries = make_entries([photo("p10", 5.0), photo("p9"), photo("p2", 7.0)])
    assert [e.result.path for e in entries] == ["p2", "p10", "p9"]
    assert [e.given for e in entries] == [2, 0, 1]
    assert [e.name_order for e in entries] == [0, 2, 1]
    assert [e.place and e.place.rank for e in entries] == [1, 2, None]


def test_a_burst_is_ranked_inside_and_its_best_may_be_too_close_to_call():
    a, b, c, d = photo("a", 5.0), photo("b", 5.5), photo("c", 3.0), photo("d", 9.0)
    burst = Burst((b, a, c), too_close=True)
    entries = make_entries([a, b, c, d], bursts=[burst], pair_error=SURE_FROM_1)
    places = {e.result.path: e.burst for e in entries}
    assert places["d"] is None
    assert {path: place.place for path, place in places.items() if place} == {
        "b": 1,
        "a": 2,
        "c": 3,
    }
    assert [places[path].too_close for path in "bac"] == [True, True, False]


def test_nothing_is_called_close_that_nobody_measured():
    results = [photo("a", 5.0), photo("b", 5.0)]
    entries = make_entries(results, bursts=[Burst(tuple(results))])
    assert [e.burst.too_close for e in entries] == [None, None]
    assert entries[0].place.best is None
