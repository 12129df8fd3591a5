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


def test_both_embedded_models_rate_one_decoding_on_their_own_scales():
    photo = PHOTOS / "astronaut.jpg"
    both = Scorer(["quality", "appeal"], exact=True)
    [result] = both.score(photo)
    assert {name: str(scale) for name, scale in both.scales.items()} == {
        "quality": "1..10",
        "appeal": "1..5",
    }
    [quality] = Scorer("quality", exact=True).score(photo)
    [appeal] = Scorer("appeal", exact=True).score(photo)
    assert result.mean == pytest.approx(quality.mean, abs=1e-4)
    assert result.others["appeal"].mean == pytest.approx(appeal.mean, abs=1e-4)
