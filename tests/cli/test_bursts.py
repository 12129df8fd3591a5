"""`nima bursts` as a user types it."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from siamese_nima.cli import app

ORIGINAL, EXIF_IFD = 0x9003, 0x8769


@pytest.fixture
def shoot(tmp_path):
    """Three frames of one scene within seconds, one an hour later, and another scene."""
    folder = tmp_path / "shoot"
    folder.mkdir()
    times = {
        "a1": "12:00:00",
        "a2": "12:00:04",
        "a3": "12:00:09",
        "a4": "13:00:00",
        "b": "12:00:05",
    }
    for number, (name, time) in enumerate(times.items()):
        exif = Image.Exif()
        exif.get_ifd(EXIF_IFD)[ORIGINAL] = f"2026:05:01 {time}"
        noise = np.random.default_rng(name[0] == "b").integers(0, 200, (4, 6, 3), dtype=np.uint8)
        photo = Image.fromarray(noise + np.uint8(10 * number)).resize((240, 160))
        photo.save(folder / f"{name}.jpg", exif=exif)
    return folder


def nima(*arguments):
    done = CliRunner().invoke(app, ["bursts", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_a_burst_is_a_group_with_its_best_photo_first(tiny_model, shoot):
    code, out, err = nima(shoot, "--model", tiny_model)
    rows = [
        (Path(row["path"]).name, row["burst"], row["place"], row["of"])
        for row in csv.DictReader(io.StringIO(out))
    ]
    assert code == 0
    assert rows == [
        ("a3.jpg", "1", "1", "3"),
        ("a2.jpg", "1", "2", "3"),
        ("a1.jpg", "1", "3", "3"),
        ("b.jpg", "", "1", "1"),
        ("a4.jpg", "", "1", "1"),
    ]
    assert "3 photos in 1 burst; 3 to keep" in err


def test_the_best_only_are_names_to_keep_in_the_order_given(tiny_model, shoot):
    _, out, _ = nima(shoot, "--model", tiny_model, "--best-only", "-q")
    assert [Path(line).name for line in out.splitlines()] == ["a3.jpg", "a4.jpg", "b.jpg"]


def test_a_second_run_from_the_cache_finds_the_same_bursts(tiny_model, shoot, tmp_path):
    cache = "--cache", tmp_path / "results.sqlite"
    first = nima(shoot, "--model", tiny_model, *cache)
    second = nima(shoot, "--model", tiny_model, *cache)
    assert second[:2] == first[:2]
    assert "5 from the cache" in second[2]


def test_the_window_and_the_similarity_are_options(tiny_model, shoot):
    wide = nima(shoot, "--model", tiny_model, "--window", 4000, "-q")[1]
    narrow = nima(shoot, "--model", tiny_model, "--window", 1, "-q")[1]
    strict = nima(shoot, "--model", tiny_model, "--similarity", 0.99999, "-q")[1]
    assert [text.count(",tiny-1@") for text in (wide, narrow, strict)] == [5, 5, 5]
    assert [sum(",4," in line for line in t.splitlines()) for t in (wide, narrow)] == [4, 0]
    assert "\n1,1,3" not in strict


def test_a_broken_photo_is_in_the_table_with_its_error(tiny_model, shoot, tmp_path):
    (shoot / "a2.jpg").write_bytes(b"broken")
    code, _, err = nima(shoot, "--model", tiny_model, "--out", tmp_path / "t.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert code == 1
    assert len(rows) == 5
    assert "a2.jpg" in rows[-1]["error"]
    assert "failed: " in err


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--similarity", "2"], "similarity"), (["--out", "t.txt"], "t.txt: a table of bursts")],
)
def test_mistakes_are_named_before_anything_is_scored(tiny_model, shoot, options, message):
    done = CliRunner().invoke(app, ["bursts", str(shoot), "-m", str(tiny_model), *options])
    assert done.exit_code != 0
    assert message in str(done.exception)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_bursts_are_blocks_of_lines(tiny_model, shoot):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "siamese_nima", "bursts", shoot, "-m", tiny_model, "-q"]
    wide = {**os.environ, "COLUMNS": "300"}
    subprocess.run(
        command, stdout=theirs, stderr=subprocess.DEVNULL, timeout=120, check=True, env=wide
    )
    os.close(theirs)
    lines = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert lines[0].startswith("burst   score  photo      (score 1..10")
    assert lines[1].lstrip().startswith("1 ")
    assert lines[1].endswith("a3.jpg   best; how sure is unknown")
    assert lines[2].endswith("a2.jpg   no clear difference")


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_best_are_copied_and_the_rest_moved_and_all_is_undone(tiny_model, shoot, tmp_path):
    (shoot / "a1.dng").write_bytes((shoot / "a1.jpg").read_bytes())
    (shoot / "a3.jpg.xmp").write_text("<a/>")
    before = files(shoot)
    best, rest, log = (tmp_path / name for name in ("best", "rest", "log"))
    folders = "--copy-best-to", best, "--move-rest-to", rest, "--log", log
    code, _, err = nima(shoot, "-m", tiny_model, *folders)
    assert code == 0
    assert "files: 4 copied, 3 moved" in err
    assert f"undo with: nima bursts --undo {log}" in err
    assert sorted(files(best)) == ["a3.jpg", "a3.jpg.xmp", "a4.jpg", "b.jpg"]
    assert sorted(files(rest)) == ["a1.dng", "a1.jpg", "a2.jpg"]
    code, _, err = nima("--undo", log)
    assert (code, err) == (0, "files: 3 put back, 4 removed\n")
    assert files(shoot) == before
    assert not best.exists()


def test_undo_takes_no_photos(tiny_model, shoot, tmp_path):
    done = CliRunner().invoke(app, ["bursts", str(shoot), "--undo", str(tmp_path / "log")])
    assert "give one of: PHOTOS, --undo" in str(done.exception)
    done = CliRunner().invoke(app, ["bursts", "-m", str(tiny_model)])
    assert "give one of: PHOTOS, --undo" in str(done.exception)


def ranked(*arguments):
    done = CliRunner().invoke(app, ["rank", *map(str, arguments)])
    rows = csv.DictReader(io.StringIO(done.stdout))
    return [Path(row["path"]).name for row in rows], done.stderr


def test_a_ranking_can_have_one_photo_per_burst(tiny_model, shoot, tmp_path):
    every, _ = ranked(shoot, "-m", tiny_model)
    names, err = ranked(shoot, "-m", tiny_model, "--one-per-burst", "--copy-to", tmp_path / "best")
    assert len(every) == 5
    assert names == [name for name in every if name not in ("a1.jpg", "a2.jpg")]
    assert "2 other photos of the same bursts left out" in err
    assert len(list((tmp_path / "best").iterdir())) == 3


def test_the_worst_come_first_where_asked(tiny_model, shoot):
    every, _ = ranked(shoot, "-m", tiny_model)
    assert ranked(shoot, "-m", tiny_model, "--worst")[0] == every[::-1]
    assert ranked(shoot, "-m", tiny_model, "--worst", "--top", "40%")[0] == every[::-1][:2]


def test_folders_that_photos_went_to_are_not_searched(tiny_model, shoot):
    folders = "--copy-best-to", shoot / "best", "--move-rest-to", shoot / "rest"
    assert nima(shoot, "-m", tiny_model, *folders, "--log", shoot / "log1")[0] == 0
    code, out, _ = nima(shoot, "-m", tiny_model, *folders, "--log", shoot / "log2")
    assert (code, len(out.splitlines())) == (0, 4)
