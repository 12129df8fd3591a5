"""Batches for the Siamese stage: each photo once, labels and pairs in step with the photos."""

import numpy as np
import pytest
import torch

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import AVA_SCALE, distribution_from_mos
from siamese_nima.training import samplers
from siamese_nima.training.augmentation import Augmentation
from siamese_nima.training.batches import Photos, load_batches
from siamese_nima.training.config import StageConfig
from siamese_nima.training.ladders import RUNGS
from siamese_nima.training.pairs import UNKNOWN, all_pairs
from siamese_nima.training.samplers import InOrder, this_process

PHOTOS = 12
BUCKETS = np.arange(PHOTOS) % 3


@pytest.fixture
def paired():
    """Photo i has the pixels i and 100 + i in every variant, and the mean 1 + i / 2."""
    means = 1 + np.arange(PHOTOS) / 2
    pixels = np.zeros((2, PHOTOS, 1, 1, 2, 3), np.uint8)
    pixels[..., 0, :] = np.arange(PHOTOS)[:, None, None, None]
    pixels[..., 1, :] = 100 + np.arange(PHOTOS)[:, None, None, None]
    return Photos(
        inputs=pixels,
        distributions=distribution_from_mos(means),
        means=means,
        scale=AVA_SCALE,
        buckets=BUCKETS,
    )


def config_of(**entries):
    return StageConfig(**({"kind": "siamese", "batch_size": 5} | entries))


BY_BUCKET = config_of(objective="contrastive", sampler="bucket", batch_size=7)


def batches_of(photos, config, *, seed=0, **options):
    return list(load_batches(photos, photos.draws(config, seed), config, **options))


def photos_of(batch):
    """The photo that each row shows, mirrored or not."""
    return batch.inputs[:, 0, 0, :, 0].min(-1).values


def check(batch, paired):
    photos = photos_of(batch)
    assert torch.equal(batch.distributions, paired.labels.distributions[photos.long()])
    first, second = photos[batch.pairs.first], photos[batch.pairs.second]
    assert torch.equal(batch.pairs.preference > 0.5, first > second)
    same = torch.tensor(BUCKETS[first] == BUCKETS[second])
    assert torch.equal(batch.pairs.same_bucket, same)


def places(batch):
    return torch.stack([batch.pairs.first, batch.pairs.second])


def test_a_batch_has_distinct_photos_with_their_labels_and_all_their_pairs(paired):
    found = batches_of(paired, config_of())
    assert [len(batch.inputs) for batch in found] == [5, 5]
    for batch in found:
        check(batch, paired)
        assert places(batch).tolist() == all_pairs(5).tolist()
    assert len(torch.cat([photos_of(batch) for batch in found]).unique()) == 10


def test_a_stage_without_pairs_has_none(paired):
    for batch in batches_of(paired, StageConfig(batch_size=5)):
        assert len(batch.pairs.first) == 0
        assert len(batch.distributions) == 5


def test_pairs_by_bucket_hold_each_photo_once_and_join_the_right_ones(paired):
    draws = paired.draws(BY_BUCKET, 0)
    for batch, drawn in zip(load_batches(paired, draws, BY_BUCKET), draws, strict=True):
        check(batch, paired)
        photos = photos_of(batch)
        assert len(photos.unique()) == len(photos)
        assert photos[places(batch)].T.tolist() == drawn.rows[drawn.places].tolist()


def test_augmentation_changes_photos_and_never_their_labels(paired):
    config = config_of(batch_size=PHOTOS)
    draws = paired.draws(config, 0)
    loader = load_batches(paired, draws, config, augmentation=Augmentation(horizontal_flip=True))
    mirrored = []
    for epoch in (0, 1, 0):
        draws.start_epoch(epoch)
        (batch,) = loader
        check(batch, paired)
        order = photos_of(batch).argsort()
        mirrored.append((batch.inputs[order, 0, 0, 0, 0] >= 100).tolist())
    assert mirrored[0] == mirrored[2] != mirrored[1]
    assert 0 < sum(mirrored[0]) < PHOTOS


def test_worker_processes_make_the_same_batches(paired):
    config = config_of()
    alone = batches_of(paired, config)
    helped = batches_of(paired, config, workers=1)
    for one, two in zip(alone, helped, strict=True):
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.pairs.preference, two.pairs.preference)


def test_validation_sees_all_photos_in_order_and_variant_0(paired):
    found = list(load_batches(paired, InOrder(PHOTOS, 5)))
    assert torch.cat([photos_of(batch) for batch in found]).tolist() == list(range(PHOTOS))


@pytest.fixture
def as_process(monkeypatch):
    def become(rank, count):
        monkeypatch.setattr(samplers, "this_process", lambda: (rank, count))

    return become


