"""Augmentation by Keras' names: what is done, and what is refused and why."""

import numpy as np
import pytest

from siamese_nima.errors import ConfigError
from siamese_nima.training.augmentation import Augmentation, augmentation_from_keras

VIEWS = np.random.default_rng(0).integers(0, 255, (2, 6, 9, 3), dtype=np.uint8)


class Drawn:
    """A generator whose draws are chosen."""

    def __init__(self, *, shift=0.0, chance=0.9):
        self.shift, self.chance = shift, chance

    def uniform(self, low, high):
        return self.shift * (high - low) / 2

    def random(self):
        return self.chance


def test_nothing_asked_for_changes_nothing():
    generator = np.random.default_rng(1)
    assert np.array_equal(augmentation_from_keras(None).apply(VIEWS, generator), VIEWS)


def test_a_flip_mirrors_all_views_of_a_photo_in_half_of_the_draws():
    augmentation = augmentation_from_keras({"horizontal_flip": True})
    generator = np.random.default_rng(1)
    mirrored = 0
    for _ in range(200):
        found = augmentation.apply(VIEWS, generator)
        turned = np.array_equal(found, VIEWS[:, :, ::-1])
        assert turned or np.array_equal(found, VIEWS)
        mirrored += turned
    assert 70 < mirrored < 130


@pytest.mark.parametrize(
    ("fill_mode", "column"), [("nearest", 0), ("reflect", 1), ("wrap", 7), ("constant", None)]
)
def test_a_shift_moves_whole_pixels_and_fills_the_edge(fill_mode, column):
    augmentation = Augmentation(width_shift_range=2, fill_mode=fill_mode, cval=7)
    found = augmentation.apply(VIEWS, Drawn(shift=1))
    assert np.array_equal(found[:, :, 2:], VIEWS[:, :, :-2])
    expected = np.full_like(VIEWS[:, :, 0], 7) if column is None else VIEWS[:, :, column]
    assert np.array_equal(found[:, :, 0], expected)
    left = augmentation.apply(VIEWS, Drawn(shift=-1))
    assert np.array_equal(left[:, :, :-2], VIEWS[:, :, 2:])


def test_a_shift_below_one_is_a_share_of_the_side():
    found = Augmentation(height_shift_range=0.5).apply(VIEWS, Drawn(shift=1))
    assert np.array_equal(found[:, 3:], VIEWS[:, :3])


def test_shifts_larger_than_the_photo_stop_at_its_side():
    found = Augmentation(width_shift_range=50).apply(VIEWS, Drawn(shift=1))
    assert found.shape == VIEWS.shape
    assert np.array_equal(found[:, :, 5], VIEWS[:, :, 0])


def test_the_same_draw_gives_the_same_views():
    augmentation = Augmentation(horizontal_flip=True, width_shift_range=0.3)
    one, two = (augmentation.apply(VIEWS, np.random.default_rng((3, 1))) for _ in range(2))
    assert np.array_equal(one, two)


def test_refused_names_with_values_that_do_nothing_are_accepted():
    arguments = {"rotation_range": 0, "vertical_flip": False, "rescale": None, "dtype": "float32"}
    assert augmentation_from_keras(arguments) == Augmentation()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rotation_range": 20}, "rotation_range=20 is refused, it resamples .* tilted horizon"),
        ({"zoom_range": [0.8, 1.2]}, r"zoom_range=\[0.8, 1.2\] is refused, .* sharpness"),
        ({"brightness_range": (0.5, 1.5)}, "brightness_range=.* exposure"),
        ({"vertical_flip": True}, "vertical_flip=True is refused, people rated photos upright"),
        ({"rescale": 1 / 255}, "normalised by the model"),
        ({"validation_split": 0.2}, "give validation photos as val_raw"),
        ({"horizontal_flips": True}, "no 'horizontal_flips' .did you mean 'horizontal_flip'"),
        ({"mixup": 1}, "no 'mixup'. Possible are horizontal_flip, width_shift_range"),
        ({"fill_mode": "edge"}, "one of nearest, reflect, wrap, constant, got 'edge'"),
        ({"width_shift_range": -1}, "width_shift_range must be a number from 0 on, got -1"),
        ({"width_shift_range": [1, 2]}, r"must be a number from 0 on, got \[1, 2\]"),
        ({"cval": 300}, "cval must be from 0 to 255, got 300"),
    ],
)
def test_an_unknown_or_harmful_argument_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ConfigError, match=message):
        augmentation_from_keras(arguments)
