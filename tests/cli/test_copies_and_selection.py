"""What a ranking shows, copies and writes, as options ask for it."""

import csv
import io
import json

import pytest

from command import invoked as nima
from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.scoring.catalogue import models_folder


def rows(done):
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_the_best_may_be_a_share_and_within_bounds(tiny_model, photo_folder):
    every = [float(row["score"]) for row in rows(nima("rank", photo_folder, "-m", tiny_model))]
    tenth = rows(nima("rank", photo_folder, "-m", tiny_model, "--top", "10%"))
    assert len(tenth) == 2
    bound = str(every[4])
    above = rows(nima("rank", photo_folder, "-m", tiny_model, "--above", bound))
    below = rows(nima("score", photo_folder, "-m", tiny_model, "--below", bound))
    assert len(above) + len(below) == 11
    assert min(float(row["score"]) for row in above) >= max(float(row["score"]) for row in below)


def test_the_best_may_stay_in_the_order_given(tiny_model, photo_folder):
    best = rows(nima("rank", photo_folder, "-m", tiny_model, "--top", "30%"))
    given = rows(nima("score", photo_folder, "-m", tiny_model, "--top", "30%"))
    assert [row["path"] for row in given] == [row["path"] for row in best][::-1]
    bound = f"{float(best[1]['score']) - 0.001}"
    both = nima("score", photo_folder, "-m", tiny_model, "--top", "4", "--above", bound)
    assert len(rows(both)) == 2


@pytest.mark.parametrize("option", ["--above", "--below"])
def test_a_bound_is_a_number(photo_folder, option):
    done = nima("score", photo_folder, option, "nan")
    assert (done.exit_code, "wanted a number" in done.output) == (2, True)


@pytest.mark.parametrize("top", ["-3", "0", "ten", "0%", "101%", "nan%"])
def test_an_impossible_number_of_photos_is_said_in_our_words(photo_folder, top):
    done = nima("rank", photo_folder, "--top", top)
    assert done.exit_code == 2
    assert f"{top}: wanted how many photos, such as 20" in " ".join(done.output.split())


def test_columns_are_chosen_and_probabilities_asked_for(tiny_model, photo_folder):
    usual = rows(nima("score", photo_folder, "-m", tiny_model))
    assert "p1" not in usual[0]
    asked = rows(nima("score", photo_folder, "-m", tiny_model, "--distribution"))
    assert {"p1", "p10"} <= {*asked[0]}
    few = rows(nima("rank", photo_folder, "-m", tiny_model, "--columns", "score,path", "-o", "-"))
    assert list(few[0]) == ["score", "path"]
    wrong = nima("score", photo_folder, "-m", tiny_model, "--columns", "scor")
    assert isinstance(wrong.exception, ConfigError)
    assert "did you mean 'score'?" in str(wrong.exception)


@pytest.mark.parametrize("ending", [".json", ".tsv", ".CSV"])
def test_tables_in_other_formats(tiny_model, photo_folder, tmp_path, ending):
    out = tmp_path / f"t{ending}"
    assert nima("rank", photo_folder, "-m", tiny_model, "-o", out).exit_code == 0
    if ending == ".json":
        assert len(json.loads(out.read_text())) == 11
    else:
        assert len(out.read_text().splitlines()) == 12


def test_what_copying_did_is_said(tiny_model, photo_folder):
    best = photo_folder / "best"
    command = ["rank", photo_folder, "-m", tiny_model, "--copy-to", best]
    assert f"copied 3 files to {best}\n" in nima(*command, "--top", 3).output
    again = nima(*command, "--top", 3)
    assert f"copied 0 files to {best}; 3 there already\n" in again.output
    assert "11 of 11 photos" in again.output  # the copies are not ranked
    (best / "0002-photo10.png").write_bytes(b"edited")
    other = nima(*command, "--top", 1)
    assert isinstance(other.exception, NimaError)
    assert "has 1 copy of an earlier ranking, such as 0003-photo9.png" in str(other.exception)
    done = nima(*command, "--top", 1, "--replace-copies")
    assert "1 earlier ones removed; 1 other files named like copies stay" in done.output
    assert sorted(path.name for path in best.iterdir()) == ["0001-photo11.png", "0002-photo10.png"]


def test_copies_beside_their_originals_are_refused(tiny_model, photo_folder):
    done = nima("rank", photo_folder, "-m", tiny_model, "--copy-to", photo_folder)
    assert isinstance(done.exception, ConfigError)
    assert "is the folder that is searched" in str(done.exception)


def test_errors_of_one_kind_are_said_once(tiny_model, photo_folder):
    missing = [photo_folder / f"none{number}.jpg" for number in range(5)]
    done = nima("score", photo_folder, *missing, "-m", tiny_model)
    failed = [line for line in done.output.splitlines() if line.startswith("failed")]
    assert failed == [
        f"failed: 5 photos: no such file: {missing[0]}, {missing[1]}, {missing[2]} and 2 more"
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["score", "{photo}", "--out", "{photo}"], "a table ends in"),
        (["rank", "{photo}", "--out", "{photo}"], "a table ends in"),
        (["report", "{folder}", "--out", "{photo}"], "a page ends in .html"),
        (["bursts", "{folder}", "--out", "{photo}"], "a table of bursts ends in"),
        (["features", "{folder}", "--out", "{photo}"], "a table of features ends in"),
        (["score", "{folder}/notes.csv", "--out", "{folder}/notes.csv"], "is read, and would be"),
        (["report", "{folder}/x.html", "--out", "{folder}/x.html"], "is read, and would be"),
        (["crop", "{photo}", "--out", "{photo}"], "is read, and would be replaced"),
    ],
)
def test_no_result_is_written_over_what_it_is_made_from(tiny_model, photo_folder, command, words):
    photo = photo_folder / "photo1.png"
    for name in ("notes.csv", "x.html"):
        (photo_folder / name).write_bytes(photo.read_bytes())
    before = {path: path.read_bytes() for path in photo_folder.iterdir()}
    filled = [part.format(folder=photo_folder, photo=photo) for part in command]
    done = nima(*filled, "--model", tiny_model)
    assert isinstance(done.exception, ConfigError), done.output
    assert words in str(done.exception)
    assert {path: path.read_bytes() for path in photo_folder.iterdir()} == before


def test_models_are_removed_and_embedded_ones_stay(tiny_model):
    folder = models_folder()
    folder.mkdir(parents=True)
    (folder / "mine.onnx").write_bytes(tiny_model.read_bytes())
    assert "removed" in nima("models", "remove", "mine").output
    assert not (folder / "mine.onnx").exists()
    assert "embedded in the package" in str(nima("models", "remove", "quality").exception)
    assert "no model named 'mine'" in str(nima("models", "remove", "mine").exception)


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(photo_folder):
    assert "did you mean 'quality'?" in str(nima("score", photo_folder, "-m", "qualty").exception)
    get = nima("models", "get", "idealo-aestetic").exception
    assert "did you mean 'idealo-aesthetic'?" in str(get)