def test_without_a_process_group_there_is_one():
    assert this_process() == (0, 1)


@pytest.mark.parametrize("config", [config_of(batch_size=6), BY_BUCKET])
def test_the_shares_of_all_processes_are_the_batches_of_one(paired, as_process, config):
    whole = batches_of(paired, config)
    shares = []
    for rank in range(3):
        as_process(rank, 3)
        shares.append(batches_of(paired, config))
    for one, *parts in zip(whole, *shares, strict=True):
        photos = len(one.inputs)
        assert torch.equal(torch.cat([part.inputs for part in parts])[:photos], one.inputs)
        for part in parts:
            assert len(part.inputs) == -(-photos // 3)
            assert torch.equal(places(part), places(one)), "those drawn, no others"
            assert torch.equal(part.distributions[:photos], one.distributions)
            assert part.distributions[photos:].isnan().all(), "what fills up has no label"


def test_the_runs_of_all_processes_are_the_validation_photos_in_order(paired, as_process):
    rows = []
    for rank in range(5):
        as_process(rank, 5)
        found = load_batches(paired, InOrder(PHOTOS, 2))
        rows += torch.cat([photos_of(batch) for batch in found]).tolist()
    assert rows[:PHOTOS] == list(range(PHOTOS))


def test_photos_and_labels_that_do_not_fit_are_refused(paired):
    def changed(**values):
        known = {"inputs": paired.inputs, "scale": AVA_SCALE, "means": paired.labels.means}
        return Photos(**(known | {"distributions": paired.labels.distributions} | values))

    with pytest.raises(ConfigError, match="do not fit 3 distributions and 12 means"):
        changed(distributions=paired.labels.distributions[:3])
    with pytest.raises(ConfigError, match="12 photos have 1 scenes"):
        changed(scenes=["a"])
    with pytest.raises(ConfigError, match="give both or neither"):
        changed(rungs=np.zeros(PHOTOS))


@pytest.mark.parametrize(
    ("batch_size", "message"),
    [(13, "12 training photos do not fill one batch of 13"), (1, "12 photos in batches of 1")],
)
def test_batches_that_cannot_be_made_are_refused(paired, batch_size, message):
    with pytest.raises(ConfigError, match=message):
        paired.draws(config_of(batch_size=batch_size), 0)


def four_photos(inputs):
    means = [3.0, 5.0, 7.0, 9.0]
    return Photos(inputs, distribution_from_mos(means), means, AVA_SCALE)


def test_a_first_rung_keeps_its_rating_and_the_others_have_none():
    inputs = np.zeros((2, 4, 1, 1, 1, 3), np.uint8)
    rated = four_photos(inputs)
    rungs = np.ones((1, 2 * RUNGS, 1, 1, 1, 3), np.uint8)
    paired = rated.with_ladders(rungs, np.array([3, 1]))
    assert len(paired) == 4 + 2 * RUNGS
    assert paired.labels.means[[4, 10]].tolist() == [9.0, 5.0]
    assert paired.labels.means[[5, 9, 11]].isnan().all()
    assert paired.labels.ladders.tolist() == [UNKNOWN] * 4 + [0] * RUNGS + [1] * RUNGS
    assert paired.labels.rungs.tolist() == [0] * 4 + 2 * list(range(RUNGS))
    assert paired.inputs[1, 4].max() == 1


def test_the_scene_sampler_keeps_a_ladder_in_one_batch():
    inputs = np.zeros((1, 4, 1, 1, 1, 3), np.uint8)
    rated = four_photos(inputs)
    rungs = np.ones((1, 3 * RUNGS, 1, 1, 1, 3), np.uint8)
    paired = rated.with_ladders(rungs, np.array([0, 1, 2]))
    config = StageConfig(kind="siamese", sampler="scene", batch_size=12)
    (batch,) = paired.draws(config, 0)
    ladders = paired.labels.ladders.numpy()[batch.rows]
    assert np.unique(ladders[ladders != UNKNOWN], return_counts=True)[1].tolist() == [RUNGS] * 2


def test_ladders_that_do_not_fit_are_refused():
    first = np.zeros((2, 4, 1, 2, 2, 3), np.uint8)
    rated = four_photos(first)
    with pytest.raises(ConfigError, match=r"\(2, 6, 1, 2, 2, 3\) do not go on"):
        rated.with_ladders(np.zeros((2, 6, 1, 2, 2, 3), np.uint8), np.array([0]))
    with pytest.raises(ConfigError, match="2 ladders have 12 rungs, got 6"):
        rated.with_ladders(np.zeros((1, 6, 1, 2, 2, 3), np.uint8), np.array([0, 1]))
