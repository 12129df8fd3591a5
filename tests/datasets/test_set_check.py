import numpy as np
import pytest
from PIL import Image

from siamese_nima.datasets.set_check import PhotoSet, check_set, crossing_lines
from siamese_nima.errors import TableError


def save(path, seed, size=(90, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)


def test_near_copies_across_subfolders_are_found(tmp_path):
    save(tmp_path / "train" / "a.png", 1)
    save(tmp_path / "train" / "b.png", 2)
    save(tmp_path / "test" / "a_small.jpg", 1, (45, 30))
    save(tmp_path / "test" / "c.png", 3)
    result = check_set(PhotoSet.of_folder(tmp_path))
    assert [pair[1].name for pair in result.crossing] == ["a_small.jpg"]
    assert not result.passed
    assert "1 pairs of near-copies, 1 across splits" in result.describe()
    assert "1 of 2 test photos (50 %) have a near-copy in train" in result.describe()
    [line] = crossing_lines(result.crossing, 5)
    assert line.startswith("test: ")
    assert line.endswith("train/a.png")
    assert crossing_lines(result.crossing, 0) == ["... and 1 more pairs"]


def test_a_clean_set_passes(tmp_path):
    save(tmp_path / "train" / "a.png", 1)
    save(tmp_path / "test" / "c.png", 3)
    assert check_set(PhotoSet.of_folder(tmp_path)).passed


def test_missing_and_broken_photos_are_told_apart(tmp_path):
    save(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"no picture")
    paths = tuple(tmp_path / name for name in ("a.png", "b.png", "c.png"))
    result = check_set(PhotoSet(paths, ("",) * 3, ("",) * 3))
    assert result.missing == paths[2:]
    assert len(result.unreadable) == 1
    assert result.describe().startswith("1 of 3 photos can be read\n1 are missing: ")
    assert not result.passed


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(TableError, match="no photo in it"):
        PhotoSet.of_folder(tmp_path)
