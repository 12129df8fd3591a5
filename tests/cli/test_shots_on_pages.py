"""Camera raw and JPEG of one shot are one photo on the pages too."""

from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from PIL import Image

from siamese_nima.cli import pick, serve
from siamese_nima.scoring.scorer import Scorer

QUIET = SimpleNamespace(quiet=True)


@pytest.fixture
def shoot(tmp_path):
    for number in range(1, 4):
        Image.new("RGB", (300, 200), (70 * number,) * 3).save(tmp_path / f"IMG_{number}.JPG")
        (tmp_path / f"IMG_{number}.dng").write_bytes(b"raw")
    return tmp_path


def test_the_page_of_a_server_has_one_entry_for_a_shot(shoot, tiny_model):
    page = serve._gallery(shoot, QUIET, Scorer(tiny_model)).html.decode()
    assert page.count("<li data-path=") == 3
    assert ".dng" not in page


def test_a_shot_is_asked_about_once(shoot, tiny_model):
    results, _ = pick._scored(QUIET, Scorer(tiny_model), shoot, bursts=False)
    names = [result.path.rpartition("/")[2] for result in results]
    assert names == ["IMG_1.JPG", "IMG_2.JPG", "IMG_3.JPG"]
