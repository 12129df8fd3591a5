"""A tiny model that likes bright photos, and a person who likes red ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nima.datasets.contamination import find_contamination
from siamese_nima.datasets.own_table import read_own_table
from siamese_nima.errors import AnswerError, ConfigError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.catalogue import models_folder
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.taste.answers import Answer
from siamese_nima.taste.learn import LEAST_ANSWERS, LearnConfig, learn

PHOTOS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("holiday")
    (folder / "day1").mkdir()
    draw = np.random.default_rng(0)
    for number in range(PHOTOS):
        colour = tuple(int(c) for c in draw.integers(0, 256, 3))
        Image.new("RGB", (40, 30), colour).save(folder / f"day1/{number:02d}.png")
    return folder


def answers_of(folder: Path, count: int, *, likes_red: bool = True, person: str = "Ana"):
    """Answers about pairs of photos, the last ten of them about the first ten pairs again."""
    draw = np.random.default_rng(5)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/*.png"))
    red = {name: Image.open(folder / name).getpixel((0, 0))[0] for name in names}
    pairs = [draw.choice(names, 2, replace=False).tolist() for _ in range(count - 10)]
    pairs += [pair[::-1] for pair in pairs[:10]]
    answers = []
    for number, (left, right) in enumerate(pairs):
        choice = draw.integers(2) if not likes_red else int(red[left] < red[right])
        answers.append(
            Answer(
                left=left,
                right=right,
                choice="tie" if abs(red[left] - red[right]) < 5 else ("left", "right")[choice],
                person=person,
                at=f"2026-05-01T09:{number // 60:02d}:{number % 60:02d}+00:00",
            )
        )
    return answers


def config(tiny_model: Path, **changes) -> LearnConfig:
    return LearnConfig(name="mine", model=str(tiny_model), **changes)


def test_a_taste_is_learnt_and_its_model_scores_by_it(folder, tiny_model) -> None:
    answers = answers_of(folder, 110)
    seen = []
    learnt = learn(
        folder, answers, config(tiny_model), workers=1, report=lambda *done: seen.append(done)
    )
    agreement = learnt.held_out.agreement
    assert agreement.general.value < 0.75
    assert agreement.personal.value > 0.9
    assert learnt.better
    assert learnt.self_agreement.value == 1.0
    assert learnt.self_agreement.of >= 10
    assert seen[-1] == (PHOTOS, PHOTOS)
    assert learnt.model == models_folder() / "mine.onnx"
    red, grey = Image.new("RGB", (40, 30), (220, 60, 60)), Image.new("RGB", (40, 30), (150,) * 3)
    mine, tiny = (
        [photo.mean for photo in Scorer(model).score([red, grey])]
        for model in ("mine", str(tiny_model))
    )
    assert mine[0] > mine[1]
    assert tiny[0] < tiny[1]


def test_the_card_says_where_the_model_comes_from(folder, tiny_model, tmp_path) -> None:
    learnt = learn(folder, answers_of(folder, 120), config(tiny_model), workers=1)
    card = Scorer("mine").card
    assert card == learnt.card
    assert card.name == "mine"
    assert card.training["by"] == "nima learn"
    assert card.training["start"].startswith("tiny-1@")
    assert card.metrics["held-out answers"]["verdict"] == "better"
    assert card.pair_error is not None
    assert card.pair_error.pairs == learnt.held_out.agreement.general.of
    assert card.population is None  # 60 photos are too few for percentiles
    table = tmp_path / "ratings.csv"
    table.write_text("path,mos\nday1/00.png,3\n")
    rated = read_own_table(table, photos=folder, scale=RatingScale(1, 5)).table
    assert find_contamination(card, rated).verdict == "contaminated"
    report = json.loads((models_folder() / "mine.json").read_text())
    assert report["verdict"] == "better"
    assert report["answers"] == 120


def test_the_same_seed_gives_the_same_file(folder, tiny_model) -> None:
    answers = answers_of(folder, 70)
    files = []
    for _ in range(2):
        learn(folder, answers, config(tiny_model), workers=2)
        files.append((models_folder() / "mine.onnx").read_bytes())
    assert files[0] == files[1]


def test_coin_tosses_give_no_model_unless_it_is_wanted(folder, tiny_model) -> None:
    tosses = answers_of(folder, 80, likes_red=False)
    learnt = learn(folder, tosses, config(tiny_model), workers=1)
    assert not learnt.better
    assert learnt.model is None
    assert not models_folder().exists()
    kept = learn(folder, tosses, config(tiny_model, keep=True), workers=1)
    assert not kept.better
    assert kept.model is not None
    assert kept.model.exists()
    assert kept.card.metrics["held-out answers"]["verdict"] != "better"


def test_too_few_answers_say_how_many_are_needed(folder, tiny_model) -> None:
    answers = [a for a in answers_of(folder, 60) if a.choice != "tie"][: LEAST_ANSWERS - 1]
    with pytest.raises(
        AnswerError, match="39 answers that name the better photo; a taste is learn"
    ):
        learn(folder, answers, config(tiny_model))


def test_answers_about_photos_that_went_away_or_broke_are_counted(folder, tiny_model) -> None:
    answers = answers_of(folder, 90)
    broken = folder / "day1/broken.png"
    broken.write_bytes(b"no picture")
    answers[0] = replace(answers[0], left="day1/gone.png")
    answers[1] = replace(answers[1], left="day1/broken.png")
    learnt = learn(folder, answers, config(tiny_model), workers=1)
    broken.unlink()
    assert learnt.left_out == {"photos are not there": 1, "photos cannot be read": 1}
    assert len(learnt.comparisons) == 88


@pytest.mark.parametrize("name", ["", "a/b", ".mine", "a,b", "mine.onnx"])
def test_names_that_no_model_can_have_are_refused(name) -> None:
    with pytest.raises(ConfigError, match="name of a model"):
        LearnConfig(name=name)


def test_other_models_are_never_replaced(folder, tiny_model) -> None:
    with pytest.raises(ConfigError, match="an embedded model has this name"):
        learn(folder, [], LearnConfig(name="quality", model=str(tiny_model)))
    models_folder().mkdir(parents=True)
    (models_folder() / "mine.onnx").write_bytes(tiny_model.read_bytes())
    with pytest.raises(ConfigError, match="another kind of model"):
        learn(folder, [], config(tiny_model))


def test_a_model_that_somebody_uses_is_known_before_photos_are_looked_at(
    folder, tiny_model, held_files
) -> None:
    answers = answers_of(folder, 60)
    learnt = learn(folder, answers, config(tiny_model, keep=True))
    held_files.add(str(learnt.model))
    with pytest.raises(ConfigError, match="cannot be replaced"):
        learn(folder, answers, config(tiny_model, keep=True), report=lambda *_: 1 / 0)
