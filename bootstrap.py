"""Two commands from a fresh clone, with nothing but Python 3.11 or newer.

    python3 bootstrap.py rank examples/photos     install, then run `nima rank examples/photos`
    python3 bootstrap.py test                     install what the tests need, then run every check

The first makes .venv and runs any `nima` command in it; the second makes .venv-test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"


def main(arguments: list[str]) -> int:
    """Set up the environment that the arguments need, and run them in it."""
    if sys.version_info < (3, 11):  # noqa: UP036 (this file also meets older ones)
        sys.exit(f"siamese-nima needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return 0
    if arguments[0] == "test":
        extras = ".[train,parquet,heif,raw,quantise,openvino,serve,scale,s3]"
        python = environment(".venv-test", ["--editable", extras, "--group", "test"])
        return checks(python)
    python = environment(".venv", ["--editable", "."])
    return subprocess.call([python, "-m", "siamese_nima", *arguments])


def environment(name: str, requirements: list[str]) -> Path:
    """Python of the environment `name`, made and filled on first use or when the pins changed."""
    folder = HERE / name
    python = folder / ("Scripts/python.exe" if WINDOWS else "bin/python")
    stamp = folder / "installed"
    pins = "".join((HERE / file).read_text() for file in ("pyproject.toml", "constraints.txt"))
    if stamp.exists() and stamp.read_text() == pins:
        return python
    started = time.monotonic()
    print(f"installing into {name} ...", flush=True)
    if not python.exists():
        make_environment(folder)
    # Dependency groups need pip 25.1; what comes with Python can be older.
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "pip>=25.1"], check=True, cwd=HERE)
    subprocess.run([*pip, "--constraint", "constraints.txt", *requirements], check=True, cwd=HERE)
    stamp.write_text(pins)
    print(f"installed in {time.monotonic() - started:.0f} s", flush=True)
    return python


def make_environment(folder: Path) -> None:
    """Make a virtual environment with pip; Debian and Ubuntu keep that in a package of its own."""
    command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0:
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    if not shutil.which("apt-get"):
        sys.exit(f"this Python cannot make virtual environments; install its venv part ({package})")
    if os.geteuid() != 0:
        sys.exit(f"this Python cannot make virtual environments yet; run: sudo {' '.join(install)}")
    print(f"installing the system's {package} ...", flush=True)
    subprocess.run(["apt-get", "update"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(command, check=True)


def checks(python: Path) -> int:
    """Lint, format, types, import layers, tests; all run, the first failure is the exit code."""
    commands = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        ["pytest"],
    ]
    codes = []
    for command in commands:
        print(f"\n$ {' '.join(command)}", flush=True)
        program = shutil.which(command[0], path=python.parent)
        if program is None:
            sys.exit(f"{command[0]} is not in {python.parent}; delete {python.parent.parent}")
        codes.append(subprocess.call([program, *command[1:]], cwd=HERE))
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
