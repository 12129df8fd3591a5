from dataclasses import replace

import numpy as np
from PIL import Image

from rated_photos import rated
from siamese_nima.evaluation.gallery import best_and_worst, gallery, most_disagreed


def test_best_comes_first_and_worst_last_first():
    photos = replace(rated(5), scores=np.array([3.0, 5.0, 1.0, 4.0, 2.0]))
    best, worst = best_and_worst(photos, 2)
    assert (best.tolist(), worst.tolist()) == ([1, 3], [2, 4])


def test_disagreement_is_of_ranks_and_not_of_values():
    squeezed, labels = np.array([5.0, 5.1, 5.2, 5.05]), np.array([1.0, 9.0, 8.0, 5.0])
    above, below = most_disagreed(squeezed, labels)
    assert (above.tolist(), below.tolist()) == ([2], [1])
    assert [rows.tolist() for rows in most_disagreed(labels, labels)] == [[], []]


def test_unreadable_photos_are_left_out(tmp_path):
    Image.new("RGB", (1200, 600), "red").save(tmp_path / "0.jpg")
    photos = replace(rated(2), paths=(str(tmp_path / "0.jpg"), str(tmp_path / "gone.jpg")))
    [picture] = gallery(photos, [0, 1], ["7.00", "2.00"], "best")
    assert (picture.name, picture.caption) == ("best-1.webp", "7.00 0.jpg")
