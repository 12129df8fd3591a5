import inspect

import pytest

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
