"""A run that is killed leaves no wrong table, and the next run finishes its work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "dependability" / "killed_runs.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of a process")
def test_no_moment_is_a_bad_one_to_be_killed(tiny_model):
    command = [sys.executable, SCRIPT, "--seconds", "12", "--photos", "120", "--flush-s", "0.01"]
    done = subprocess.run(
        [*command, "--model", tiny_model], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kills"] >= 5
