from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from siamese_nima.card import golden_photo
from siamese_nima.errors import WeightsError
from siamese_nima.networks.onnx_weights import read_onnx_weights
from siamese_nima.scoring.catalogue import embedded_models
from siamese_nima.scoring.model import ModelFile
from siamese_nima.taste.features import FeatureExtractor, keep_tastes
from siamese_nima.taste.preference import PreferenceModel, TastePrior, Tastes
from tiny_model import rate_tiny

PRIOR = TastePrior(spread=1, noise=1)


def views_of(card, *photos):
    return np.stack([card.view.views(photo) for photo in photos])


def test_the_tiny_model_shows_colours_and_logits(tiny_model, tiny_card) -> None:
    opened = FeatureExtractor(tiny_model)
    photo = Image.new("RGB", (60, 40), (200, 100, 50))
    rated = opened.features(opened.rate(views_of(tiny_card, photo)))
    assert opened.levels == (3,)
    np.testing.assert_allclose(rated.features[0], np.array([200, 100, 50]) / 255 - 0.5, atol=1e-6)
    np.testing.assert_allclose(rated.tilted()[0], rate_tiny(tiny_card, photo), atol=1e-6)


def test_the_file_of_a_taste_rates_as_the_taste_says(tiny_model, tiny_card, tmp_path) -> None:
    opened = FeatureExtractor(tiny_model)
    tilt = PreferenceModel(np.array([2.0, 0.0, -1.0]), 0.1, PRIOR, 0.0)
    card = opened.write(tilt, replace(tiny_card, name="mine"), tmp_path / "mine.onnx")
    red, blue = (Image.new("RGB", (60, 40), colour) for colour in ("red", "blue"))
    views = views_of(card, red, blue, golden_photo())
    written = ModelFile(tmp_path / "mine.onnx")
    rated = opened.features(opened.rate(views))
    wanted = rated.tilted(tilt.tilts(rated.features))
    np.testing.assert_allclose(written.rate(views), wanted, atol=1e-6)
    assert written.card == card
    assert card.name == "mine"
    before, after = (rows @ tiny_card.scale.grades for rows in (rated.tilted(), wanted))
    assert after[0] - before[0] > 1
    assert after[1] - before[1] < 0


def test_the_embedded_model_is_looked_at_at_every_depth_and_stays_what_it_is(tmp_path) -> None:
    opened = FeatureExtractor(embedded_models()["quality"])
    assert opened.levels == (3, 96, 144, 240, 672, 3104)
    views = views_of(opened.card, golden_photo(), Image.new("RGB", (300, 200), "orange"))
    rows = opened.rate(views)
    # The first averages are of the picture itself, as the network gets it.
    grades = opened.card.scale.size
    pixels = views.reshape(2, -1, 3).mean(axis=1)
    normalisation = opened.card.normalisation
    expected = (pixels - normalisation.mean) / normalisation.std
    np.testing.assert_allclose(rows[:, grades : grades + 3], expected, atol=1e-3)
    none = PreferenceModel(np.zeros(sum(opened.levels)), 0.0, PRIOR, 0.0)
    opened.write(none, opened.card, tmp_path / "same.onnx")
    assert np.array_equal(
        ModelFile(tmp_path / "same.onnx").rate(views), ModelFile(opened.path).rate(views)
    )


def test_a_photo_is_seen_the_same_alone_and_among_others(tiny_model, tiny_card) -> None:
    opened = FeatureExtractor(embedded_models()["quality"])
    views = views_of(opened.card, golden_photo(), Image.new("RGB", (300, 200), "orange"))
    np.testing.assert_allclose(opened.rate(views)[1], opened.rate(views[1:])[0], atol=1e-5)


def test_a_taste_is_put_on_no_personal_model(tiny_model, tiny_card, tmp_path) -> None:
    tilt = PreferenceModel(np.zeros(3), 0.0, PRIOR, 0.0)
    FeatureExtractor(tiny_model).write(tilt, tiny_card, tmp_path / "mine.onnx")
    with pytest.raises(WeightsError, match=r"mine\.onnx: a personal model already"):
        FeatureExtractor(tmp_path / "mine.onnx")
    with pytest.raises(WeightsError, match="a personal model, which scores but cannot be trained"):
        read_onnx_weights(tmp_path / "mine.onnx")


def test_a_file_that_ends_otherwise_is_refused(tiny_model, tiny_card, tmp_path) -> None:
    model = onnx.load(tiny_model)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(10, np.float32), "zeros"))
    softmax = model.graph.node[-1]
    addition = onnx.helper.make_node("Add", ["logits", "zeros"], ["sum"])
    softmax.input[0] = "sum"
    model.graph.node.insert(len(model.graph.node) - 1, addition)
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="does not end with a linear layer"):
        FeatureExtractor(path)


def test_how_tastes_differ_is_kept_in_a_file_and_damage_is_told(tiny_model, tmp_path) -> None:
    extractor = FeatureExtractor(tiny_model)
    draw = np.random.default_rng(0)
    tastes = Tastes(
        1e-6 * draw.normal(size=(extractor.levels[-1], 2)),
        100 * draw.uniform(size=extractor.levels[-1]),
        2.4,
        0.7,
    )
    model = onnx.load(tiny_model)
    keep_tastes(model, tastes)
    onnx.save(model, tmp_path / "prior.onnx")
    opened = FeatureExtractor(tmp_path / "prior.onnx")
    rows = opened.rate(views_of(opened.card, golden_photo()))
    kept = opened.features(rows).tastes
    assert kept is not None
    np.testing.assert_allclose(kept.directions, tastes.directions, atol=1e-9)
    np.testing.assert_allclose(kept.alone, tastes.alone, atol=0.1)
    assert (kept.spread, kept.noise) == (2.4, 0.7)
    model.metadata_props[-1].value = "{}"
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(WeightsError, match="what it says of tastes is damaged"):
        FeatureExtractor(tmp_path / "damaged.onnx")
    del model.metadata_props[-1]
    keep_tastes(model, replace(tastes, directions=tastes.directions[1:], alone=tastes.alone[1:]))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match=r"tastes differ on \d+ features, the head reads"):
        FeatureExtractor(tmp_path / "other.onnx")
