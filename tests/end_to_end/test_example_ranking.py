"""The embedded model puts the example photos in an order that makes sense."""

from pathlib import Path

import pytest

from siamese_nima import Scorer

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    return {Path(result.path).stem: result.mean for result in Scorer().score(PHOTOS)}


def degraded() -> list[tuple[str, str]]:
    """(scene, degraded version) of every degraded example."""
    names = [path.stem for path in PHOTOS.glob("*.jpg")]
    return sorted(
        (scene, name) for name in names for scene in names if name.startswith(f"{scene}-")
    )


@pytest.mark.parametrize(("scene", "version"), degraded())
def test_every_degraded_version_scores_below_its_scene(scores, scene, version):
    assert scores[version] < scores[scene]


def test_the_scores_use_the_scale_and_not_one_corner_of_it(scores):
    assert max(scores.values()) - min(scores.values()) > 1
