import json
from pathlib import Path

import numpy as np
import pytest

from siamese_nima.card import golden_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale, mean
from siamese_nima.scoring.catalogue import embedded_models
from siamese_nima.scoring.model import ModelFile

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "appeal"
SOURCES = ("500px", "aadb", "koniq10k", "own", "pixabay")


@pytest.fixture(scope="module")
def appeal() -> ModelFile:
    return ModelFile(embedded_models()["appeal"])


@pytest.fixture(scope="module")
def result() -> dict:
    return json.loads((RECIPE / "result.json").read_text())


def test_the_file_is_small_enough_to_ship() -> None:
    assert embedded_models()["appeal"].stat().st_size <= 8_000_000


def test_the_card_says_that_it_is_a_preview_and_what_it_sees(appeal: ModelFile) -> None:
    card = appeal.card
    assert "preview" in card.description
    assert card.scale == RatingScale(1, 5)
    assert card.view == ViewPolicy.parse("centre:80@80")
    assert any("80 x 80" in limit for limit in card.limits)
    assert any("google-coral" in credit for credit in card.credits)
    assert any("GPL" in credit for credit in card.credits)
    assert len(card.training["fingerprint"]) == 64
    assert card.training["photos"] == 864


def test_the_figures_of_the_card_are_those_of_the_recorded_result(
    appeal: ModelFile, result: dict
) -> None:
    assert result["model_sha256"] == appeal.digest
    figures = appeal.card.metrics["each source by a head that saw none of it"]
    assert figures == result["figures"]


def test_the_figures_are_those_of_the_evidence(result: dict) -> None:
    evidence = json.loads((ROOT / "benchmarks/quality/appeal_sources.json").read_text())
    assert result["evidence"] == evidence["provenance"]
    (row,) = (row for row in evidence["rows"] if row["name"] == result["arm"])
    for source in SOURCES:
        recorded = result["figures"][source]["srcc"]
        assert recorded["value"] == row["sources"][source]["srcc"]
        assert recorded["low"] < recorded["value"] < recorded["high"]


def test_the_population_and_the_pair_error_are_of_all_photos(appeal: ModelFile) -> None:
    assert appeal.card.population is not None
    assert len(appeal.card.population.means) == 864
    assert appeal.card.pair_error is not None
    assert appeal.card.pair_error.accuracy_at(0) == 0.5


def test_a_photo_scores_the_same_alone_and_in_a_batch(appeal: ModelFile) -> None:
    views = appeal.card.view.views(golden_photo())
    batch = np.stack([views, views[:, ::-1], views])
    alone, together = appeal.rate(views[None]), appeal.rate(batch)
    scale = appeal.card.scale
    np.testing.assert_allclose(mean(together, scale)[[0, 2]], mean(alone, scale)[0], atol=1e-4)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
