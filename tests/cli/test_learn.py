"""`nima learn`: what it prints, and how it ends."""

import pytest
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.errors import ConfigError
from siamese_nima.scoring.catalogue import models_folder
from siamese_nima.taste.answers import Answer, AnswerStore, answers_path


def fill(folder, *, preferred="left", person="Ana", count=60) -> None:
    """Answers about the eleven grey photos, of which the tiny model likes the bright ones."""
    with AnswerStore(answers_path(folder)) as store:
        for number in range(count):
            dark, bright = number % 5 + 1, number % 6 + 6
            store.add(
                Answer(
                    left=f"photo{dark}.png",
                    right=f"photo{bright}.png",
                    choice=preferred,
                    person=person,
                    at=f"2026-05-01T09:00:{number:02d}+00:00",
                )
            )


def run(*arguments):
    return CliRunner().invoke(app, ["learn", *map(str, arguments)])


def test_a_better_model_is_written_and_said_to_be_better(photo_folder, tiny_model) -> None:
    fill(photo_folder)
    done = run(photo_folder, "--model", tiny_model, "--name", "dark")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "60 answers of Ana about 11 photos"
    assert "  tiny                0.0 %  [0.0," in done.stdout
    assert "  dark              100.0 %  [" in done.stdout
    assert "  Ana, asked again  100.0 %  [" in done.stdout
    assert "dark less tiny: +100.0 points [+100.0, +100.0]: better" in done.stdout
    assert lines[-1] == (f"wrote {models_folder() / 'dark.onnx'}: nima rank FOLDER --model dark")
    ranked = CliRunner().invoke(app, ["rank", str(photo_folder), "--model", "dark", "--quiet"])
    assert ranked.stdout.splitlines()[1].split(",")[0].endswith("photo1.png")


def test_a_model_that_is_not_better_is_not_written_unless_kept(photo_folder, tiny_model) -> None:
    fill(photo_folder, preferred="right")
    done = run(photo_folder, "--model", tiny_model)
    assert done.exit_code == 1
    assert "+0.0 points [+0.0, +0.0]: no difference to be seen" in done.stdout
    assert "no model was written, as it would be no better than" in done.stderr
    assert not models_folder().exists()
    kept = run(photo_folder, "--model", tiny_model, "--keep")
    assert kept.exit_code == 0
    assert "my-taste is not shown to be better than tiny; written as you asked." in kept.stdout
    assert (models_folder() / "my-taste.onnx").exists()


def test_people_are_kept_apart_or_pooled_as_told(photo_folder, tiny_model) -> None:
    fill(photo_folder, count=50)
    fill(photo_folder, preferred="right", person="Bo", count=50)
    with pytest.raises(ConfigError, match=r"answers of several people: Ana \(50\), Bo \(50\)"):
        CliRunner().invoke(app, ["learn", str(photo_folder)], catch_exceptions=False)
    one = run(photo_folder, "--model", tiny_model, "--person", "Ana")
    assert one.stdout.startswith("50 answers of Ana about")
    both = run(photo_folder, "--model", tiny_model, "--pooled")
    assert both.stdout.startswith("100 answers of Ana and Bo about")
    with pytest.raises(ConfigError, match="--person Cy: no answers"):
        CliRunner().invoke(
            app, ["learn", str(photo_folder), "--person", "Cy"], catch_exceptions=False
        )
