import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from siamese_nima.errors import ConfigError
from siamese_nima.taste.pickers import Picker, brightness, colourfulness, opinions


def test_a_picker_chooses_as_often_as_thurstone_says() -> None:
    picker = Picker(np.array([5.0, 5.6]), noise=0.5)
    answers = picker.answers(np.zeros(40_000, int), np.ones(40_000, int), np.random.default_rng(0))
    assert set(answers) == {0.0, 1.0}
    assert answers.mean() == pytest.approx(norm.cdf(-0.6 / (np.sqrt(2) * 0.5)), abs=0.01)


def test_what_seems_nearly_equal_is_a_tie() -> None:
    picker = Picker(np.array([5.0, 5.1, 9.0]), noise=0.01, tie=0.5)
    assert picker.answers([0, 0, 2], [1, 2, 0], np.random.default_rng(0)).tolist() == [0.5, 0, 1]


def test_a_taste_keeps_mean_and_spread_and_has_its_share_of_the_attribute() -> None:
    draw = np.random.default_rng(0)
    labels, attribute = draw.normal(6, 1.5, 4000), draw.normal(100, 30, 4000)
    found = opinions(labels, 0.0, draw, attribute=attribute, weight=0.36)
    assert (found.mean(), found.std()) == pytest.approx((labels.mean(), labels.std()), rel=0.03)
    assert np.corrcoef(found, attribute)[0, 1] == pytest.approx(0.6, abs=0.03)


def test_labels_are_drawn_with_their_errors() -> None:
    found = opinions(np.full(4000, 5.0), 0.3, np.random.default_rng(0))
    assert (found.mean(), found.std()) == pytest.approx((5.0, 0.3), abs=0.02)


def test_impossible_people_are_refused() -> None:
    with pytest.raises(ConfigError, match="got 0 and 0"):
        Picker(np.zeros(2), noise=0)
    with pytest.raises(ConfigError, match=r"share of 0 to 1 of an attribute, got 0\.5"):
        opinions([1.0, 2.0], 0.0, np.random.default_rng(0), weight=0.5)
    with pytest.raises(ConfigError, match="all are alike"):
        opinions([1.0, 2.0], 0.0, np.random.default_rng(0), attribute=[3, 3], weight=0.5)


def test_greys_have_no_colour_and_a_picture_of_two_colours_has_much() -> None:
    grey = Image.new("RGB", (40, 30), (90, 90, 90))
    gaudy = Image.new("RGB", (40, 30), (255, 0, 0))
    gaudy.paste((0, 0, 255), (0, 0, 20, 30))
    assert colourfulness(grey) == 0
    # By hand: red less green is 255 and 0, yellow less blue 127.5 and -255.
    assert colourfulness(gaudy) == pytest.approx(
        np.hypot(127.5, 191.25) + 0.3 * np.hypot(127.5, -63.75)
    )


def test_brightness_is_the_mean_luma() -> None:
    assert brightness(Image.new("RGB", (8, 8), (200, 100, 50))) == pytest.approx(124.2)
    assert brightness(Image.new("L", (900, 600), 77)) == pytest.approx(77)
