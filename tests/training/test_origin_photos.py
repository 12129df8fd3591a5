"""Photos beside labels: views as the policy cuts them, unreadable photos left out and named."""

import numpy as np
import pytest
from PIL import Image

from siamese_nima.errors import TableError
from siamese_nima.photos import ViewPolicy
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.config import StageConfig
from siamese_nima.training.origin import read_photos

POLICY = ViewPolicy.parse("warp:8x6/nearest")


def read(raw):
    return read_photos(raw, POLICY, AVA_SCALE, StageConfig(kind="siamese", emd_weight=0.0))


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (9, 11, 3), dtype=np.uint8)).save(path)
    return paths


def test_views_are_those_of_the_policy_in_table_order(paths):
    found, kept = read((paths, [2, 0, 1]))
    assert found.inputs.shape == (1, 3, 1, 8, 6, 3)
    for path, views in zip(paths, found.inputs[0], strict=True):
        assert np.array_equal(views, POLICY.views(Image.open(path)))
    assert found.labels.means.tolist() == [2, 0, 1]
    assert kept == tuple(paths)


def test_photos_that_cannot_be_read_are_left_out_with_their_labels(paths, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    given = [paths[0], tmp_path / "broken.jpg", tmp_path / "missing.jpg", paths[2]]
    named = r"2 photos are left out of training:\n.*broken\.jpg.*\n.*missing\.jpg"
    with pytest.warns(UserWarning, match=named):
        found, kept = read((given, [5, 6, 7, 8]))
    assert kept == (paths[0], paths[2])
    assert found.labels.means.tolist() == [5, 8]
    assert np.array_equal(found.inputs[0, 1], POLICY.views(Image.open(paths[2])))


def test_a_photo_may_be_in_the_table_twice(paths):
    found, _ = read(([paths[0]] * 2, [1, 2]))
    assert np.array_equal(found.inputs[0, 0], found.inputs[0, 1])


def test_no_readable_photo_at_all_is_an_error(tmp_path):
    with pytest.raises(TableError, match=r"none of the 1 photos can be read; .*missing\.jpg"):
        read(([tmp_path / "missing.jpg"], [1]))
