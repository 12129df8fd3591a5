"""Samplers: every photo once, the same draw for the same epoch, and batches of the right kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.batches import Photos
from siamese_nima.training.config import StageConfig
from siamese_nima.training.samplers import (
    Draws,
    _packed,
    at_random,
    by_bucket,
    by_group,
    by_rating,
    draw_bucket_pairs,
)

KINDS = ["random", "scene", "hard"]
BUCKET_KINDS = [*KINDS, "bucket"]


def rows_of(sampler):
    return [int(row) for drawn in sampler for row in drawn.rows]


def batches_of(sampler):
    return [drawn.rows.tolist() for drawn in sampler]


def draws(sampler):
    return [(drawn.rows.tolist(), drawn.variants.tolist()) for drawn in sampler]


def sampler_of(kind, photos=23, *, variants=3, batch_size=4, seed=5):
    rng = np.random.default_rng(photos)
    means = rng.uniform(1, 10, photos)
    scenes = rng.integers(0, 6, photos)
    rated = photos_of(means, scenes, variants=variants, buckets=np.arange(photos) % 3)
    return draws_by(kind, rated, batch_size, seed)


def photos_of(means, scenes, *, variants=1, **known):
    photos = len(means)
    inputs = np.empty((variants, photos, 1, 1, 1, 3), np.uint8)
    nothing = np.full((photos, 10), np.nan)
    known["scenes"] = [str(scene) for scene in scenes]
    return Photos(inputs=inputs, distributions=nothing, means=means, scale=AVA_SCALE, **known)


def drawn_by(batches, photos, batch_size, seed=0):
    return Draws(batches, photos // batch_size, 1, seed)


def draws_by(kind, photos, batch_size, seed):
    objective = "contrastive" if kind == "bucket" else "preference"
    return photos.draws(
        StageConfig(kind="siamese", sampler=kind, objective=objective, batch_size=batch_size), seed
    )


@pytest.mark.parametrize("kind", KINDS)
@given(photos=st.integers(20, 60), batch_size=st.integers(2, 20), epoch=st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_each_photo_is_drawn_once_per_epoch_in_a_variant_that_exists(
    kind, photos, batch_size, epoch
):
    sampler = sampler_of(kind, photos, batch_size=batch_size)
    sampler.start_epoch(epoch)
    batches = list(sampler)
    assert [len(batch.rows) for batch in batches] == [batch_size] * (photos // batch_size)
    assert len(sampler) == len(batches)
    rows = np.concatenate([batch.rows for batch in batches])
    assert len(set(rows.tolist())) == len(rows), "only those that fill no batch are missing"
    assert set(np.concatenate([batch.variants for batch in batches]).tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("kind", BUCKET_KINDS)
def test_a_draw_depends_on_seed_and_epoch_alone(kind):
    whole, resumed, other = sampler_of(kind), sampler_of(kind), sampler_of(kind, seed=6)
    epochs = []
    for epoch in range(3):
        whole.start_epoch(epoch)
        epochs.append(draws(whole))
    resumed.start_epoch(2)
    assert draws(resumed) == epochs[2]
    resumed.start_epoch(2, 3)
    assert draws(resumed) == epochs[2][3:], "from within an epoch"
    assert epochs[0] != epochs[1] != epochs[2]
    assert draws(other) != epochs[0]


def test_photos_of_one_scene_are_in_one_batch_where_sizes_allow():
    scenes = ["a"] * 3 + ["b"] * 2 + ["c"] * 4 + [f"single{i}" for i in range(11)]
    sampler = drawn_by(by_group(scenes, 5), 20, 5)
    for epoch in range(20):
        sampler.start_epoch(epoch)
        batches = batches_of(sampler)
        for scene in "abc":
            homes = {i for i, rows in enumerate(batches) for r in rows if scenes[r] == scene}
            assert len(homes) == 1, (epoch, scene)


def test_a_scene_larger_than_a_batch_fills_whole_batches():
    sampler = drawn_by(by_group(["a"] * 8 + ["b"] * 4, 4), 12, 4, seed=1)
    kinds = sorted("".join(sorted("a" if r < 8 else "b" for r in b)) for b in batches_of(sampler))
    assert kinds == ["aaaa", "aaaa", "bbbb"]


def test_hard_batches_hold_photos_of_nearly_equal_rating():
    means = np.random.default_rng(1).uniform(1, 10, 200)

    def width(sampler):
        return np.mean([np.ptp(means[rows]) for rows in batches_of(sampler)])

    hard = width(drawn_by(by_rating(means, np.arange(200), 16), 200, 16))
    assert hard < width(drawn_by(at_random(200, 16), 200, 16))
    assert hard < 4


def test_hard_batches_take_photos_without_a_rating_too():
    means = np.array([1.0, np.nan, 3.0, np.nan, 5.0])
    assert sorted(rows_of(drawn_by(by_rating(means, range(5), 5), 5, 5))) == [0, 1, 2, 3, 4]
    assert sorted(rows_of(drawn_by(by_rating([np.nan] * 3, range(3), 3), 3, 3))) == [0, 1, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sampler_of("easy"), "one of random, scene, hard, bucket, got 'easy'"),
        (lambda: sampler_of("random", 3), "3 training photos do not fill one batch of 4"),
    ],
)
def test_an_impossible_sampler_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_pairs_by_bucket_are_drawn_anew_each_epoch_and_come_in_batches():
    labels = np.arange(30) % 3
    sampler = Draws(by_bucket(labels, 8), 7, 1, seed=2)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.start_epoch(epoch)
        epochs.append([drawn.rows[drawn.places].tolist() for drawn in sampler])
    assert epochs[0] == epochs[2] != epochs[1]
    assert len(sampler) == len(epochs[0]) == 7
    assert sorted(map(len, epochs[0])) == [6, 8, 8, 8, 8, 8, 8]
    for epoch in epochs:
        rows = np.concatenate(epoch)
        assert np.mean(labels[rows[:, 0]] == labels[rows[:, 1]]) == 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_keeps_distortion_ladders_together(kind):
    """Ladder pairs are few among all: drawn at random they would hardly meet."""
    generator = np.random.default_rng(0)
    photos, ladders, rungs = 420, 100, 6
    means = np.full(photos + ladders * rungs, np.nan)
    means[:photos] = generator.uniform(1, 10, photos)
    means[photos::rungs] = means[:ladders]
    of_ladder = np.concatenate([np.full(photos, -1), np.repeat(np.arange(ladders), rungs)])
    places = np.concatenate([np.zeros(photos, int), np.tile(np.arange(rungs), ladders)])
    scenes = generator.integers(0, 200, len(means))
    sampler = draws_by(kind, photos_of(means, scenes, ladders=of_ladder, rungs=places), 16, 0)
    pairs = 0
    for batch in sampler:
        counts = np.unique(of_ladder[batch.rows], return_counts=True)
        pairs += sum(n * (n - 1) // 2 for name, n in zip(*counts, strict=True) if name >= 0)
    assert pairs > 0.65 * ladders * rungs * (rungs - 1) / 2


def test_packing_follows_the_plain_rule():
    """The first group left that still has room, and the first of all cut where none has."""

    def plainly(pieces, batch_size):
        ordered, room = [], batch_size
        while pieces:
            place = next((i for i, piece in enumerate(pieces) if len(piece) <= room), None)
            if place is None:
                head, tail = np.split(pieces.pop(0), [room])
                ordered.append(head)
                pieces.insert(0, tail)
                room = batch_size
                continue
            piece = pieces.pop(place)
            ordered.append(piece)
            room = (room - len(piece)) or batch_size
        return ordered

    generator = np.random.default_rng(3)
    for batch_size in (4, 7, 12):
        sizes = generator.integers(1, batch_size + 1, 200)
        pieces = np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1])
        expected = plainly(list(pieces), batch_size)
        assert np.array_equal(np.concatenate(_packed(pieces, batch_size)), np.concatenate(expected))


def test_packing_looks_at_no_group_more_than_a_few_times():
    """An epoch of AVA takes seconds, where looking through all that are left took minutes."""
    looks = 0

    class Piece(np.ndarray):
        def __len__(self):
            nonlocal looks
            looks += 1
            return super().__len__()

    sizes = np.random.default_rng(0).integers(1, 9, 1000)
    pieces = np.split(np.arange(sizes.sum()).view(Piece), np.cumsum(sizes)[:-1])
    assert len(np.concatenate(_packed(pieces, 16))) == sizes.sum()
    assert looks < 5 * len(pieces)


LABELS = np.array([1, 0, 1, 7, 0, 1])


def drawn(labels, seed=0):
    return draw_bucket_pairs(labels, np.random.default_rng(seed))


def test_each_photo_but_a_buckets_last_is_paired_with_the_next_and_with_another_bucket():
    rows, same = drawn(LABELS)
    assert same.tolist() == [True, False] * 3
    assert rows[same].tolist() == [[1, 4], [0, 2], [2, 5]]
    assert rows[~same][:, 0].tolist() == [1, 0, 2]


@given(st.lists(st.integers(0, 5), min_size=3, max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_same_says_whether_labels_are_equal_and_counts_are_those_of_the_origin(labels, seed):
    labels = np.array([*labels, 0, 0, 1])
    rows, same = drawn(labels, seed)
    assert np.array_equal(labels[rows[:, 0]] == labels[rows[:, 1]], same)
    assert len(rows) == 2 * (len(labels) - len(np.unique(labels)))


def test_other_buckets_are_all_drawn_whatever_their_size():
    labels = np.array([0] * 400 + [1] * 3 + [2] * 50)
    rows, same = drawn(labels)
    partners = labels[rows[~same & (labels[rows[:, 0]] == 0)][:, 1]]
    assert np.mean(partners == 1) == pytest.approx(0.5, abs=0.1)


def test_pairs_are_drawn_anew_and_the_same_for_the_same_seed():
    labels = np.arange(60) % 6
    assert drawn(labels)[0].tolist() == drawn(labels)[0].tolist()
    assert drawn(labels)[0].tolist() != drawn(labels, seed=1)[0].tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, 3, 3], "3 photos with 1 different labels"),
        ([1.5, 2.5, 3.25], "mean scores with decimals must be put into buckets"),
        ([], "0 photos with 0 different labels"),
    ],
)
def test_labels_that_make_no_pairs_are_refused(labels, message):
    with pytest.raises(ConfigError, match=message):
        drawn(labels) if labels else drawn(np.zeros(0, int))
