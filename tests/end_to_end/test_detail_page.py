"""The page of the detail network is what its script writes from the recorded results."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_page_is_that_of_the_recorded_results():
    command = [sys.executable, REPOSITORY / "recipes" / "detail" / "write_page.py"]
    written = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert (REPOSITORY / "docs" / "models" / "detail.md").read_text() == written
