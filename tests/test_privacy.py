"""Nothing leaves the machine, and nothing is written outside our own folders."""

import os
import subprocess
import sys

import pytest

COMMAND = "from siamese_nima.cli import main; import sys; sys.argv = ['nima', *{0!r}]; main()"
LIBRARY = "from siamese_nima import Scorer; print([r.mean for r in Scorer().score({0!r})])"


@pytest.mark.parametrize("program", [COMMAND, LIBRARY])
def test_a_run_writes_nothing_outside_its_own_folders(program, photo_folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ORT_", "SIAMESE_NIMA_"))
    }
    arguments = ["score", str(photo_folder)] if program is COMMAND else str(photo_folder)
    subprocess.run(
        [sys.executable, "-c", program.format(arguments)],
        env=environment | {"HOME": str(home), "TMPDIR": str(tmp_path)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    left = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith(".cache/siamese-nima/")} == set()
