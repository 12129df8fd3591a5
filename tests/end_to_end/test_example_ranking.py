"""The embedded model puts the example photos in an order that makes sense."""

from pathlib import Path

import pytest

from siamese_nima import FrameReader, Scorer
from siamese_nima.curation.bursts import find_bursts

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


@pytest.fixture(scope="module")
def results_and_bursts():
    scorer = Scorer()
    reader = FrameReader(scorer.decode_px)
    results = list(scorer.score(PHOTOS, on_photo=reader.look))
    return results, find_bursts(results, scorer, reader)


@pytest.fixture(scope="module")
def scores(results_and_bursts) -> dict[str, float]:
    return {Path(result.path).stem: result.score for result in results_and_bursts[0]}


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
        "appeal": "1..10",
    }
    [quality] = Scorer("quality", exact=True).score(photo)
    [appeal] = Scorer("appeal", exact=True).score(photo)
    assert result.mean == pytest.approx(quality.mean, abs=1e-4)
    assert result.others["appeal"].mean == pytest.approx(appeal.mean, abs=1e-4)


# What was done to each version, as the reason says it.
WORDS = {
    "blur": "softer",
    "small": "softer",
    "motion": "shaken",
    "noise": "noisier",
    "jpeg": "more compressed",
    "bright": "brighter",
    "dark": "darker",
}


def test_the_clean_version_wins_every_burst_and_the_others_lose_for_the_true_reason(
    results_and_bursts,
):
    bursts = results_and_bursts[1]
    assert {Path(burst.best.path).stem for burst in bursts} == {name for name, _ in degraded()}
    for burst in bursts:
        lost = zip(burst.photos, burst.reasons, burst.close, strict=True)
        for photo, reason, close in list(lost)[1:]:
            flaw = Path(photo.path).stem.split("-")[-1]
            assert WORDS[flaw] in reason, photo.path
            # Exposure is what the score alone judges.
            assert not close or flaw in {"bright", "dark"}, photo.path
