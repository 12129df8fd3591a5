"""Reasons in words, with a number."""

from dataclasses import replace
from pathlib import Path

import pytest

from siamese_nima.curation.reasons import NO_DIFFERENCE, flaws, reason_against, reasons_against
from siamese_nima.scoring.detail import Detail, read_detail

BEST = Detail(0.9, 1.0, 0.0, 1.0, 0.1, 0.2, (4000, 3000), ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blur": 2.4}, "softer: 2.4 px of blur against 0.9"),
        (
            {"blur": 3.0, "shake": 9.0, "direction": 45.0},
            "shaken, lower left to upper right: 9 px",
        ),
        ({"noise": 6.0}, "noisier: grain of 6.0 grey levels against 1.0"),
        ({"compression": 0.6}, "more compressed: like JPEG of quality 40 against 90"),
        ({"light": 0.05}, "2 stops darker"),
        ({"light": 0.3}, "0.6 stops brighter"),
        ({"light": 0.1}, "1 stop darker"),
        ({"size": (2000, 1500)}, "smaller: 3 megapixels against 12"),
        ({"blur": 0.92, "noise": 1.2, "light": 0.21}, NO_DIFFERENCE),
        ({"blur": None, "shake": None}, NO_DIFFERENCE),
    ],
)
def test_one_difference_is_said(changes, words):
    assert reason_against(replace(BEST, **changes), BEST) == words


def test_the_weightiest_comes_first():
    found = reasons_against(replace(BEST, blur=4.0, light=0.13), BEST)
    assert [reason.kind for reason in found] == ["softer", "darker"]
    assert found[0].size > found[1].size


def test_what_is_better_is_no_reason():
    assert reasons_against(BEST, replace(BEST, blur=3.0, noise=9.0, compression=0.7)) == ()


def test_a_sound_photo_has_no_flaw():
    assert flaws(BEST) == ()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"blur": 3.0}, "softer"),
        ({"blur": 3.0, "shake": 12.0}, "shaken"),
        ({"noise": 12.0}, "noisier"),
        ({"compression": 0.7}, "compressed"),
        ({"light": 0.01, "brightest": 60}, "darker"),
        ({"light": 0.9, "white": 0.7}, "brighter"),
    ],
)
def test_a_flaw_is_named(changes, kind):
    assert [flaw.kind for flaw in flaws(replace(BEST, **changes))] == [kind]


def test_the_examples_that_are_too_dark_and_too_bright_are_said_to_be_so():
    examples = Path(__file__).parents[2] / "examples" / "photos"
    said = {
        name: [flaw.words for flaw in flaws(read_detail(examples / f"chelsea{name}.jpg"))]
        for name in ("", "-dark", "-bright")
    }
    assert said[""] == []
    assert [words.partition(":")[0] for words in said["-dark"]] == ["dark"]
    assert [words.partition(":")[0] for words in said["-bright"]] == ["blown out"]
