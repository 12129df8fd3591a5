"""The page about speed says what was measured."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_page_is_what_its_script_makes_of_the_recorded_results():
    made = subprocess.run(
        [sys.executable, "benchmarks/speed/write_page.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (REPOSITORY / "docs" / "speed.md").read_text() == made.stdout
