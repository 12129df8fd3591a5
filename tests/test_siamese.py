"""The origin's API: its names, its tables, its numbers."""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from siamese_nima import SiameseNIMA, ratings
from siamese_nima.errors import ConfigError, TableError, WeightsError
from siamese_nima.networks.checkpoint import save_checkpoint


@pytest.fixture
def pictures(tmp_path):
    """Three pictures of different sizes and a table of them."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, size in (("b.png", (90, 80)), ("a.png", (100, 75)), ("c.png", (90, 80))):
        pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "names.csv").write_text("file_name label\nb.png 3\na.png 0\nc.png 7\n")
    return folder


@pytest.mark.parametrize("separator", [" ", ",", "\t", ";"])
def test_a_table_of_two_columns_gives_paths_and_labels(pictures, separator):
    table = pictures / "names.csv"
    table.write_text(table.read_text().replace(" ", separator))
    paths, labels = SiameseNIMA().load_data(pictures, table)
    assert list(paths) == [str(pictures / name) for name in ("b.png", "a.png", "c.png")]
    assert labels.tolist() == [3, 0, 7]
    assert labels.dtype == np.int64


@pytest.mark.parametrize(
    ("between", "sep"), [("  ", r"\s+"), ("\t ", r"\s+"), ("||", "||"), (" ; ", r"\s*;\s*")]
)
def test_a_separator_is_several_characters_or_a_regular_expression(pictures, between, sep):
    table = pictures / "names.csv"
    table.write_text(table.read_text().replace(" ", between))
    paths, labels = SiameseNIMA().load_data(pictures, table, sep)
    assert [path.rpartition("/")[2] for path in paths] == ["b.png", "a.png", "c.png"]
    assert labels.tolist() == [3, 0, 7]


@pytest.mark.parametrize(("sep", "message"), [("((", "no regular"), ("x*", "matches nothing")])
def test_a_separator_that_parts_nothing_is_refused(pictures, sep, message):
    with pytest.raises(TableError, match=message):
        SiameseNIMA().load_data(pictures, pictures / "names.csv", sep)


def test_the_order_of_arguments_is_the_origins(pictures):
    table = pictures / "names.csv"
    table.write_text(table.read_text().replace(" ", ","))
    (paths,) = SiameseNIMA().load_data(pictures, table, ",", ["file_name"])
    assert len(paths) == 3
    with pytest.raises(TableError, match="in this order"):
        SiameseNIMA().load_data(pictures, table, ["file_name"], ",")


def test_arguments_of_keras_that_steer_predicting_are_ignored_and_named(built, pictures):
    paths, _ = built.load_data(pictures, pictures / "names.csv")
    expected = built.predict(paths, target_size=(80, 80), to_df=False)
    with pytest.warns(UserWarning, match="verbose, workers, steps: ignored"):
        found = built.predict(
            paths, target_size=(80, 80), to_df=False, verbose=0, workers=4, steps=3
        )
    assert np.array_equal(found, expected)
    with pytest.raises(ConfigError, match=r"steps=1 would leave photos out: these are 3 batches"):
        built.predict(paths, steps=1)
    with pytest.raises(ConfigError, match="no argument verbos"):
        built.predict(paths, verbos=0)


def test_one_column_is_enough_to_predict(pictures):
    (paths,) = SiameseNIMA().load_data(pictures, pictures / "names.csv", columns=["file_name"])
    assert len(paths) == 3


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("file_name label\na.png\n", ["file_name", "label"], "line 2: 1 values for 2 columns"),
        ("file_name label\na.png x\n", ["file_name", "label"], "not a number .*'x'"),
        ("name label\na.png 1\n", ["file_name"], "header 'name label' has no columns file_name"),
        ("file_name\na.png\n", ["a", "b", "c"], "one .file names. or two"),
    ],
)
def test_a_malformed_table_says_where(pictures, content, columns, message):
    (pictures / "names.csv").write_text(content)
    with pytest.raises(TableError, match=message):
        SiameseNIMA().load_data(pictures, pictures / "names.csv", columns=columns)


def test_a_missing_folder_or_table_is_named(pictures):
    with pytest.raises(TableError, match="nowhere: no such folder"):
        SiameseNIMA().load_data("nowhere", pictures / "names.csv")
    with pytest.raises(TableError, match=r"none.csv: cannot be read \(No such file"):
        SiameseNIMA().load_data(pictures, pictures / "none.csv")


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(3)
    siamese = SiameseNIMA()
    siamese.build()
    return siamese


def test_predict_equals_the_network_on_the_pixels_at_native_size(built, pictures):
    raw = built.load_data(pictures, pictures / "names.csv")
    frame = built.predict(raw)
    assert list(frame.columns) == ["source", "mean", "std", "scores"]
    assert list(frame["source"]) == list(raw[0])
    for row in frame.itertuples():
        pixels = torch.from_numpy(np.array(Image.open(row.source))).permute(2, 0, 1)
        with torch.no_grad():
            expected = built.model_nima((pixels[None, None].float() - 127.5) / 127.5)[0].numpy()
        assert row.scores == pytest.approx(expected, abs=1e-4)
        assert row.mean == pytest.approx(ratings.mean(expected), abs=1e-3)
        assert row.std == pytest.approx(ratings.spread(expected), abs=1e-3)


def test_a_target_size_resizes_to_the_nearest_pixel_as_keras_does(built, pictures):
    paths, _ = built.load_data(pictures, pictures / "names.csv")
    found = built.predict(paths, batch_size=3, target_size=(80, 96), to_df=False)
    assert found.shape == (3, 10)
    for path, distribution in zip(paths, found, strict=True):
        resized = Image.open(path).resize((96, 80), Image.Resampling.NEAREST)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
        with torch.no_grad():
            expected = built.model_nima((pixels[None, None].float() - 127.5) / 127.5)[0].numpy()
        assert distribution == pytest.approx(expected, abs=1e-4)


def test_weights_are_read_from_a_file(built, pictures, tmp_path):
    path = tmp_path / "nima_weights05-0.812.safetensors"
    save_checkpoint(path, built._nima, built._card)
    paths, _ = built.load_data(pictures, pictures / "names.csv")
    expected = built.predict(paths[:1], to_df=False)
    found = SiameseNIMA().predict(paths[:1], nima_weight_path=path, to_df=False)
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_model_name_uses_its_own_view(pictures):
    siamese = SiameseNIMA()
    paths, _ = siamese.load_data(pictures, pictures / "names.csv")
    frame = siamese.predict(paths, nima_weight_path="quality")
    assert isinstance(frame, pd.DataFrame)
    assert frame["mean"].between(1, 10).all()


def test_a_broken_photo_is_a_row_of_nan_and_a_warning(built, pictures):
    (pictures / "a.png").write_bytes(b"broken")
    paths, _ = built.load_data(pictures, pictures / "names.csv")
    with pytest.warns(UserWarning, match=r"a\.png"):
        frame = built.predict(paths, target_size=(80, 80))
    assert frame["mean"].isna().tolist() == [False, True, False]
    assert np.isnan(frame["scores"][1]).all()


def test_weights_that_are_missing_are_an_error_never_random(pictures):
    siamese = SiameseNIMA()
    paths, _ = siamese.load_data(pictures, pictures / "names.csv")
    with pytest.raises(WeightsError, match=r"none.h5: no such weight file"):
        siamese.predict(paths, nima_weight_path="none.h5")
    with pytest.raises(WeightsError, match=r"none.h5: no such weight file"):
        siamese.build("none.h5")
    with pytest.raises(WeightsError, match="no network yet: give nima_weight_path"):
        siamese.predict(paths)
    assert siamese.model_nima is None


def test_mean_and_std_are_those_of_the_distribution():
    scores = np.array([[0.5, *[0] * 8, 0.5], [0, 0, 1, *[0] * 7]])
    assert SiameseNIMA.nima_mean_score(scores).tolist() == [5.5, 3.0]
    assert SiameseNIMA.nima_std_score(scores).tolist() == [4.5, 0.0]


def test_an_impossible_input_shape_is_refused():
    with pytest.raises(ConfigError, match=r"\(height, width, 3\), got \(None, None, 1\)"):
        SiameseNIMA((None, None, 1))


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
