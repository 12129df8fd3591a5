"""The checkpoints of `SiameseNIMA.train`: their names, their cards, both formats."""

import re

import h5py
import numpy as np
import pytest
import torch

from siamese_nima import SiameseNIMA
from siamese_nima.datasets.contamination import find_contamination
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.networks.checkpoint import load_checkpoint
from siamese_nima.ratings import RatingScale


def test_training_writes_the_origins_checkpoints_and_predict_uses_the_trained_network(
    siamese, labelled, weights, train, checkpoints
):
    raw = siamese.load_data(labelled, labelled / "train_data.csv")
    history = train(val_raw=raw, epochs=2)
    assert [figures["epoch"] for figures in history] == [0, 1]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history[1])
    names = checkpoints()
    assert names == [
        f"nima_weights{epoch + 1:02d}-{history[epoch]['val_accuracy']:.3f}.safetensors"
        for epoch in range(2)
    ]
    after = siamese.predict(raw, to_df=False)
    before = SiameseNIMA().predict(raw, nima_weight_path=weights, to_df=False)
    last = siamese.output_dir / "checkpoints" / names[1]
    kept = SiameseNIMA().predict(raw, nima_weight_path=last, to_df=False)
    assert after == pytest.approx(kept, abs=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_the_card_of_a_checkpoint_says_what_was_done(
    siamese, labelled, weights, train, checkpoints
):
    train(layer_to_freeze="blocks.3", epochs=1)
    (name,) = checkpoints()
    assert name == "nima_weights01.safetensors"
    nima, card = load_checkpoint(siamese.output_dir / "checkpoints" / name)
    start, _ = load_checkpoint(weights)
    assert card.name == "tiny-siamese"
    assert card.training["photos"] == 12
    assert card.training["stages"][0]["objective"] == "contrastive"
    assert card.training["layer_to_freeze"] == "blocks.3"
    assert card.population is None
    assert re.fullmatch("[0-9a-f]{64}", card.parent)
    paths, labels = siamese.load_data(labelled, labelled / "train_data.csv")
    table = RatingTable(
        paths=tuple(map(labelled.joinpath, paths)), mos=labels, scale=RatingScale(0, 9)
    )
    assert find_contamination(card, table).verdict == "contaminated"
    frozen = dict(nima.backbone.blocks[3].state_dict())
    torch.testing.assert_close(frozen, dict(start.backbone.blocks[3].state_dict()))
    assert not torch.equal(nima.head.weight, start.head.weight)


def test_h5_checkpoints_are_written_on_request(siamese, labelled, train, checkpoints):
    train(checkpoint_format="h5")
    (name,) = checkpoints()
    assert name == "nima_weights01.h5"
    with h5py.File(siamese.output_dir / "checkpoints" / name) as file:
        assert "layer_names" in file.attrs
    raw = siamese.load_data(labelled, labelled / "train_data.csv")
    reread = SiameseNIMA().predict(
        raw, 12, (32, 32), siamese.output_dir / "checkpoints" / name, to_df=False
    )
    assert reread == pytest.approx(siamese.predict(raw, to_df=False), abs=1e-4)
