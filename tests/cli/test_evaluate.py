import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from command import invoked as nima
from siamese_nima import Scorer, compare, evaluate
from siamese_nima.datasets.contamination import training_record
from siamese_nima.datasets.sources import read_source
from siamese_nima.errors import ContaminationError
from tiny_model import write_model


@pytest.fixture
def ratings(tmp_path):
    """40 greys, rated by brightness; scenes of two; votes on 1..5; the second half is the test."""
    generator = np.random.default_rng(0)
    rows = [["path", "v1", "v2", "v3", "v4", "v5", "scene", "split"]]
    for n in range(40):
        grey = 20 + 5 * (7 * n % 40)
        Image.new("RGB", (32, 32), (grey,) * 3).save(tmp_path / f"{n}.png")
        votes = np.bincount(generator.binomial(4, grey / 255, 30), minlength=5)
        rows.append([f"{n}.png", *votes.tolist(), f"s{n // 2}", "train" if n < 20 else "test"])
    with (tmp_path / "ratings.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "ratings.csv"


def test_evaluate_writes_a_report_and_its_figures(tiny_model, ratings, tmp_path):
    out = tmp_path / "out"
    done = nima("evaluate", tiny_model, "--data", ratings, "--out", out, "--repeats", 20)
    assert done.exit_code == 0, done.output
    values = json.loads((out / "figures.json").read_text())
    assert (values["split"], values["photos"]) == ("test", 20)
    assert values["contamination"] == "unknown"
    assert values["figures"]["all"]["agreement"]["srcc"]["value"] > 0.9
    assert values["figures"]["all"]["emd_r2"] > 0
    assert "does not say which photos it was trained on" in (out / "report.md").read_text()
    assert (out / "report.html").read_text().count("data:image/webp") >= 16
    assert "SRCC" in done.output
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert rows[0]["path"].endswith("20.png")
    assert rows[0]["scene"] == "s10"


def test_a_report_that_a_spreadsheet_holds_is_known_before_photos_are_scored(
    tiny_model, ratings, tmp_path, held_files, monkeypatch
):
    out = tmp_path / "out"
    asked = ("evaluate", tiny_model, "--data", ratings, "--out", out, "--repeats", 10)
    assert nima(*asked).exit_code == 0
    held_files.add(str(out / "scores.csv"))
    monkeypatch.setattr(Scorer, "score", lambda *_: 1 / 0)
    done = nima(*asked)
    assert "scores.csv: cannot be replaced" in str(done.exception)


def test_a_photo_that_fails_is_reported_and_the_rest_is_judged(tiny_model, ratings, tmp_path):
    (tmp_path / "25.png").write_bytes(b"no picture")
    (tmp_path / "26.png").unlink()
    out = tmp_path / "out"
    done = nima("evaluate", tiny_model, "--data", ratings, "--out", out, "--repeats", 20)
    assert done.exit_code == 1
    assert "2 photos got no score" in done.output
    assert json.loads((out / "figures.json").read_text())["photos"] == 18


def test_photos_trained_on_are_refused_unless_forced(tiny_card, ratings, tmp_path):
    seen = training_record(read_source(ratings).table.split("test"))
    model = write_model(tmp_path / "seen.onnx", replace(tiny_card, training=seen))
    arguments = ["evaluate", model, "--data", ratings, "--out", tmp_path / "o", "--repeats", 20]
    refused = nima(*arguments)
    assert isinstance(refused.exception, ContaminationError)
    assert "trained on 20 of these 20 photos" in str(refused.exception)
    assert nima(*arguments, "--split", "train").exit_code == 0
    forced = nima(*arguments, "--force")
    assert forced.exit_code == 0
    assert "trained on 20 of these 20 photos" in (tmp_path / "o" / "report.md").read_text()


def test_compare_says_which_model_is_better(tiny_model, tiny_card, ratings, tmp_path):
    other = write_model(tmp_path / "five.onnx", replace(tiny_card, name="five"))
    out = tmp_path / "out"
    done = nima("compare", tiny_model, other, "--data", ratings, "--out", out, "--repeats", 20)
    assert done.exit_code == 0, done.output
    values = json.loads((out / "figures.json").read_text())
    assert values["differences"]["all"]["srcc"]["winner"] == "neither"
    assert [model["model"][:4] for model in values["models"]] == ["tiny", "five"]
    assert "neither is better" in done.output
    assert "no clear difference" in (out / "report.md").read_text()


def test_a_threshold_is_given_on_the_ratings_own_scale(tiny_model, ratings, tmp_path):
    options = "--split", "all", "--threshold", 3, "--precision", 0.7, "--repeats", 20
    out = tmp_path / "o"
    done = nima("evaluate", tiny_model, "--data", ratings, "--out", out, *options)
    assert done.exit_code == 0, done.output
    assert "Cut at a score of " in done.output
    found = json.loads((out / "figures.json").read_text())["threshold"]
    assert found["good"] == 5.5
    assert found["lower"] >= 0.7
    assert "Cut at a score of" in (out / "report.md").read_text()


def test_evaluate_and_compare_are_functions_of_the_library(tiny_model, ratings):
    scorer = Scorer(tiny_model)
    result = evaluate(scorer, ratings, repeats=20)
    assert result.figures["all"].agreement.photos == 20
    assert result.figures["all"].verdict is None
    both = compare(scorer, scorer, ratings, repeats=20)
    assert {found.winner for found in both.differences["all"].values()} == {"neither"}
