"""Tables hold every result, and appear only when they are whole."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.tables import open_table

THREE = RatingScale(1, 3)
GOOD = ScoredPhoto(
    path='a "b",\nc.jpg',
    model="m-1@0",
    scale=THREE,
    mean=2.25,
    spread=0.5,
    distribution=(0.125, 0.5, 0.375),
    percentile=62.5,
)
BAD = ScoredPhoto(path="café/ж.jpg", model="m-1@0", scale=THREE, error="café/ж.jpg: truncated")


@pytest.fixture(params=[".csv", ".jsonl", ".parquet"])
def path(request, tmp_path):
    return tmp_path / f"scores{request.param}"


def test_csv_rows_come_back(tmp_path):
    with open_table(tmp_path / "t.csv", THREE) as table:
        table.write(GOOD)
        table.write(BAD)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        good, bad = csv.DictReader(file)
    assert good == {
        "path": GOOD.path,
        "mean": "2.25",
        "spread": "0.5",
        "percentile": "62.5",
        "p1": "0.125",
        "p2": "0.5",
        "p3": "0.375",
        "scale": "1..3",
        "model": "m-1@0",
        "error": "",
    }
    assert (bad["path"], bad["mean"], bad["p2"], bad["error"]) == (BAD.path, "", "", BAD.error)


def test_json_lines_come_back(tmp_path):
    with open_table(tmp_path / "t.jsonl", THREE) as table:
        table.write(GOOD)
        table.write(BAD)
    good, bad = map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())
    assert good["distribution"] == [0.125, 0.5, 0.375]
    assert (good["path"], good["scale"], good["mean"]) == (GOOD.path, [1, 3], 2.25)
    assert (bad["mean"], bad["distribution"], bad["error"]) == (None, None, BAD.error)


def test_parquet_rows_come_back(tmp_path):
    with open_table(tmp_path / "t.parquet", THREE) as table:
        table.write(GOOD)
        table.write(BAD)
    good, bad = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert good["distribution"] == [0.125, 0.5, 0.375]
    assert (good["path"], good["percentile"]) == (GOOD.path, 62.5)
    assert (bad["distribution"], bad["error"]) == (None, BAD.error)


def test_names_that_are_not_unicode_survive(path):
    odd = ScoredPhoto(path="caf\udce9.jpg", model="m", scale=THREE, error="caf\udce9.jpg: empty")
    with open_table(path, THREE) as table:
        table.write(odd)
    if path.suffix == ".csv":
        assert b"caf\xe9.jpg" in path.read_bytes()
    elif path.suffix == ".jsonl":
        assert json.loads(path.read_text())["path"] == "caf\udce9.jpg"
    else:
        assert pq.read_table(path).to_pylist()[0]["path"] == r"caf\xe9.jpg"


def test_an_interrupted_run_leaves_the_old_table_and_no_half_one(path):
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir() if entry.is_file()] == [path.name]


def write_and_interrupt(path):
    with open_table(path, THREE) as table:
        table.write(GOOD)
        raise KeyboardInterrupt


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"t.xlsx: a table ends in .csv, .jsonl, .parquet"),
        open_table(tmp_path / "t.xlsx", THREE),
    ):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with (
        pytest.raises(NimaError, match=r"none/t.csv: cannot be written \(No such file"),
        open_table(tmp_path / "none" / "t.csv", THREE),
    ):
        pass
