"""`nima explain` and `nima crop`, as a user types them."""

import json

import numpy as np
import pytest
from PIL import Image

from command import invoked as nima
from siamese_nima.errors import ConfigError


@pytest.fixture
def photo(tmp_path):
    """Grey, with a dark part at the bottom right and a bright one at the top left."""
    pixels = np.full((200, 300, 3), 120, np.uint8)
    pixels[:60, :90] = 250
    pixels[140:, 210:] = 0
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_explain_names_both_regions_and_draws_them(tiny_model, photo, tmp_path):
    done = nima("explain", photo, "--model", tiny_model, "--out", tmp_path / "why.png")
    assert done.exit_code == 0, done.output
    assert "at the top left (pixels 0,0 to 90,60) lowers the score" in done.stdout
    assert "at the bottom right (pixels 210,140 to 300,200) raises the score" in done.stdout
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.width > 900


def test_explain_as_json_has_every_region(tiny_model, photo):
    found = json.loads(nima("explain", photo, "--model", tiny_model, "--json").stdout)
    assert len(found["regions"]) == 64
    assert found["rests_on"]["box"] == [0, 0, 90, 60]
    assert found["costs"]["effect"] == max(region["effect"] for region in found["regions"])
    assert np.array(found["cells"]).shape == (10, 10)


def test_crop_prints_the_best_and_saves_it_beside_the_photo(tiny_model, photo, tmp_path):
    before = photo.read_bytes()
    out = tmp_path / "best.jpg"
    done = nima("crop", photo, "--model", tiny_model, "--ratio", "1:1", "--top", 2, "--out", out)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[2].split()[2:6] == ["0,0", "to", "120,120", "1:1"]
    with Image.open(out) as crop:
        assert crop.size == (120, 120)
    assert photo.read_bytes() == before


def test_neither_ever_writes_to_the_photo(tiny_model, photo):
    for command in ("explain", "crop"):
        done = nima(command, photo, "--model", tiny_model, "--out", photo)
        assert isinstance(done.exception, ConfigError)
        assert "is read, and would be replaced" in str(done.exception)


@pytest.mark.parametrize("command", ["explain", "crop"])
def test_a_url_is_told_that_nothing_is_downloaded(tiny_model, photo, command):
    done = nima(command, "https://photos.example/a.jpg", "--model", tiny_model)
    assert "https://photos.example/a.jpg: a URL, and nothing is downloaded" in str(done.exception)
    assert nima(command, photo.as_uri(), "--model", tiny_model).exit_code == 0
