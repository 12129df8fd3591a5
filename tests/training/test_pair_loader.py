"""Batches for the Siamese stage: each photo once, labels and pairs in step with the photos."""

import numpy as np
import pytest
import torch

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import AVA_SCALE, distribution_from_mos
from siamese_nima.training.augmentation import Augmentation
from siamese_nima.training.pair_loader import (
    PairedViews,
    bucket_pair_loader,
    pair_loader,
    plain_pair_loader,
)
from siamese_nima.training.pair_samplers import BucketPairDraws, PairDraws
from siamese_nima.training.pairs import all_pairs
from siamese_nima.training.photo_loader import RatedViews

PHOTOS = 12
BUCKETS = np.arange(PHOTOS) % 3


@pytest.fixture
def paired():
    """Photo i has the pixels i and 100 + i in every variant, and the mean 1 + i / 2."""
    means = 1 + np.arange(PHOTOS) / 2
    pixels = np.zeros((2, PHOTOS, 1, 1, 2, 3), np.uint8)
    pixels[..., 0, :] = np.arange(PHOTOS)[:, None, None, None]
    pixels[..., 1, :] = 100 + np.arange(PHOTOS)[:, None, None, None]
    rated = RatedViews(pixels, distribution_from_mos(means), means)
    return PairedViews(rated=rated, scale=AVA_SCALE, buckets=BUCKETS)


def photos_of(batch):
    """The photo that each row shows, mirrored or not."""
    return batch.inputs[:, 0, 0, :, 0].min(-1).values


def check(batch, paired):
    photos = photos_of(batch)
    assert torch.allclose(batch.labels.means, 1 + photos / 2)
    assert batch.labels.buckets.tolist() == BUCKETS[photos].tolist()
    expected = paired.rated.distributions[photos]
    assert batch.distributions.numpy() == pytest.approx(expected, abs=1e-6)


def test_a_batch_has_distinct_photos_with_their_labels_and_all_their_pairs(paired):
    batches = list(pair_loader(paired, PairDraws(PHOTOS, 2, 5, 0)))
    assert [len(batch.inputs) for batch in batches] == [5, 5]
    for batch in batches:
        check(batch, paired)
        assert batch.places.tolist() == all_pairs(5).tolist()
    assert len(torch.cat([photos_of(batch) for batch in batches]).unique()) == 10


def test_pairs_by_bucket_hold_each_photo_once_and_join_the_right_ones(paired):
    draws = BucketPairDraws(BUCKETS, 7, 0)
    for batch, rows in zip(bucket_pair_loader(paired, draws), draws, strict=True):
        check(batch, paired)
        photos = photos_of(batch)
        assert len(photos.unique()) == len(photos)
        assert photos[batch.places].T.tolist() == rows.tolist()


def test_augmentation_changes_photos_and_never_their_labels(paired):
    draws = PairDraws(PHOTOS, 1, PHOTOS, 0)
    loader = pair_loader(paired, draws, augmentation=Augmentation(horizontal_flip=True))
    mirrored = []
    for epoch in (0, 1, 0):
        draws.start_epoch(epoch)
        (batch,) = loader
        check(batch, paired)
        order = photos_of(batch).argsort()
        mirrored.append((batch.inputs[order, 0, 0, 0, 0] >= 100).tolist())
    assert mirrored[0] == mirrored[2] != mirrored[1]
    assert 0 < sum(mirrored[0]) < PHOTOS


def test_validation_sees_all_photos_in_order_and_variant_0(paired):
    batches = list(plain_pair_loader(paired, 5))
    assert torch.cat([photos_of(batch) for batch in batches]).tolist() == list(range(PHOTOS))


def test_a_ladder_is_a_group_of_its_own(paired):
    ladders = np.array([-1] * 6 + [0] * 3 + [1] * 3)
    scenes = ["a", "a", "b", "b", "c", "c"] + ["z"] * 6
    views = PairedViews(
        rated=paired.rated, scale=AVA_SCALE, scenes=scenes, ladders=ladders, rungs=ladders * 0
    )
    groups = views.groups().tolist()
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert len(set(groups)) == 5
    assert len(set(groups[6:9])) == len(set(groups[9:])) == 1


def test_fewer_photos_than_a_batch_are_refused(paired):
    with pytest.raises(ConfigError, match="12 training photos do not fill one batch of 13"):
        pair_loader(paired, PairDraws(PHOTOS, 1, 13, 0))
