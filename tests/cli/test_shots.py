"""Camera raw and JPEG of one shot are one photo to every command that ranks."""

import csv
import io
import shutil

import pytest
from PIL import Image
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.curation.xmp import Packet


@pytest.fixture
def pairs(photo_folder):
    """Two of eleven photos have a twin, a JPEG; its content is a picture that can be read."""
    for number in (2, 10):
        original = photo_folder / f"photo{number}.png"
        with Image.open(original) as photo:
            photo.save(photo_folder / f"photo{number}.jpg", quality=95)
        original.rename(photo_folder / f"photo{number}.dng")
        photo = photo_folder / f"photo{number}.jpg"
        shutil.copy(photo, photo_folder / f"photo{number}.dng")
    return photo_folder


def nima(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.exit_code, done.stdout, done.stderr


def rows(text):
    return [row["path"].rpartition("/")[2] for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize("command", ["rank", "bursts"])
def test_a_shot_is_one_row_unless_apart(tiny_model, pairs, command):
    code, out, err = nima(command, pairs, "-m", tiny_model)
    assert code == 0
    assert len(rows(out)) == 11
    assert "photo2.jpg" in rows(out)
    assert "11 of 11 photos scored" in err
    assert "2 more files of the same shots" in err
    assert len(rows(nima(command, pairs, "-m", tiny_model, "--apart")[1])) == 13


def test_a_report_shows_a_shot_once(tiny_model, pairs, tmp_path):
    nima("report", pairs, "-m", tiny_model, "-o", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("data-path") == 11
    nima("report", pairs, "-m", tiny_model, "-o", tmp_path / "page.html", "--apart")
    assert (tmp_path / "page.html").read_text().count("data-path") == 13


def test_of_a_shot_whose_jpeg_is_broken_the_other_file_is_scored(tiny_model, pairs):
    (pairs / "photo2.jpg").write_bytes(b"broken")
    code, out, _ = nima("rank", pairs, "-m", tiny_model)
    assert code == 0
    assert "photo2.dng" in rows(out)


def test_one_rating_reaches_both_files_from_photos_or_a_table(tiny_model, pairs, tmp_path):
    table = tmp_path / "s.csv"
    nima("score", pairs, "-m", tiny_model, "--out", table, "-q")
    assert len(rows(table.read_text())) == 13
    for source in (["--table", table], [pairs, "-m", tiny_model]):
        code, _, err = nima("stars", *source, "--log", tmp_path / "undo")
        assert code == 0
        assert "13 new sidecars" in err
        ratings = {p.name: Packet.parse(p.read_bytes(), "").rating for p in pairs.glob("*.xmp")}
        assert ratings["photo2.jpg.xmp"] == ratings["photo2.dng.xmp"] == 2
        nima("stars", "--undo", tmp_path / "undo")
        (tmp_path / "undo").unlink()


def test_copies_take_the_twin_and_the_sidecars_along(tiny_model, pairs, tmp_path):
    nima("stars", pairs, "-m", tiny_model, "--log", tmp_path / "undo", "--sidecars", "stem")
    nima("rank", pairs, "-m", tiny_model, "--top", "2", "--copy-to", tmp_path / "best")
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == [
        "0001-photo11.png",
        "0001-photo11.xmp",
        "0002-photo10.dng",
        "0002-photo10.jpg",
        "0002-photo10.xmp",
    ]
