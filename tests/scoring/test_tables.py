"""Tables hold every result, and appear only when they are whole."""

import csv
import json
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.ranking import RankPlace
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.tables import Columns, open_table

THREE = RatingScale(1, 3)
ONE_MODEL = Columns({"m": THREE})
GOOD = ScoredPhoto(
    path='a "b",\nc.jpg',
    model="m-1@0",
    scale=THREE,
    score=2.25,
    spread=0.5,
    distribution=(0.125, 0.5, 0.375),
    percentile=62.5,
)
FIVE = RatingScale(1, 5)
BOTH = replace(
    GOOD,
    others={
        "looks": ScoredPhoto(
            path=GOOD.path,
            model="looks-2@1",
            scale=FIVE,
            score=4.0,
            spread=1.0,
            distribution=(0.0, 0.125, 0.125, 0.375, 0.375),
        )
    },
)
TWO_MODELS = Columns({"m": THREE, "looks": FIVE})
RANKING = Columns({"m": THREE}, ranked=True)
PLACE = RankPlace(rank=2, best=1, worst=4, over_next=0.625)
BAD = ScoredPhoto(path="café/ж.jpg", model="m-1@0", scale=THREE, error="café/ж.jpg: truncated")


@pytest.fixture(params=[".csv", ".jsonl", ".parquet"])
def path(request, tmp_path):
    return tmp_path / f"scores{request.param}"


def test_csv_rows_come_back(tmp_path):
    with open_table(tmp_path / "t.csv", ONE_MODEL) as table:
        table.write(GOOD)
        table.write(BAD)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        good, bad = csv.DictReader(file)
    assert good == {
        "path": GOOD.path,
        "score": "2.25",
        "spread": "0.5",
        "percentile": "62.5",
        "p1": "0.125",
        "p2": "0.5",
        "p3": "0.375",
        "scale": "1..3",
        "model": "m-1@0",
        "error": "",
    }
    assert (bad["path"], bad["score"], bad["p2"], bad["error"]) == (BAD.path, "", "", BAD.error)


def test_json_lines_come_back(tmp_path):
    with open_table(tmp_path / "t.jsonl", ONE_MODEL) as table:
        table.write(GOOD)
        table.write(BAD)
    good, bad = map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())
    assert good["distribution"] == [0.125, 0.5, 0.375]
    assert (good["path"], good["scale"], good["score"]) == (GOOD.path, [1, 3], 2.25)
    assert (bad["score"], bad["distribution"], bad["error"]) == (None, None, BAD.error)


def test_parquet_rows_come_back(tmp_path):
    with open_table(tmp_path / "t.parquet", ONE_MODEL) as table:
        table.write(GOOD)
        table.write(BAD)
    good, bad = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert good["distribution"] == [0.125, 0.5, 0.375]
    assert (good["path"], good["percentile"]) == (GOOD.path, 62.5)
    assert (bad["distribution"], bad["error"]) == (None, BAD.error)


