"""The example that shows bursts finds the four scenes of the example photos."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).parents[2]


def test_the_contact_sheet_has_a_row_per_scene(tmp_path):
    command = [sys.executable, "examples/contact_sheet.py", "examples/photos", tmp_path / "b.png"]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=300)
    with Image.open(tmp_path / "b.png") as sheet:
        assert sheet.size == (8 * 158 + 8, 4 * 178 + 8)
