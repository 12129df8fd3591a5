"""The table of bursts: every photo once."""

import csv
import json

import pytest

from siamese_nima.curation.bursts import Burst, burst_csv, burst_rows, write_burst_table
from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto


def result(path, mean):
    error = "broken" if mean is None else None
    return ScoredPhoto(path=path, model="tiny-1@0", scale=AVA_SCALE, score=mean, error=error)


A, B, C, D, E = (result(*row) for row in zip("abcde", (4.0, 6.0, 7.0, None, 8.0), strict=True))
BURSTS = (Burst((B, A), True, 0.7),)


def test_bursts_come_first_then_single_photos_then_failures():
    rows = list(burst_rows([A, B, C, D, E], BURSTS))
    assert [(row["path"], row["burst"], row["place"], row["of"]) for row in rows] == [
        ("b", 1, 1, 2),
        ("a", 1, 2, 2),
        ("e", None, 1, 1),
        ("c", None, 1, 1),
        ("d", None, None, 1),
    ]
    assert [(row["too_close"], row["over_next"]) for row in rows[:2]] == [(True, 0.7), (None, None)]
    assert rows[4]["error"] == "broken"


def test_the_best_alone_are_one_row_per_burst_and_single_photo():
    rows = burst_rows([A, B, C, D, E], BURSTS, best_only=True)
    assert [row["path"] for row in rows] == ["b", "e", "c"]


def test_tables_are_written_as_csv_and_json_lines(tmp_path):
    rows = list(burst_rows([A, B, D], BURSTS))
    for name in ("t.csv", "t.jsonl"):
        write_burst_table(tmp_path / name, rows)
    read = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [(row["path"], row["score"], row["too_close"]) for row in read] == [
        ("b", "6.0", "true"),
        ("a", "4.0", ""),
        ("d", "", ""),
    ]
    assert [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()] == rows
    assert (tmp_path / "t.csv").read_text() == burst_csv(rows)


def test_other_formats_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"t.xlsx: a table of bursts ends in .csv or .jsonl"):
        write_burst_table(tmp_path / "t.xlsx", [])
    with pytest.raises(NimaError, match=r"t.csv: cannot be written"):
        write_burst_table(tmp_path / "no" / "t.csv", [])