def rows_of(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_several_models_stand_side_by_side_each_on_its_scale(path):
    broken = {"looks": replace(BAD, scale=FIVE)}
    with open_table(path, TWO_MODELS) as table:
        table.write(BOTH)
        table.write(replace(BAD, others=broken))
    good, bad = rows_of(path)
    assert (float(good["m_score"]), float(good["looks_score"])) == (2.25, 4.0)
    assert (good["m_model"], good["looks_model"]) == ("m-1@0", "looks-2@1")
    assert not good["looks_percentile"]
    if path.suffix == ".csv":
        assert (good["m_p3"], good["looks_p5"]) == ("0.375", "0.375")
        assert (good["m_scale"], good["looks_scale"]) == ("1..3", "1..5")
    else:
        assert good["looks_distribution"] == [0.0, 0.125, 0.125, 0.375, 0.375]
        assert (good["m_scale"], good["looks_scale"]) == ([1, 3], [1, 5])
    assert bad["error"] == BAD.error
    assert not bad["looks_score"]


def test_a_ranking_has_places_where_they_are_known(path):
    with open_table(path, RANKING) as table:
        table.write(GOOD, PLACE)
        table.write(GOOD, RankPlace(rank=3))
        table.write(BAD)
    sure, unknown, failed = rows_of(path)
    names = ("rank", "rank_best", "rank_worst", "over_next")
    assert [float(sure[name]) for name in names] == [2, 1, 4, 0.625]
    assert int(unknown["rank"]) == 3
    assert not any(unknown[name] for name in names[1:])
    assert not any(failed[name] for name in names)


def test_every_format_has_the_same_columns(tmp_path):
    keys = []
    for ending in (".jsonl", ".parquet"):
        path = tmp_path / f"t{ending}"
        with open_table(path, Columns(TWO_MODELS.scales, ranked=True)) as table:
            table.write(BOTH, PLACE)
        keys.append(list(rows_of(path)[0]))
    assert keys[0] == keys[1]


def test_names_that_are_not_unicode_survive(path):
    odd = ScoredPhoto(path="caf\udce9.jpg", model="m", scale=THREE, error="caf\udce9.jpg: empty")
    with open_table(path, ONE_MODEL) as table:
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
    with open_table(path, ONE_MODEL) as table:
        table.write(GOOD)
        raise KeyboardInterrupt


def test_a_table_that_a_spreadsheet_holds_is_refused_before_the_run(path, held_files):
    path.write_bytes(b"old")
    held_files.add(str(path))
    with pytest.raises(ConfigError, match="as spreadsheets do, close it there"):
        write_and_interrupt(path)


def test_a_table_that_a_spreadsheet_opens_meanwhile_is_kept_under_another_name(path, held_files):
    path.write_bytes(b"old")
    path.with_stem(f"{path.stem}-2").touch()

    def write():
        with open_table(path, ONE_MODEL) as table:
            table.write(GOOD)
            held_files.add(str(path))

    kept = path.with_stem(f"{path.stem}-3")
    with pytest.raises(NimaError, match=f"the finished table is .*{re.escape(kept.name)}$"):
        write()
    assert path.read_bytes() == b"old"
    assert kept.stat().st_size > 3
    held_files.clear()
    with open_table(path, ONE_MODEL) as table:
        table.write(GOOD)
    assert path.read_bytes() == kept.read_bytes() or path.suffix == ".parquet"


def test_two_runs_do_not_write_one_table(path):
    with open_table(path, ONE_MODEL) as table:
        table.write(GOOD)
        with pytest.raises(NimaError, match="another run is writing this table"):
            write_and_interrupt(path)
    whole = path.read_bytes()
    with open_table(path, ONE_MODEL) as table:
        table.write(GOOD)
    assert path.read_bytes() == whole


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"t.xlsx: a table ends in .csv, .jsonl, .parquet"),
        open_table(tmp_path / "t.xlsx", ONE_MODEL),
    ):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with (
        pytest.raises(NimaError, match=r"none/t.csv: cannot be written \(No such file"),
        open_table(tmp_path / "none" / "t.csv", ONE_MODEL),
    ):
        pass


def test_tabs_may_separate_columns(tmp_path):
    with open_table(tmp_path / "t.tsv", ONE_MODEL) as table:
        table.write(GOOD)
    with (tmp_path / "t.tsv").open(newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file, delimiter="\t")
    assert (row["path"], row["score"], row["p2"]) == (GOOD.path, "2.25", "0.5")


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_json_is_one_array(tmp_path, rows):
    with open_table(tmp_path / "t.JSON", ONE_MODEL) as table:
        for _ in range(rows):
            table.write(GOOD)
    found = json.loads((tmp_path / "t.JSON").read_text())
    assert [row["distribution"] for row in found] == [[0.125, 0.5, 0.375]] * rows


def read(path):
    """Names of the columns, and the first row."""
    if path.suffix == ".parquet":
        return list(row := pq.read_table(path).to_pylist()[0]), row
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            row = next(csv.DictReader(file))
    else:
        row = json.loads(path.read_text().splitlines()[0])
    return list(row), row


def test_columns_are_those_asked_for_in_their_order(path):
    with open_table(path, Columns({"m": THREE}, ranked=True, only=("score", "path", "rank"))) as t:
        t.write(GOOD, PLACE)
    names, row = read(path)
    assert names == ["score", "path", "rank"]
    assert (float(row["score"]), int(row["rank"])) == (2.25, 2)


def test_probabilities_may_be_left_out(path):
    with open_table(path, Columns(TWO_MODELS.scales, distribution=False)) as table:
        table.write(BOTH)
    names, _ = read(path)
    assert names[:4] == ["path", "m_score", "m_spread", "m_percentile"]
    assert not [name for name in names if "distribution" in name or "_p1" in name]


def test_a_column_that_there_is_not_is_named_with_one_like_it():
    with pytest.raises(ConfigError, match=r"no column 'scor' \(did you mean 'score'\?\); there"):
        Columns({"m": THREE}, only=("scor",))
