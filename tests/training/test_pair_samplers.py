"""Samplers: every photo once, the same draw for the same epoch, and batches of the right kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError
from siamese_nima.training.pair_samplers import (
    BucketPairDraws,
    HardPairDraws,
    PairDraws,
    SceneDraws,
    pair_draws,
)

KINDS = ["random", "scene", "hard"]


def rows_of(sampler):
    return [row for _, row in sampler]


def batches_of(sampler):
    rows = rows_of(sampler)
    return [rows[i : i + sampler.batch_size] for i in range(0, len(rows), sampler.batch_size)]


def sampler_of(kind, photos=23, *, variants=3, batch_size=4, seed=5):
    rng = np.random.default_rng(photos)
    means = rng.uniform(1, 10, photos)
    scenes = rng.integers(0, 6, photos)
    return pair_draws(
        kind, means=means, scenes=scenes, variants=variants, batch_size=batch_size, seed=seed
    )


@pytest.mark.parametrize("kind", KINDS)
@given(photos=st.integers(2, 60), batch_size=st.integers(2, 20), epoch=st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_each_photo_is_drawn_once_per_epoch_in_a_variant_that_exists(
    kind, photos, batch_size, epoch
):
    sampler = sampler_of(kind, photos, batch_size=batch_size)
    sampler.start_epoch(epoch)
    variants, rows = zip(*sampler, strict=True)
    assert sorted(rows) == list(range(photos))
    assert set(variants) <= {0, 1, 2}
    assert len(sampler) == photos


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_depends_on_seed_and_epoch_alone(kind):
    whole, resumed, other = sampler_of(kind), sampler_of(kind), sampler_of(kind, seed=6)
    epochs = []
    for epoch in range(3):
        whole.start_epoch(epoch)
        epochs.append(list(whole))
    resumed.start_epoch(2)
    assert list(resumed) == epochs[2]
    assert epochs[0] != epochs[1] != epochs[2]
    assert list(other) != epochs[0]


def test_photos_of_one_scene_are_in_one_batch_where_sizes_allow():
    scenes = ["a"] * 3 + ["b"] * 2 + ["c"] * 4 + [f"single{i}" for i in range(11)]
    sampler = SceneDraws(scenes, 1, 5, 0)
    for epoch in range(20):
        sampler.start_epoch(epoch)
        batches = batches_of(sampler)
        for scene in "abc":
            homes = {i for i, rows in enumerate(batches) for r in rows if scenes[r] == scene}
            assert len(homes) == 1, (epoch, scene)


def test_a_scene_larger_than_a_batch_fills_whole_batches():
    sampler = SceneDraws(["a"] * 8 + ["b"] * 2, 1, 4, 1)
    kinds = sorted("".join(sorted("a" if r < 8 else "b" for r in b)) for b in batches_of(sampler))
    assert kinds == ["aaaa", "aaaa", "bb"]


def test_hard_batches_hold_photos_of_nearly_equal_rating():
    means = np.random.default_rng(1).uniform(1, 10, 200)

    def width(sampler):
        return np.mean([np.ptp(means[rows]) for rows in batches_of(sampler)[:-1]])

    hard = width(HardPairDraws(means, 1, 16, 0))
    softer = width(HardPairDraws(means, 1, 16, 0, noise=1.0))
    assert hard < softer < width(PairDraws(200, 1, 16, 0))
    assert hard < 4


def test_hard_batches_take_photos_without_a_rating_too():
    means = np.array([1.0, np.nan, 3.0, np.nan, 5.0])
    assert sorted(rows_of(HardPairDraws(means, 1, 2, 0))) == [0, 1, 2, 3, 4]
    assert sorted(rows_of(HardPairDraws([np.nan] * 3, 1, 2, 0))) == [0, 1, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sampler_of("easy"), "one of random, scene, hard, got 'easy'"),
        (lambda: PairDraws(1, 1, 4, 0), "got 1 photos in batches of 4"),
        (lambda: SceneDraws(["a", "b"], 1, 1, 0), "got 2 photos in batches of 1"),
        (lambda: HardPairDraws([1.0, 2.0], 1, 2, 0, noise=-1), "not be negative, got -1"),
    ],
)
def test_an_impossible_sampler_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_pairs_by_bucket_are_drawn_anew_each_epoch_and_come_in_batches():
    labels = np.arange(30) % 3
    draws = BucketPairDraws(labels, 8, seed=2)
    epochs = []
    for epoch in (0, 1, 0):
        draws.start_epoch(epoch)
        epochs.append([batch.tolist() for batch in draws])
    assert epochs[0] == epochs[2] != epochs[1]
    assert len(draws) == len(epochs[0]) == 7
    assert sorted(map(len, epochs[0])) == [6, 8, 8, 8, 8, 8, 8]
    for epoch in epochs:
        rows = np.concatenate(epoch)
        assert np.mean(labels[rows[:, 0]] == labels[rows[:, 1]]) == 0.5
