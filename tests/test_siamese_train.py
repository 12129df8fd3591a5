"""SiameseNIMA.train: the origin's names, pairs, checkpoints and figures, on tiny photos."""

import inspect
import re
from dataclasses import replace

import h5py
import lightning
import numpy as np
import pytest
import torch
from PIL import Image

from siamese_nima import SiameseNIMA, ViewPolicy
from siamese_nima.card import ModelCard, Population
from siamese_nima.datasets.contamination import find_contamination
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import ConfigError, TableError, WeightsError
from siamese_nima.networks.checkpoint import load_checkpoint, save_checkpoint
from siamese_nima.networks.nima import NIMA, build_nima
from siamese_nima.ratings import RatingScale
from siamese_nima.training.objectives import SiameseObjective

OPTIONS = {"width": 0.25, "bn_epsilon": 1e-3, "padding": "keras2"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photos, brighter with the label, and a table of them."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("photos")
    lines = ["file_name label"]
    for number in range(12):
        label = number % 3
        pixels = rng.integers(0, 60, (40, 44, 3)) + 60 * label
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png {label}")
    (folder / "train_data.csv").write_text("\n".join(lines))
    return folder


def with_measured_norms(nima):
    """Random weights whose batch norms know their inputs, as those of a trained network do."""
    norms = [module for module in nima.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        light = torch.linspace(-1, 1, 24)[:, None, None, None, None]
        nima.train()(light + 0.2 * torch.randn(24, 1, 3, 32, 32))
    for norm in norms:
        norm.momentum = 0.1
    return nima.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A MobileNet a sixteenth of the usual size, which sees photos at 32 x 32."""
    torch.manual_seed(0)
    nima = with_measured_norms(build_nima("mobilenetv1_100", options=OPTIONS))
    card = ModelCard(
        name="tiny",
        backbone="mobilenetv1_100",
        backbone_options=OPTIONS,
        view=ViewPolicy.parse("warp:32/nearest"),
        population=Population("nothing", (1.0, 2.0)),
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, nima, card)
    return path


@pytest.fixture
def siamese(tmp_path):
    return SiameseNIMA(output_dir=tmp_path / "out")


def train(siamese, folder, weights, **options):
    raw = siamese.load_data(folder, folder / "train_data.csv")
    defaults = {"epochs": 1, "batch_size": 8, "layer_to_freeze": None, "verbose": 0}
    defaults["nima_weight_path"] = weights
    return siamese.train(raw, **(defaults | options))


def checkpoints_of(siamese):
    return sorted(path.name for path in (siamese.output_dir / "checkpoints").iterdir())


def test_names_and_defaults_are_the_origins():
    parameters = inspect.signature(SiameseNIMA.train).parameters
    ours = {
        name: p.default
        for name, p in parameters.items()
        if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    assert list(ours)[:2] == ["self", "train_raw"]
    assert dict(list(ours.items())[2:]) == {
        "val_raw": None,
        "nima_weight_path": None,
        "layer_to_freeze": 618,
        "epochs": 20,
        "batch_size": 64,
        "optimizer": None,
        "is_callback_checkpoint": True,
        "callback": None,
        "augmentation_args": None,
    }
    assert parameters["objective"].default == "contrastive"


def test_training_writes_the_origins_checkpoints_and_predict_uses_the_trained_network(
    siamese, folder, weights
):
    raw = siamese.load_data(folder, folder / "train_data.csv")
    history = train(siamese, folder, weights, val_raw=raw, epochs=2)
    assert [figures["epoch"] for figures in history] == [0, 1]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history[1])
    names = checkpoints_of(siamese)
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


def test_the_card_of_a_checkpoint_says_what_was_done(siamese, folder, weights):
    train(siamese, folder, weights, layer_to_freeze="blocks.3", epochs=1)
    (name,) = checkpoints_of(siamese)
    assert name == "nima_weights01.safetensors"
    nima, card = load_checkpoint(siamese.output_dir / "checkpoints" / name)
    start, _ = load_checkpoint(weights)
    assert card.name == "tiny-siamese"
    assert card.training["photos"] == 12
    assert card.training["objective"]["kind"] == "contrastive"
    assert card.training["layer_to_freeze"] == "blocks.3"
    assert card.population is None
    assert re.fullmatch("[0-9a-f]{64}", card.parent)
    paths, labels = siamese.load_data(folder, folder / "train_data.csv")
    table = RatingTable(
        paths=tuple(map(folder.joinpath, paths)), mos=labels, scale=RatingScale(0, 9)
    )
    assert find_contamination(card, table).verdict == "contaminated"
    frozen = dict(nima.backbone.blocks[3].state_dict())
    torch.testing.assert_close(frozen, dict(start.backbone.blocks[3].state_dict()))
    assert not torch.equal(nima.head.weight, start.head.weight)


def test_signed_objectives_learn_the_order_of_labels(siamese, folder, weights):
    raw = siamese.load_data(folder, folder / "train_data.csv")
    history = train(
        siamese, folder, weights, objective="preference", epochs=12, batch_size=12, val_raw=raw
    )
    assert history[-1]["loss"] < history[0]["loss"]
    means = siamese.predict(raw)["mean"].to_numpy()
    labels = np.array(raw[1])
    assert means[labels == 2].mean() > means[labels == 1].mean() > means[labels == 0].mean()


def test_the_earth_movers_distance_can_stay_beside_the_objective(siamese, folder, weights):
    paths, labels = siamese.load_data(folder, folder / "train_data.csv")
    objective = SiameseObjective(kind="preference", emd_weight=1.0)
    with pytest.raises(ConfigError, match=r"run from 0 to 2; .* scale 1..10"):
        train(siamese, folder, weights, objective=objective)
    raw = (paths, labels * 2.5 + 1)
    history = siamese.train(
        raw, raw, weights, None, epochs=1, batch_size=6, objective=objective, verbose=0
    )
    assert history[0]["val_emd"] > 0.001


def test_the_same_seed_gives_the_same_network_and_leaves_random_numbers_alone(
    tmp_path, folder, weights
):
    trained = []
    for seed in (0, 0, 1):
        siamese = SiameseNIMA(output_dir=tmp_path)
        torch.manual_seed(5)
        augmentation = {"horizontal_flip": True, "width_shift_range": 0.1}
        train(siamese, folder, weights, seed=seed, augmentation_args=augmentation)
        assert torch.rand(1).item() == torch.rand(1, generator=torch.manual_seed(5)).item()
        trained.append(siamese.model_nima.head.weight)
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_callbacks_are_functions_or_lightnings(siamese, folder, weights):
    class Counter(lightning.Callback):
        steps = 0

        def on_train_batch_end(self, *_):
            self.steps += 1

    counter, seen = Counter(), []
    train(
        siamese,
        folder,
        weights,
        epochs=2,
        is_callback_checkpoint=False,
        callback=[counter, lambda epoch, figures: seen.append((epoch, sorted(figures)))],
    )
    assert counter.steps == 2 * 3
    assert seen == [(0, ["accuracy", "loss"]), (1, ["accuracy", "loss"])]
    assert not siamese.output_dir.exists()


def test_h5_checkpoints_are_written_on_request(siamese, folder, weights):
    train(siamese, folder, weights, checkpoint_format="h5")
    (name,) = checkpoints_of(siamese)
    assert name == "nima_weights01.h5"
    with h5py.File(siamese.output_dir / "checkpoints" / name) as file:
        assert "layer_names" in file.attrs
    raw = siamese.load_data(folder, folder / "train_data.csv")
    reread = SiameseNIMA().predict(
        raw, 12, (32, 32), siamese.output_dir / "checkpoints" / name, to_df=False
    )
    assert reread == pytest.approx(siamese.predict(raw, to_df=False), abs=1e-4)


def test_weights_that_rate_any_size_are_trained_at_224(siamese, folder, weights, tmp_path):
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
        train(siamese, folder, native, max_steps=1)
        assert shapes == {(1, 3, 224, 224)}
        shapes.clear()
        siamese.input_shape = (48, 64, 3)
        train(siamese, folder, native, max_steps=1)
        assert shapes == {(1, 3, 48, 64)}
    finally:
        NIMA.forward = original
    assert str(siamese._card.view) == "native"


def test_a_photo_that_cannot_be_read_is_named_and_left_out(siamese, folder, weights, tmp_path):
    paths, labels = siamese.load_data(folder, folder / "train_data.csv")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    raw = (np.append(paths, str(tmp_path / "broken.jpg")), np.append(labels, 1))
    with pytest.warns(UserWarning, match=r"1 photos are left out of training:\n.*broken\.jpg"):
        siamese.train(raw, None, weights, None, epochs=1, verbose=0)
    assert siamese._card.training["photos"] == 12
    with pytest.raises(TableError, match=r"none of the 1 photos can be read; .*broken\.jpg"):
        siamese.train(([tmp_path / "broken.jpg"], [1]), None, weights, None, verbose=0)


def test_weights_that_are_missing_are_an_error_never_random(siamese, folder):
    with pytest.raises(WeightsError, match=r"none\.h5: no such weight file"):
        train(siamese, folder, "none.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "triplet"}, "one of contrastive, margin, preference, got 'triplet'"),
        ({"optimizer": "adagrad"}, "one of adam, adamw"),
        ({"augmentation_args": {"rotation_range": 9}}, "rotation_range=9 is refused"),
        ({"callback": 3}, "function of epoch and figures, or a list of them; got int"),
        ({"checkpoint_format": "pt"}, "one of safetensors, h5, got 'pt'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"steps_per_epoch": 3}, "train has no steps_per_epoch: give limit_train_batches"),
        ({"precission": "16-mixed"}, "no.* argument precission; did you mean precision"),
        ({"layer_to_freeze": 618}, "needs the backbone inception_resnet_v2"),
        ({"layer_to_freeze": "blocks.9"}, "no stage 'blocks.9'"),
    ],
)
def test_an_unknown_or_impossible_option_is_refused(siamese, folder, weights, options, message):
    with pytest.raises(ConfigError, match=message):
        train(siamese, folder, weights, **options)


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


def test_mean_scores_with_decimals_make_no_classes(siamese, folder, weights):
    paths, _ = siamese.load_data(folder, folder / "train_data.csv")
    with pytest.raises(ConfigError, match="mean scores with decimals must be put into buckets"):
        siamese.train((paths, np.linspace(1, 9, 12)), None, weights, None, verbose=0)
