"""The demo of training through the origin's API runs and says what it did."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_trains_on_the_example_photos():
    done = subprocess.run(
        [sys.executable, "examples/demo_train.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["epoch 1", "epoch 2", "epoch 3"]
    assert lines[3].startswith("wrote nima_weights01-")
    table = (REPOSITORY / "examples/train_data.csv").read_text().splitlines()
    assert len(lines) == 5 + len(table) - 1


def test_every_example_photo_has_a_label():
    table = (REPOSITORY / "examples/train_data.csv").read_text().splitlines()
    names = {line.split()[0] for line in table[1:]}
    assert names == {path.name for path in (REPOSITORY / "examples/photos").glob("*.jpg")}
