"""Names find models; everything else says what to do."""

import shutil
from pathlib import Path

import pytest

from siamese_nima.errors import WeightsError
from siamese_nima.scoring.catalogue import embedded_models, find_model, models_folder


def test_the_embedded_model_is_found_by_name_and_fits_its_promise():
    path = find_model("quality")
    assert path == embedded_models()["quality"]
    assert path.stat().st_size <= 8_000_000


def test_installed_models_are_found_by_name_and_win_over_embedded_ones(tiny_model):
    models_folder().mkdir(parents=True)
    mine = models_folder() / "quality.onnx"
    shutil.copy(tiny_model, mine)
    assert find_model("quality") == mine


def test_a_path_is_taken_as_it_is():
    assert find_model("some/where.onnx") == Path("some/where.onnx")
    assert find_model("where.onnx") == Path("where.onnx")


@pytest.mark.parametrize("name", ["nima.h5", "a/nima.hdf5", "nima.safetensors"])
def test_weight_files_must_be_imported_first(name):
    with pytest.raises(WeightsError, match=f"{name}: a weight file.*'nima models import {name}'"):
        find_model(name)
