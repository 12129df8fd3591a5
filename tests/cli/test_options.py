import inspect
from typing import get_args

import pytest
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.cli.options import Scoring, grouped_options


def test_a_command_gets_its_own_parameters_and_the_shared_options():
    seen = []

    @grouped_options
    def show(photos: list[str], top: int = 3, *, scoring: Scoring) -> None:
        """Show."""
        seen.append((photos, top, scoring))

    parameters = inspect.signature(show).parameters
    assert list(parameters)[:2] == ["photos", "top"]
    assert "scoring" not in parameters
    assert parameters["exact"].default is False
    defaults = {name: p.default for name, p in list(parameters.items())[2:]}
    show(photos=["a"], top=1, **defaults | {"device": "openvino"})
    assert seen == [(["a"], 1, Scoring(device="openvino"))]


def test_what_the_options_say_is_how_the_scorer_scores(tiny_model, tmp_path):
    asked = Scoring(batch_size=2, workers=3, exact=True, cache=tmp_path / "kept.sqlite")
    scorer = asked.scorer(str(tiny_model))
    assert (scorer.batch_size, scorer.workers, scorer.decode_px) == (2, 3, None)
    assert scorer.cache == tmp_path / "kept.sqlite"


@pytest.mark.parametrize("cache", [None, "kept.sqlite"])
def test_no_cache_wins_over_a_cache(tiny_model, tmp_path, cache):
    asked = Scoring(cache=cache and tmp_path / cache, no_cache=True)
    assert asked.scorer(str(tiny_model)).cache is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("stars x --for lightrom", "'lightrom' is none of lightroom, darktable, digikam"),
        ("stars x --by scor", "'scor' is none of given, population, score (did you mean 'score'?)"),
        ("stars x --sidecars both", "'both' is none of auto, full, stem"),
        ("score x --engine rai", "'rai' is none of local, ray (did you mean 'ray'?)"),
        ("serve --log-format xml", "'xml' is none of text, json"),
        ("models export x --format onx", "(did you mean 'onnx'?)"),
        ("train --stage nima --stage siames", "(did you mean 'siamese'?)"),
    ],
)
def test_an_option_that_is_one_of_some_words_names_them(arguments, message):
    done = CliRunner().invoke(app, arguments.split(), env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


def test_the_words_for_trainings_are_those_of_a_configuration():
    from siamese_nima.cli import train
    from siamese_nima.training import config

    fields = config.StageConfig.model_fields
    assert set(get_args(config.StageKind)) == {*train.STAGES}
    assert set(get_args(config.ObjectiveKind)) == {*train.OBJECTIVES}
    assert set(get_args(config.SamplerKind)) == {*train.SAMPLERS}
    assert set(get_args(fields["schedule"].annotation)) == {*train.SCHEDULES}
    assert set(get_args(config.Device)) == {*train.DEVICES}
    assert set(get_args(config.Precision)) == {*train.PRECISIONS}
