"""The order within one scene: score and detail in units of their error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from siamese_nima.errors import CardError
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.detail import Detail
from siamese_nima.scoring.fine_order import FineOrder, fine_order, terms
from siamese_nima.scoring.model import read_card

ORDER = FineOrder(
    model="quality", version="3", score=1.0, blur=3.0, noise=0.5, compression=2.0, pairs=10
)


def detail(blur: float | None = 1.0, noise: float = 1.0, compression: float = 0.1) -> Detail:
    return Detail(blur, blur, 0.0, noise, compression, 0.2, (4000, 3000), ())


def test_each_flaw_lowers_the_value():
    best, *worse = ORDER.values(
        [6.0, 5.0, 6.0, 6.0, 6.0],
        [detail(), detail(), detail(blur=2.0), detail(noise=8.0), detail(compression=0.6)],
    )
    assert all(value < best for value in worse)


def test_what_a_little_blur_takes_of_grain_and_compression_is_no_merit():
    order = FineOrder(
        model="quality", version="3", score=1.3, blur=2.0, noise=5.0, compression=9.0, pairs=10
    )
    # As a camera at its base sensitivity was read, and the same frame blurred by half a pixel.
    sharp, blurred = order.values([6.9, 6.9], [detail(0.68, 2.1, 0.11), detail(0.82, 1.2, 0.07)])
    assert sharp > blurred


def test_a_clean_photo_still_wins_over_a_noisy_one_that_is_hardly_sharper():
    order = FineOrder(
        model="quality", version="3", score=1.3, blur=2.0, noise=5.0, compression=9.0, pairs=10
    )
    noisy, clean = order.values([6.0, 6.0], [detail(0.7, 9.0), detail(0.8, 1.0)])
    assert clean > noisy
    spoilt, sound = order.values([6.0, 6.0], [detail(0.7, 1.0, 0.6), detail(0.8, 1.0, 0.1)])
    assert sound > spoilt


readings = st.tuples(st.floats(0.3, 9.0), st.floats(0.0, 30.0), st.floats(0.0, 0.9))


@given(st.lists(readings, min_size=1, max_size=5))
def test_blur_takes_nothing_of_the_sharpest_and_never_more_than_its_reading(found):
    sharpest = min(found, key=lambda reading: reading[0])
    kept = terms(found)
    alone = [terms([reading])[0] for reading in found]
    for (_, noise, compression), (_, own_noise, own_compression) in zip(kept, alone, strict=True):
        assert noise >= own_noise
        assert compression >= own_compression
        assert noise <= max(own_noise, terms([sharpest])[0][1])
    assert kept[found.index(sharpest)] == terms([sharpest])[0]


def test_blur_counts_for_none_where_one_has_nothing_to_judge_it_by():
    first, second = ORDER.values([6.0, 6.0], [detail(blur=None), detail(blur=9.0)])
    assert first == second


@given(st.floats(-6, 6))
def test_the_chance_is_thurstones(difference):
    assert FineOrder.chance(difference) == pytest.approx(norm.cdf(difference))
    assert FineOrder.chance(difference) + FineOrder.chance(-difference) == pytest.approx(1)


def test_what_is_nearly_equal_is_too_close_to_call():
    assert ORDER.too_close(0.8)
    assert not ORDER.too_close(-0.9)


def test_it_comes_back_from_its_text():
    assert FineOrder.from_json(ORDER.to_json()) == ORDER


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"model": "quality"}), '{"score": "much"}'])
def test_a_malformed_text_is_refused(text):
    with pytest.raises(CardError, match="malformed fine order"):
        FineOrder.from_json(text)


def test_the_embedded_order_is_for_the_embedded_model_and_its_version_alone():
    version = read_card(find_model("quality")).version
    order = fine_order("quality", version)
    assert order is not None
    assert min(order.score, order.blur) > 0
    assert fine_order("origin", version) is None
    assert fine_order("quality", version + ".1") is None
