from pathlib import Path

import numpy as np
import pytest

from siamese_nima.photos import find_photos, read_photo

FOLDER = Path(__file__).parents[2] / "examples" / "photos"
PHOTOS = find_photos([FOLDER]).paths


def test_there_are_at_least_twelve_and_they_are_small():
    assert len(PHOTOS) >= 12
    assert sum(path.stat().st_size for path in PHOTOS) < 3_000_000


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_every_example_is_readable_and_its_scene_is_credited(path):
    originals = [each.stem for each in PHOTOS if f"`{each.name}`" in credits_text()]
    assert min(read_photo(path).size) >= 300
    assert [scene for scene in originals if path.stem == scene or path.stem.startswith(f"{scene}-")]


def credits_text():
    return (FOLDER / "CREDITS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("scene", ["chelsea", "coffee"])
def test_a_degraded_version_shows_the_same_scene_with_its_fault(scene):
    def pixels(ending):
        return np.asarray(read_photo(FOLDER / f"{scene}{ending}.jpg"), dtype=np.float64)

    def detail(ending):
        return np.abs(np.diff(pixels(ending), axis=1)).mean()

    for ending in ["-blur", "-motion", "-small"]:
        assert detail(ending) < 0.75 * detail("")
    assert detail("-noise") > 1.25 * detail("")
    assert pixels("-dark").mean() < 0.6 * pixels("").mean() < pixels("-bright").mean()
