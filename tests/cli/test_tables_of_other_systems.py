"""Tables and lists as spreadsheets and other systems leave them, through the commands."""

import csv
import io
import subprocess
import sys
import unicodedata

import pytest
from PIL import Image

from command import invoked as nima
from systems import needs_posix

NAMES = ["caf\u00e9.png", "b.png", "day1/c.png", "d.png"]
ENCODINGS = ["utf-8-sig", "utf-16", "cp1252"]


@pytest.fixture
def shoot(tmp_path):
    """Four photos; the letters of the first are decomposed, as macOS writes them."""
    folder = tmp_path / "shoot"
    (folder / "day1").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        grey = (50 * number,) * 3
        Image.new("RGB", (32, 32), grey).save(folder / unicodedata.normalize("NFD", name))
    return folder


def as_spreadsheet(rows, encoding):
    """Semicolons, decimal commas, backslashes, CRLF."""
    lines = [";".join(str(c).replace(".5", ",5").replace("/", "\\") for c in row) for row in rows]
    return ("\r\n".join(lines) + "\r\n").encode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_list_on_standard_input(tiny_model, shoot, encoding):
    listed = "".join(f"{shoot}/{name}\r\n".replace("day1/", "day1\\") for name in NAMES)
    command = [sys.executable, "-m", "siamese_nima", "score", "-", "-m", tiny_model, "-o", "-"]
    command = [*command[:-2], "-q"]
    done = subprocess.run(command, input=listed.encode(encoding), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b".png") == 4


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_rating_table(shoot, encoding):
    rows = [("path", "mos"), *((name, f"{n}.5") for n, name in enumerate(NAMES))]
    (shoot / "R.CSV").write_bytes(as_spreadsheet(rows, encoding))
    done = nima("data", "check", shoot / "R.CSV", "--scale", "0..9")
    assert "4 of 4 photos can be read" in done.output


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_table_of_the_product_that_a_spreadsheet_saved(tiny_model, shoot, tmp_path, encoding):
    table = tmp_path / "scores.csv"
    assert nima("score", shoot, "-m", tiny_model, "-o", table, "-q").exit_code == 0
    rows = list(csv.reader(io.StringIO(table.read_text())))
    head, body = rows[0], rows[1:]
    numeric = [head.index(name) for name in ("mean", "percentile") if name in head]
    for row in body:
        row[0] = unicodedata.normalize("NFC", row[0]).replace("day1/", "day1\\")
        for place in numeric:
            row[place] = row[place].replace(".", ",")
        row[1:] = [f" {cell} " for cell in row[1:]]
    content = "\r\n".join(";".join(row) for row in [head, *body]).encode(encoding)
    (tmp_path / "S.CSV").write_bytes(content)
    done = nima("stars", "--table", tmp_path / "S.CSV", "--log", tmp_path / "log.jsonl")
    assert done.exit_code == 0, done.output
    assert len(list(shoot.glob("**/*.xmp"))) == 4


def test_a_photo_of_a_table_that_is_gone_gets_no_sidecar(tiny_model, shoot, tmp_path):
    table = tmp_path / "scores.csv"
    assert nima("score", shoot, "-m", tiny_model, "-o", table, "-q").exit_code == 0
    (shoot / "d.png").unlink()
    done = nima("stars", "--table", table, "--log", tmp_path / "log.jsonl")
    assert done.exit_code == 1
    assert f"failed: {shoot / 'd.png'}: no such file" in done.output
    assert len(list(shoot.glob("**/*.xmp"))) == 3


@needs_posix
def test_an_endless_table_is_refused_by_every_command(tmp_path):
    for command in (
        ["data", "check", "/dev/zero"],
        ["data", "split", "/dev/zero", "-o", tmp_path / "s.csv"],
        ["evaluate", "quality", "--data", "/dev/zero"],
    ):
        done = nima(*command)
        assert done.exit_code != 0
        assert "neither a CSV" in str(done.exception)
