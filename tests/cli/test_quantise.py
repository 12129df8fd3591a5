"""`nima models quantise`, as a user types it."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


@pytest.mark.slow
def test_the_8_bit_model_can_be_used_by_its_name():
    made = CliRunner().invoke(app, ["quantise", "quality", str(EXAMPLES), "--limit", "8"])
    assert made.exit_code == 0, made.output
    assert (Path(os.environ["SIAMESE_NIMA_MODELS"]) / "quality-int8.onnx").exists()
    assert "on 4 other photos scores move by 0." in made.output
    assert "use it: nima score PHOTOS --model quality-int8" in made.output
    photo = str(EXAMPLES / "chelsea.jpg")
    scored = CliRunner().invoke(app, ["score", photo, "--model", "quality-int8", "--no-cache"])
    assert scored.exit_code == 0, scored.output
    assert "-int8@" in scored.output


def test_too_few_photos_are_refused():
    made = CliRunner().invoke(app, ["quantise", "quality", str(EXAMPLES / "chelsea.jpg")])
    assert isinstance(made.exception, ConfigError)
    assert "at least 4 photos, got 1" in str(made.exception)
