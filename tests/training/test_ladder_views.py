"""Ladders in training: their views, and their place behind the rated photos."""

import numpy as np
import pytest
from PIL import Image

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import ConfigError, ViewError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.batches import Photos
from siamese_nima.training.config import StageConfig
from siamese_nima.training.ladder_views import (
    RUNGS,
    JoinedInputs,
    build_ladder_views,
    with_ladders,
)
from siamese_nima.training.ladders import DISTORTIONS, ladder
from siamese_nima.training.pairs import UNKNOWN

POLICY = ViewPolicy.parse("warp:32")


@pytest.fixture
def table(tmp_path):
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path in paths:
        Image.fromarray(generator.integers(0, 255, (32, 40, 3), dtype=np.uint8)).save(path)
    return RatingTable(paths=tuple(paths), mos=np.array([3.0, 5.0, 7.0, 9.0]), scale=AVA_SCALE)


def photos_of(table, inputs):
    return Photos(
        inputs=inputs,
        distributions=table.distributions(AVA_SCALE),
        means=table.mos,
        scale=AVA_SCALE,
        scenes=table.scenes,
    )


def test_every_rung_is_the_view_of_the_distorted_photo(table, tmp_path):
    built = build_ladder_views(table, POLICY, tmp_path / "cache", per_photo=2)
    assert built.photos.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert built.distortions == (*DISTORTIONS, *tuple(DISTORTIONS)[:2])
    rungs = ladder(Image.open(table.paths[1]), built.distortions[3], seed=1)
    for level, rung in enumerate(rungs):
        found = built.views.pixels[0, 3 * RUNGS + level]
        assert np.array_equal(found, POLICY.views(rung))


def test_a_distortion_named_twice_among_the_turns_gets_twice_as_many_ladders(table, tmp_path):
    turns = ("jpeg", "jpeg", "noise")
    built = build_ladder_views(table, POLICY, tmp_path / "cache", per_photo=1, turns=turns)
    assert built.distortions == ("jpeg", "jpeg", "noise", "jpeg")
    other = build_ladder_views(table, POLICY, tmp_path / "cache", per_photo=1)
    assert other.views.key != built.views.key


@pytest.mark.parametrize("turns", [("rain",), ("jpeg", "rain")])
def test_turns_are_distortions_that_there_are(table, tmp_path, turns):
    with pytest.raises(ConfigError, match="turns must be some of blur"):
        build_ladder_views(table, POLICY, tmp_path, turns=turns)


def test_views_are_cut_once(table, tmp_path):
    first = build_ladder_views(table, POLICY, tmp_path / "cache")
    for path in table.paths:
        Image.new("RGB", (40, 40)).save(path.with_suffix(".other.png"))
    (file,) = (tmp_path / "cache").glob("*.npy")
    stamp = file.stat().st_mtime_ns
    again = build_ladder_views(table, POLICY, tmp_path / "cache")
    assert file.stat().st_mtime_ns == stamp
    assert np.array_equal(first.views.pixels, again.views.pixels)


def test_a_first_rung_keeps_its_rating_and_the_others_have_none(table):
    inputs = np.zeros((2, 4, 1, 1, 1, 3), np.uint8)
    rated = photos_of(table, inputs)
    rungs = np.ones((1, 2 * RUNGS, 1, 1, 1, 3), np.uint8)
    paired = with_ladders(rated, rungs, np.array([3, 1]))
    assert len(paired) == 4 + 2 * RUNGS
    assert paired.labels.means[[4, 10]].tolist() == [9.0, 5.0]
    assert paired.labels.means[[5, 9, 11]].isnan().all()
    assert paired.labels.ladders.tolist() == [UNKNOWN] * 4 + [0] * RUNGS + [1] * RUNGS
    assert paired.labels.rungs.tolist() == [0] * 4 + 2 * list(range(RUNGS))
    assert paired.inputs[1, 4].max() == 1


def test_the_scene_sampler_keeps_a_ladder_in_one_batch(table):
    inputs = np.zeros((1, 4, 1, 1, 1, 3), np.uint8)
    rated = photos_of(table, inputs)
    rungs = np.ones((1, 3 * RUNGS, 1, 1, 1, 3), np.uint8)
    paired = with_ladders(rated, rungs, np.array([0, 1, 2]))
    config = StageConfig(kind="siamese", sampler="scene", batch_size=12)
    (batch,) = paired.draws(config, 0)
    ladders = paired.labels.ladders.numpy()[batch.rows]
    assert np.unique(ladders[ladders != UNKNOWN], return_counts=True)[1].tolist() == [RUNGS] * 2


def test_ladders_that_do_not_fit_are_refused(table, tmp_path):
    first = np.zeros((2, 4, 1, 2, 2, 3), np.uint8)
    with pytest.raises(ConfigError, match=r"\(2, 6, 1, 2, 2, 3\) do not go on"):
        JoinedInputs(first, np.zeros((2, 6, 1, 2, 2, 3), np.uint8))
    rated = photos_of(table, first)
    with pytest.raises(ConfigError, match="2 ladders have 12 rungs, got 6"):
        with_ladders(rated, np.zeros((1, 6, 1, 2, 2, 3), np.uint8), np.array([0, 1]))
    with pytest.raises(ViewError, match="no fixed size"):
        build_ladder_views(table, ViewPolicy.parse("native"), tmp_path)


def test_large_photos_are_distorted_at_the_size_that_views_need(table, tmp_path):
    large = [Image.open(path).resize((400, 320)) for path in table.paths]
    paths = tuple(tmp_path / f"large{i}.png" for i in range(len(large)))
    for photo, path in zip(large, paths, strict=True):
        photo.save(path)
    same = RatingTable(paths=paths, mos=table.mos, scale=table.scale)
    built = build_ladder_views(same, POLICY, tmp_path / "cache", per_photo=1)
    reduced = large[0].resize((40, 32), Image.Resampling.BICUBIC)
    rungs = ladder(reduced, "blur", seed=0)
    assert np.array_equal(built.views.pixels[0, 3], POLICY.views(rungs[3]))
