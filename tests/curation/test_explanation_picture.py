import numpy as np
from PIL import Image

from siamese_nima.curation.explain import (
    CELLS,
    Explanation,
    Region,
    describe_explanation,
    draw_explanation,
    window_boxes,
)
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import AVA_SCALE

SIZE = (300, 200)


def explanation(effects) -> Explanation:
    """Effects by the number of the region; the others do nothing."""
    boxes = list(window_boxes(SIZE))
    regions = [Region(box, effects.get(number, 0.0)) for number, box in enumerate(boxes)]
    cells = np.zeros((CELLS, CELLS))
    cells[0, 0], cells[9, 9] = effects.get(0, 0.0), effects.get(63, 0.0)
    return Explanation("a photo.jpg", "m-1@0", AVA_SCALE, SIZE, 6.0, tuple(regions), cells)


def test_words_say_where_and_how_much():
    first, second, third = describe_explanation(explanation({0: -0.5, 63: 0.25}))
    assert first == "Score 6.00 on a scale of 1..10."
    assert second == (
        "Hiding the region at the top left (pixels 0,0 to 90,60) lowers the score by 0.50 to 5.50. "
        "The score rests on it most."
    )
    assert "at the bottom right (pixels 210,140 to 300,200) raises the score by 0.25" in third


def test_words_never_blame_what_costs_nothing():
    words = " ".join(describe_explanation(explanation(dict.fromkeys(range(64), -0.1))))
    assert "never raises the score" in words
    assert "costs" not in words
    words = " ".join(describe_explanation(explanation(dict.fromkeys(range(64), 0.1))))
    assert "never lowers the score" in words


def test_words_say_when_the_effects_are_within_the_models_error():
    error = PairError((0.0, 1.0, 9.0), (0.5, 0.85, 1.0), (0.5, 0.8, 1.0), pairs=100)
    assert "no single region decides" in describe_explanation(explanation({0: -0.5}), error)[-1]
    assert "no single region decides" not in describe_explanation(explanation({0: -1.5}), error)[-1]


def test_the_picture_is_blue_where_the_score_rests_and_orange_where_it_is_lost():
    shown = explanation({0: -0.5, 63: 0.5})
    picture = draw_explanation(shown, Image.new("RGB", SIZE, "grey"), describe_explanation(shown))
    assert picture.width == 960 + 48
    red, _, blue = picture.getpixel((24 + 60, 24 + 60))
    assert blue > red + 40
    red, _, blue = picture.getpixel((24 + 960 - 60, 24 + 640 - 60))
    assert red > blue + 40
    assert len(set(picture.getpixel((24 + 480, 24 + 320)))) == 1


def test_a_map_without_any_effect_is_grey():
    picture = draw_explanation(explanation({}), Image.new("RGB", SIZE, "red"), ["Nothing."])
    assert len(set(picture.getpixel((300, 300)))) == 1
