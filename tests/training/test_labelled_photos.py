"""Photos beside labels: views as the policy cuts them, unreadable photos left out and named."""

import numpy as np
import pytest
from PIL import Image

from siamese_nima.errors import TableError
from siamese_nima.photos import ViewPolicy
from siamese_nima.training.labelled_photos import read_labelled_photos

POLICY = ViewPolicy.parse("warp:8x6/nearest")


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (9, 11, 3), dtype=np.uint8)).save(path)
    return paths


def test_views_are_those_of_the_policy_in_table_order(paths, tmp_path):
    found = read_labelled_photos((paths, [2, 0, 1]), POLICY, tmp_path / "views.npy")
    assert found.views.shape == (3, 1, 8, 6, 3)
    for path, views in zip(paths, found.views, strict=True):
        assert np.array_equal(views, POLICY.views(Image.open(path)))
    assert found.labels.tolist() == [2, 0, 1]
    assert found.paths == tuple(paths)
    assert found.unreadable == ()


def test_photos_that_cannot_be_read_are_left_out_with_their_labels(paths, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    given = [paths[0], tmp_path / "broken.jpg", tmp_path / "missing.jpg", paths[2]]
    found = read_labelled_photos((given, [5, 6, 7, 8]), POLICY, tmp_path / "views.npy")
    assert found.paths == (paths[0], paths[2])
    assert found.labels.tolist() == [5, 8]
    assert np.array_equal(found.views[1], POLICY.views(Image.open(paths[2])))
    assert ["broken.jpg" in str(e) or "missing.jpg" in str(e) for e in found.unreadable] == [
        True
    ] * 2


def test_a_photo_may_be_in_the_table_twice(paths, tmp_path):
    found = read_labelled_photos(([paths[0]] * 2, [1, 2]), POLICY, tmp_path / "views.npy")
    assert np.array_equal(found.views[0], found.views[1])


def test_no_readable_photo_at_all_is_an_error(tmp_path):
    with pytest.raises(TableError, match=r"none of the 1 photos can be read; .*missing\.jpg"):
        read_labelled_photos(([tmp_path / "missing.jpg"], [1]), POLICY, tmp_path / "views.npy")
