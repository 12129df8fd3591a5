"""Tables of earlier runs are read back."""

import shutil
from dataclasses import replace

import pytest

from siamese_nima.errors import TableError
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import Columns, open_table, read_table, write_table


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.tsv", "t.json"])
def test_results_come_back_without_distributions(tiny_model, photo_folder, tmp_path, name):
    (photo_folder / "photo2.png").write_bytes(b"broken")
    scorer = Scorer(tiny_model)
    results = list(scorer.score(photo_folder))
    with open_table(tmp_path / name, Columns(scorer.scales)) as table:
        for result in results:
            table.write(result)
    read = read_table(tmp_path / name)
    assert [photo.score for photo in read] == pytest.approx([r.score for r in results], abs=1e-4)
    bare = [replace(r, score=None, spread=None, distribution=None) for r in results]
    assert [replace(photo, score=None) for photo in read] == bare


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,quality_mean\na.jpg,3\n", "no column score, scale, model"),
        ("path,score,scale,model\na.jpg,3,1-5,m\n", "photo 1: scale '1-5'"),
        ("path,mean,scale,model\na.jpg,three,1..5,m\n", "photo 1: .*three"),
    ],
)
def test_other_tables_are_refused_by_what_they_lack(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(TableError, match=rf"t.csv: {message}"):
        read_table(tmp_path / "t.csv")


def test_broken_json_is_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text("{")
    with pytest.raises(TableError, match=r"t\.jsonl: no table of nima score"):
        read_table(tmp_path / "t.jsonl")


def test_a_table_that_calls_the_score_mean_is_still_read(tmp_path):
    (tmp_path / "t.csv").write_text(f"path,mean,scale,model\n{tmp_path}/a.jpg,3,1..5,m\n")
    (tmp_path / "a.jpg").touch()
    assert [photo.score for photo in read_table(tmp_path / "t.csv")] == [3.0]


@pytest.mark.parametrize("models", [1, 2])
def test_results_are_written_at_once(tiny_model, photo_folder, tmp_path, models):
    other = tmp_path / "other.onnx"
    shutil.copy(tiny_model, other)
    scorer = Scorer([tiny_model, other][:models])
    results = list(scorer.score(photo_folder))
    write_table(iter(results), tmp_path / "a.csv")
    with open_table(tmp_path / "b.csv", Columns(scorer.scales)) as table:
        for result in results:
            table.write(result)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_no_results_are_a_table_without_rows(tmp_path):
    write_table([], tmp_path / "a.csv")
    assert read_table(tmp_path / "a.csv") == []
