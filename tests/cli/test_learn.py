"""`nima learn`: what it prints, and how it ends."""

import pytest
from PIL import Image
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.errors import AnswerError, ConfigError
from siamese_nima.scoring.catalogue import models_folder
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.taste.answers import Answer, AnswerStore, answers_path

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{}"/></rdf:RDF></x:xmpmeta>'
)


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
    assert "no model was written, as it is not shown to be better than" in done.stderr
    assert not models_folder().exists()
    kept = run(photo_folder, "--model", tiny_model, "--keep")
    assert kept.exit_code == 0
    assert "my-taste is not shown to be better than tiny; written as you asked." in kept.stdout
    assert (models_folder() / "my-taste.onnx").exists()


@pytest.fixture
def rated_folder(tmp_path):
    """Of 24 grey photos the dark ones are liked: by stars, in a folder, and in a table."""
    folder = tmp_path / "holiday"
    (folder / "best").mkdir(parents=True)
    rows = ["photo,rating"]
    for number in range(24):
        name = f"{'best/' if number < 8 else ''}{number:02}.png"
        Image.new("RGB", (16, 12), (5 + 10 * number,) * 3).save(folder / name)
        stars = 5 - number // 6
        (folder / name).with_suffix(".xmp").write_text(XMP.format(stars))
        rows.append(f"{name},{24 - number}")
    (tmp_path / "ratings.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize("source", ["stars", "keepers", "ratings"])
def test_what_people_have_already_is_enough(rated_folder, tiny_model, source) -> None:
    given = {
        "stars": ["--stars"],
        "keepers": ["--keepers", rated_folder / "best"],
        "ratings": ["--ratings", rated_folder.parent / "ratings.csv"],
    }
    done = run(rated_folder, *given[source], "--model", tiny_model, "--name", "dark")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "ratings of 24 photos"
    assert "agrees with your ratings" in done.stdout
    assert "asked again" not in done.stdout
    assert "Judged on photos that it had not learnt from." in done.stdout
    assert (models_folder() / "dark.onnx").exists()
    description = Scorer("dark").card.description
    assert description.startswith("What you would choose: tiny, tilted by the ratings of 24 photos")


def test_a_folder_without_answers_is_told_what_else_there_is_to_learn_from(tmp_path) -> None:
    done = run(tmp_path)
    assert isinstance(done.exception, AnswerError)
    assert "no answers yet; 'nima pick' gathers them, and --stars, --keepers" in str(done.exception)


def test_too_few_ratings_or_all_alike_are_refused(rated_folder, tiny_model) -> None:
    table = rated_folder.parent / "ratings.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join(rows[:20]))
    few = run(rated_folder, "--ratings", table, "--model", tiny_model)
    assert isinstance(few.exception, AnswerError)
    assert "19 rated photos, 18 of them with another rating than most" in str(few.exception)
    alike = [row.split(",")[0] + ",3" for row in rows[1:]]
    table.write_text("\n".join([rows[0], *alike]))
    same = run(rated_folder, "--ratings", table, "--model", tiny_model)
    assert "24 rated photos, 0 of them with another" in str(same.exception)


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
