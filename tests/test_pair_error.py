import json

import pytest

from siamese_nima.errors import CardError
from siamese_nima.pair_error import PairError

ERROR = PairError((0.0, 1.0, 2.0), (0.5, 0.8, 1.0), (0.5, 0.7, 0.9), 1000)


def test_between_the_gaps_it_is_straight_and_beyond_them_constant():
    assert ERROR.accuracy_at([-0.5, 0.5, 5.0]) == pytest.approx([0.65, 0.65, 1.0])
    assert ERROR.lower_at(1.5) == pytest.approx(0.8)


def test_the_lower_bound_decides_what_is_too_close():
    assert ERROR.closest_call() == pytest.approx(1.5)
    assert ERROR.too_close(1.4)
    assert not ERROR.too_close(-1.6)
    assert ERROR.closest_call(wanted=0.5) == 0
    assert ERROR.closest_call(wanted=0.95) is None


def test_it_is_a_small_json_value():
    text = json.dumps(ERROR.to_json())
    assert len(text) < 200
    assert PairError.from_json(json.loads(text)) == ERROR


def test_malformed_values_are_refused():
    with pytest.raises(CardError, match=r"malformed pair error \(KeyError: 'accuracy'\)"):
        PairError.from_json({"gaps": [0, 1]})
    with pytest.raises(CardError, match=r"must ascend, got \(0\.0, 0\.0\)"):
        PairError((0.0, 0.0), (0.5, 0.6), (0.5, 0.5), 10)
    with pytest.raises(CardError, match="at least two"):
        PairError((0.0,), (0.5,), (0.5,), 10)
