"""Embedded models compute in 8 bits where that is faster and nobody asked for another thing."""

import pickle
from dataclasses import replace

import pytest

from siamese_nima import Scorer
from siamese_nima.cores import EIGHT_BITS_VARIABLE
from siamese_nima.scoring import catalogue
from siamese_nima.scoring.model import INT8
from tiny_model import write_model


@pytest.fixture
def embedded(tmp_path, tiny_card, monkeypatch):
    """An embedded model called "tiny", and its 8-bit form."""
    folder = tmp_path / "embedded"
    (folder / "8bit").mkdir(parents=True)
    path = write_model(folder / "tiny.onnx", tiny_card)
    write_model(folder / "8bit" / "tiny.onnx", replace(tiny_card, metrics={INT8: {}}))
    monkeypatch.setattr(catalogue, "embedded_models", lambda: {"tiny": path})
    monkeypatch.setenv(EIGHT_BITS_VARIABLE, "1")
    return path


def kind(scorer: Scorer) -> str:
    return scorer.model.model_id.partition("@")[0]


def test_the_name_means_the_form_that_is_faster_here(embedded, monkeypatch):
    assert kind(Scorer("tiny")) == "tiny-1-int8"
    assert list(Scorer("tiny").models) == ["tiny"]
    monkeypatch.setenv(EIGHT_BITS_VARIABLE, "0")
    assert kind(Scorer("tiny")) == "tiny-1"
    assert kind(Scorer("tiny", eight_bits=True)) == "tiny-1-int8"


@pytest.mark.parametrize(
    "options", [{"exact": True}, {"eight_bits": False}, {"view": "centre:32@64"}], ids=str
)
def test_float_is_computed_where_it_is_asked_for(embedded, options):
    assert kind(Scorer("tiny", **options)) == "tiny-1"


def test_a_path_and_the_users_own_model_mean_themselves(embedded, tiny_card, tmp_path, monkeypatch):
    assert kind(Scorer(embedded)) == "tiny-1"
    own = tmp_path / "own"
    own.mkdir()
    write_model(own / "tiny.onnx", replace(tiny_card, version="7"))
    monkeypatch.setenv("SIAMESE_NIMA_MODELS", str(own))
    assert kind(Scorer("tiny")) == "tiny-7"


def test_a_model_without_such_a_form_computes_in_float(embedded):
    (embedded.parent / "8bit" / "tiny.onnx").unlink()
    assert kind(Scorer("tiny")) == "tiny-1"


def test_results_and_what_a_cache_knows_them_by_tell_the_two_apart(embedded):
    eight, full = Scorer("tiny"), Scorer("tiny", exact=True)
    assert eight.settings() != full.settings()


def test_a_copy_on_another_machine_computes_as_the_scorer_does(embedded, monkeypatch):
    scorer = Scorer("tiny")
    copied = pickle.dumps(scorer)
    monkeypatch.setenv(EIGHT_BITS_VARIABLE, "0")
    assert pickle.loads(copied).settings() == scorer.settings()


def test_features_are_those_of_the_network_in_float(embedded, photo_folder):
    eight = list(Scorer("tiny").features(photo_folder))
    full = list(Scorer("tiny", eight_bits=False).features(photo_folder))
    assert {vector.model for vector in eight} == {full[0].model}
    assert all((a.features == b.features).all() for a, b in zip(eight, full, strict=True))
