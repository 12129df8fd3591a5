import json
from pathlib import Path

import numpy as np
import pytest

from siamese_nima.card import golden_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale, mean
from siamese_nima.scoring.catalogue import embedded_models
from siamese_nima.scoring.model import ModelFile
from siamese_nima.taste.features import FeatureExtractor

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "appeal"


@pytest.fixture(scope="module")
def appeal() -> ModelFile:
    return ModelFile(embedded_models()["appeal"])


@pytest.fixture(scope="module")
def result() -> dict:
    return json.loads((RECIPE / "result.json").read_text())


def test_the_file_is_small_enough_to_ship() -> None:
    assert embedded_models()["appeal"].stat().st_size <= 8_000_000


def test_the_card_says_what_it_sees_and_what_its_scale_means(appeal: ModelFile) -> None:
    card = appeal.card
    assert card.scale == RatingScale(1, 10)
    assert card.view == ViewPolicy.parse("warp:320")
    assert "1 + 9 (r - 1) / 6" in card.training["scale"]
    assert any("`quality`" in limit for limit in card.limits)
    assert any("GPL" in credit for credit in card.credits)
    assert "states a licence" in card.licence
    assert len(card.training["fingerprint"]) == 64
    assert card.training["photos"] == 1445


def test_the_figures_of_the_card_are_those_of_the_recorded_result(
    appeal: ModelFile, result: dict
) -> None:
    assert result["model_sha256"] == appeal.digest
    assert appeal.card.metrics["photos of themes and sources not trained on"] == result["figures"]


def test_the_figures_are_those_of_the_evidence(result: dict) -> None:
    evidence = json.loads((ROOT / "benchmarks/quality/appeal.json").read_text())
    assert result["evidence"] == evidence["provenance"]
    (row,) = (row for row in evidence["themes"] if row["name"] == result["arm"])
    recorded = result["figures"]["OASIS"]
    assert recorded["value"] == row["all"]["srcc"]
    assert recorded["low"] < recorded["value"] < recorded["high"]


def test_the_population_and_the_pair_error_are_of_the_photos_seen_whole(appeal: ModelFile) -> None:
    assert appeal.card.population is not None
    assert len(appeal.card.population.means) == 581
    assert appeal.card.pair_error is not None
    assert appeal.card.pair_error.accuracy_at(0) == 0.5


def test_it_tells_how_tastes_differ(appeal: ModelFile) -> None:
    extractor = FeatureExtractor(embedded_models()["appeal"])
    views = appeal.card.view.views(golden_photo())[np.newaxis]
    features = extractor.features(extractor.rate(views))
    assert features.tastes is not None
    assert features.tastes.directions.shape == (extractor.levels[-1], 16)


def test_a_photo_scores_the_same_alone_and_in_a_batch(appeal: ModelFile) -> None:
    views = appeal.card.view.views(golden_photo())
    batch = np.stack([views, views[:, ::-1], views])
    alone, together = appeal.rate(views[None]), appeal.rate(batch)
    scale = appeal.card.scale
    np.testing.assert_allclose(mean(together, scale)[[0, 2]], mean(alone, scale)[0], atol=1e-4)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
