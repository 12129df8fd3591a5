"""One call of `SiameseNIMA.train`: its options, its photos, its seed."""

from dataclasses import replace

import lightning
import numpy as np
import pytest
import torch

from siamese_nima import SiameseNIMA, ViewPolicy
from siamese_nima.errors import ConfigError, TableError, WeightsError
from siamese_nima.networks.checkpoint import load_checkpoint, save_checkpoint
from siamese_nima.networks.nima import NIMA


def test_the_same_seed_gives_the_same_network_and_leaves_random_numbers_alone(tmp_path, train):
    trained = []
    for seed in (0, 0, 1):
        siamese = SiameseNIMA(output_dir=tmp_path)
        torch.manual_seed(5)
        augmentation = {"horizontal_flip": True, "width_shift_range": 0.1}
        train(siamese, seed=seed, augmentation_args=augmentation)
        assert torch.rand(1).item() == torch.rand(1, generator=torch.manual_seed(5)).item()
        trained.append(siamese.model_nima.head.weight)
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_callbacks_are_functions_or_lightnings(siamese, train):
    class Counter(lightning.Callback):
        steps = 0

        def on_train_batch_end(self, *_):
            self.steps += 1

    counter, seen = Counter(), []
    train(
        epochs=2,
        is_callback_checkpoint=False,
        callback=[counter, lambda epoch, figures: seen.append((epoch, sorted(figures)))],
    )
    assert counter.steps == 2 * 3
    assert seen == [(0, ["accuracy", "loss"]), (1, ["accuracy", "loss"])]
    assert not siamese.output_dir.exists()


def test_weights_that_rate_any_size_are_trained_at_224(siamese, weights, tmp_path, train):
    nima, card = load_checkpoint(weights)
    native = tmp_path / "native.safetensors"
    save_checkpoint(native, nima, replace(card, view=ViewPolicy.parse("native")))
    shapes = set()
    original = NIMA.forward

    def noted(self, views):
        shapes.add(tuple(views.shape[1:]))
        return original(self, views)

    NIMA.forward = noted
    try:
        train(nima_weight_path=native, max_steps=1)
        assert shapes == {(1, 3, 224, 224)}
        shapes.clear()
        siamese.input_shape = (48, 64, 3)
        train(nima_weight_path=native, max_steps=1)
        assert shapes == {(1, 3, 48, 64)}
    finally:
        NIMA.forward = original
    assert str(siamese._card.view) == "native"


def test_a_photo_that_cannot_be_read_is_named_and_left_out(siamese, labelled, weights, tmp_path):
    paths, labels = siamese.load_data(labelled, labelled / "train_data.csv")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    raw = (np.append(paths, str(tmp_path / "broken.jpg")), np.append(labels, 1))
    with pytest.warns(UserWarning, match=r"1 photos are left out of training:\n.*broken\.jpg"):
        siamese.train(raw, None, weights, None, epochs=1, verbose=0)
    assert siamese._card.training["photos"] == 12
    with pytest.raises(TableError, match=r"none of the 1 photos can be read; .*broken\.jpg"):
        siamese.train(([tmp_path / "broken.jpg"], [1]), None, weights, None, verbose=0)


def test_weights_that_are_missing_are_an_error_never_random(train):
    with pytest.raises(WeightsError, match=r"none\.h5: no such weight file"):
        train(nima_weight_path="none.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "triplet"}, "one of contrastive, margin, preference, got 'triplet'"),
        ({"optimizer": "adagrade"}, "one of adadelta, adafactor, .*, got 'adagrade'"),
        ({"augmentation_args": {"rotation_range": 9}}, "rotation_range=9 is refused"),
        ({"callback": 3}, "function of epoch and figures, or a list of them; got int"),
        ({"checkpoint_format": "pt"}, "one of safetensors, h5, got 'pt'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"class_weight": {0: 2}}, "train has no class_weight: pairs of one and of two buckets"),
        ({"shuffle": False}, "train has no shuffle: pairs are drawn anew"),
        ({"validation_data": ([], [])}, "train has no validation_data: give val_raw"),
        ({"precission": "16-mixed"}, "no.* argument precission .did you mean 'precision'"),
        ({"layer_to_freeze": 618}, "needs the backbone inception_resnet_v2"),
        ({"layer_to_freeze": "blocks.9"}, "no stage 'blocks.9'"),
    ],
)
def test_an_unknown_or_impossible_option_is_refused(options, message, train):
    with pytest.raises(ConfigError, match=message):
        train(**options)


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        ((["a.png"],), TableError, "are .paths, labels., .* got tuple of length 1"),
        ((["a.png"], ["x"]), TableError, "1 photos need as many labels that are numbers"),
        ((["a.png"], [1, 2]), TableError, r"got shape \(2,\)"),
        ((["a.png"], [float("nan")]), TableError, "a label is not a finite number"),
        (([], []), TableError, "the table has no photos"),
    ],
)
def test_data_of_another_form_are_refused(siamese, weights, raw, error, message):
    with pytest.raises(error, match=message):
        siamese.train(raw, None, weights, None)


def test_what_only_steers_kerass_execution_is_ignored_with_one_warning(train):
    expected = train(seed=3)
    named = "workers, max_queue_size, shuffle, use_multiprocessing: ignored"
    with pytest.warns(UserWarning, match=named) as said:
        found = train(seed=3, workers=4, max_queue_size=20, shuffle=True, use_multiprocessing=False)
    assert len(said) == 1
    assert found == expected


def test_kerass_counts_of_steps_and_epochs_are_honoured(siamese, labelled, train):
    raw = siamese.load_data(labelled, labelled / "train_data.csv")
    steps = []

    class Counter(lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            steps.append(trainer.current_epoch)

    history = train(
        epochs=5,
        initial_epoch=2,
        steps_per_epoch=2,
        validation_freq=2,
        val_raw=raw,
        callback=Counter(),
        is_callback_checkpoint=False,
    )
    assert steps == [2, 2, 3, 3, 4, 4]
    assert [figures["epoch"] for figures in history] == [2, 3, 4]
    assert "val_loss" not in history[0]
    assert "val_loss" in history[1]


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_numbers_of_numpy_count_layers(train, kind):
    with pytest.raises(ConfigError, match="needs the backbone inception_resnet_v2"):
        train(layer_to_freeze=kind(618))


def test_floats_are_classes_too(siamese, labelled, weights):
    paths, labels = siamese.load_data(labelled, labelled / "train_data.csv")
    raw, floats = (paths, labels), (paths, labels + 0.0)
    options = {"epochs": 1, "batch_size": 8, "verbose": 0, "is_callback_checkpoint": False}
    found = [siamese.train(given, None, weights, None, **options) for given in (raw, floats)]
    assert found[0] == found[1]


def test_what_the_origin_prints_is_logged(train, weights, caplog):
    with caplog.at_level("INFO", logger="siamese_nima"):
        train(layer_to_freeze="blocks.3", max_steps=1)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"Loading nima weight: {weights}", "Freezing layers: up to blocks.3"]
