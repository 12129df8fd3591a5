import base64
import json
from pathlib import Path

import numpy as np
import pytest

from siamese_nima.card import golden_photo
from siamese_nima.pair_error import PairError
from siamese_nima.photos import read_photo
from siamese_nima.ratings import mean
from siamese_nima.scoring.catalogue import eight_bit_form, embedded_models
from siamese_nima.scoring.model import ModelFile

RECIPE = Path(__file__).parents[2] / "recipes" / "quality"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))
RECORDED = Path(__file__).parents[2] / "benchmarks" / "quality"


@pytest.fixture(scope="module")
def quality() -> ModelFile:
    return ModelFile(embedded_models()["quality"])


def test_the_file_is_small_enough_to_ship() -> None:
    assert embedded_models()["quality"].stat().st_size <= 8_000_000


def test_the_card_says_what_one_must_know(quality: ModelFile) -> None:
    card = quality.card
    assert str(card.view) == "warp:288+centre:288@512"
    assert (card.scale.low, card.scale.high) == (1, 10)
    assert len(card.training["fingerprint"]) == 64
    assert any("EfficientNet-Lite0" in credit for credit in card.credits)
    assert any("BIQ2021" in credit for credit in card.credits)
    assert card.limits


def test_the_reference_population_is_the_val_split(quality: ModelFile) -> None:
    assert quality.card.population is not None
    assert len(quality.card.population.means) == 1201


def test_the_figures_of_the_card_are_those_of_the_recorded_result(quality: ModelFile) -> None:
    result = json.loads((RECIPE / "result.json").read_text())
    assert result["model_sha256"] == quality.digest
    found, recorded = quality.card.metrics["test photos"], result["test"]["all"]
    for name in ("srcc", "plcc", "pair_accuracy"):
        for key in ("value", "low", "high"):
            assert found[name][key] == pytest.approx(recorded[name][key], abs=5e-4)
    assert (found["photos"], found["pairs"]) == (recorded["photos"], recorded["pairs"])


def test_it_is_better_than_version_3() -> None:
    result = json.loads((RECIPE / "result.json").read_text())
    assert result["test"]["all"]["srcc"]["value"] >= 0.875
    assert result["test"]["ss02"]["srcc"]["value"] >= 0.40
    assert result["test"]["ss03"]["srcc"]["value"] >= 0.81
    assert result["test"]["all"]["pair_accuracy"]["value"] >= 0.98
    assert result["ladders"]["steps"] >= 0.98
    assert 0.9 <= result["spread_ratio"] <= 1.1
    earlier = json.loads((RECIPE / "efficientnet.json").read_text())
    for subset, part in result["test"].items():
        assert part["srcc"]["value"] > earlier["test"][subset]["srcc"]["value"]


def test_the_card_says_from_which_gap_on_an_order_is_sure(quality: ModelFile) -> None:
    error = PairError.from_json(quality.card.metrics["pair_error"])
    assert error.pairs > 10_000
    assert error.too_close(0.05)
    assert not error.too_close(3.0)


def test_the_order_in_a_scene_is_sure_from_a_smaller_gap_on(quality: ModelFile) -> None:
    recorded = json.loads((RECORDED / "scene_pairs.json").read_text())
    for error, name in (
        (quality.card.pair_error, "general"),
        (quality.card.scene_pair_error, "scene"),
    ):
        assert error.to_json() == recorded[name]["error"]
    general, scene = (recorded[name]["closest_call"] for name in ("general", "scene"))
    assert scene < 0.8 * general
    assert quality.card.scene_pair_error.closest_call() == pytest.approx(scene, abs=1e-3)


def test_the_error_in_a_scene_predicts_how_often_labels_agree() -> None:
    recorded = json.loads((RECORDED / "scene_pairs.json").read_text())
    rows = [row for classes in recorded["calibration"].values() for row in classes]
    inside = [row["low"] - 0.05 <= row["predicted"] <= row["high"] + 0.05 for row in rows]
    # Intervals of 95 %; those that are [1, 1] have no width.
    assert sum(inside) >= 0.8 * len(rows)


def test_the_card_knows_every_photo_that_was_trained_on(quality: ModelFile) -> None:
    prints = base64.b64decode(quality.card.training["photo_prints"])
    assert len(prints) == 5 * quality.card.training["photos"]


def test_a_photo_scores_the_same_alone_and_in_a_batch(quality: ModelFile) -> None:
    views = quality.card.view.views(golden_photo())
    batch = np.stack([views, views[:, ::-1], views])
    alone, together = quality.rate(views[None]), quality.rate(batch)
    np.testing.assert_allclose(mean(together)[[0, 2]], mean(alone)[0], atol=1e-4)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)


def test_its_8_bit_form_is_made_of_it_and_keeps_to_its_bounds(quality: ModelFile) -> None:
    form = eight_bit_form("quality")
    assert form is not None
    assert form.stat().st_size <= 5_000_000
    eight_bits = ModelFile(form)
    assert eight_bits.card.name == quality.card.name
    assert eight_bits.card.parent == quality.digest, "quantise it anew: recipes/quality/README.md"
    recorded = json.loads((RECORDED / "int8.json").read_text())
    assert recorded["model"] == quality.model_id
    assert recorded["difference"]["mean_absolute"] <= 0.05
    assert recorded["difference"]["largest"] <= 0.3
    for name in ("all", "same_scene_pairs"):
        assert recorded["srcc"]["int8"][name] >= recorded["srcc"]["fp32"][name] - 0.002
    views = np.stack([quality.card.view.views(read_photo(path)) for path in EXAMPLES])
    scale = quality.card.scale
    moved = mean(eight_bits.rate(views), scale) - mean(quality.rate(views), scale)
    assert np.abs(moved).max() < 0.3
