"""Several models rate one decoding of a photo, each by its own view and on its own scale."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from siamese_nima.card import ModelCard, golden_photo
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring import model_set
from siamese_nima.scoring.ranking import rank_photos
from siamese_nima.scoring.scorer import Scorer
from tiny_model import rate_tiny, write_model


def model_file(path, card: ModelCard):
    return write_model(path, replace(card, golden=tuple(rate_tiny(card, golden_photo()))))


@pytest.fixture
def looks(tmp_path, tiny_card):
    """A model on a scale of 1 to 5 that sees the middle of a photo."""
    view = ViewPolicy.parse("centre:24@48")
    card = replace(
        tiny_card, scale=RatingScale(1, 5), view=view, population=None, name="x", golden=None
    )
    return model_file(tmp_path / "looks.onnx", card)


def test_both_models_give_what_each_gives_alone_on_one_decoding(
    tiny_model, looks, photo_folder, monkeypatch
):
    decoded = []
    open_photo = model_set.open_photo
    monkeypatch.setattr(
        model_set,
        "open_photo",
        lambda source, **o: decoded.append(source) or open_photo(source, **o),
    )
    scorer = Scorer([tiny_model, looks])
    results = list(scorer.score(photo_folder))
    assert len(decoded) == 11
    assert list(scorer.models) == ["tiny", "looks"]
    assert {name: str(scale) for name, scale in scorer.scales.items()} == {
        "tiny": "1..10",
        "looks": "1..5",
    }
    first, second = Scorer(tiny_model).score(photo_folder), Scorer(looks).score(photo_folder)
    for both, own, other in zip(results, first, second, strict=True):
        assert (replace(both, others={}), both.others) == (own, {"looks": other})


def test_the_first_model_orders(tiny_model, looks, photo_folder):
    results = list(Scorer([looks, tiny_model]).score(photo_folder))
    assert results[0].scale == RatingScale(1, 5)
    assert [r.path for r in rank_photos(results)] == [r.path for r in reversed(results)]


def test_a_photo_is_decoded_as_large_as_the_most_demanding_view_wants(tiny_model, looks):
    photos = []

    def decode_px(*models, **options):
        scorer = Scorer(list(models), **options)
        photos.append(scorer)
        return scorer._models.decode_px

    assert decode_px(tiny_model) == 64
    assert decode_px(tiny_model, looks) == 96
    assert decode_px(tiny_model, looks, exact=True) is None
    assert decode_px(tiny_model, view="native") is None


def test_one_model_may_refuse_a_photo_that_others_rate(
    tiny_model, looks, photo_folder, monkeypatch
):
    scorer = Scorer([tiny_model, looks])
    rate = scorer.models["looks"].rate

    def picky(views):
        if np.any(views.mean(axis=(1, 2, 3, 4)) == 60):  # photo3
            raise PhotoError("too grey")
        return rate(views)

    monkeypatch.setattr(scorer.models["looks"], "rate", picky)
    results = list(scorer.score(photo_folder))
    assert all(result.mean is not None for result in results)
    assert [bool(result.errors) for result in results] == [n == 3 for n in range(1, 12)]
    assert results[2].others["looks"].error.endswith("photo3.png: too grey")


def test_a_broken_photo_is_one_error_for_all(tiny_model, looks, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    [result] = Scorer([tiny_model, looks]).score([tmp_path / "broken.png"])
    assert result.mean is result.others["looks"].mean is None
    assert result.errors == (result.error,)


def test_models_with_equal_views_share_them(tiny_model, tiny_card, tmp_path, monkeypatch):
    other = model_file(tmp_path / "other.onnx", replace(tiny_card, description="another"))
    cut = []
    views = ViewPolicy.views
    monkeypatch.setattr(ViewPolicy, "views", lambda own, p: cut.append(own) or views(own, p))
    scorer = Scorer([tiny_model, other])
    cut.clear()  # of the self-tests
    list(scorer.score(Image.new("RGB", (60, 60))))
    assert len(cut) == 1


def test_models_of_one_name_are_refused(tiny_model):
    with pytest.raises(ConfigError, match="different names, got tiny, tiny"):
        Scorer([tiny_model, tiny_model])
    with pytest.raises(ConfigError, match="no model was given"):
        Scorer([])
