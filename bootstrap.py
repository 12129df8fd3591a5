"""Two commands from a fresh clone, with nothing but Python 3.11 to 3.14.

    python3 bootstrap.py rank examples/photos     install, then run `nima rank examples/photos`
    python3 bootstrap.py test                     install what the tests need, then run every check

On Windows: `py bootstrap.py ...`. The first makes .venv, runs any `nima` command in it, and
installs the optional parts that a command needs; the second makes .venv-test.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"
# The optional parts that commands need; `pick answers` and most others need none.
EXTRAS = {
    "cull": ("serve",),
    "mcp": ("mcp",),
    "pick": ("serve",),
    "learn": ("learn",),
    "serve": ("serve",),
    "train": ("train",),
    "evaluate": ("train",),
    "data": ("train",),
    "models import": ("train",),
    "models export": ("train",),
    "models get": ("train",),
    "models quantise": ("quantise",),
    # By their earlier names, too.
    "compare": ("train",),
    "import": ("train",),
    "export": ("train",),
    "quantise": ("quantise",),
    "--engine ray": ("scale",),
    "--device openvino": ("openvino",),
}
# And files that they read or write.
ENDINGS = {
    ".parquet": "parquet",
    ".jxl": "jxl",
    ".h5": "train",
    ".safetensors": "train",
}
# What Windows on ARM has no build of.
NOT_ON_WINDOWS_ARM = {"train": "PyTorch", "parquet": "pyarrow", "scale": "Ray and pyarrow"}
TESTED = ("train", "parquet", "raw", "jxl", "quantise", "openvino", "serve", "mcp", "scale", "s3")


def main(arguments: list[str]) -> int:
    """Set up the environment that the arguments need, and run them in it."""
    if problem := unsuitable(sys.version_info[:2], platform.system(), platform.machine()):
        sys.exit(problem)
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return 0
    extras = TESTED if arguments[0] == "test" else extras_of(arguments)
    if problem := lacking(extras, platform.system(), platform.machine()):
        sys.exit(problem)
    if arguments[0] == "test":
        python = environment(".venv-test", TESTED, "--group", "test")
        return checks(python, arguments[1:])
    python = environment(".venv", extras)
    return run([python, "-m", "siamese_nima", *arguments])


def unsuitable(version: tuple[int, int], system: str, machine: str) -> str | None:
    """Why this Python cannot run the program, and what to do; None if it can."""
    this = f"this is Python {version[0]}.{version[1]}"
    if version < (3, 11):
        return f"siamese-nima needs Python 3.11 or newer, {this}"
    if version >= (3, 15):
        return f"ONNX Runtime cannot be had for it yet, {this}: use Python 3.11 to 3.14"
    if (system, machine) == ("Darwin", "x86_64") and version >= (3, 14):
        return (
            f"ONNX Runtime's last version for Intel Macs is 1.23, which ends with Python 3.13, and "
            f"{this}: use Python 3.11 to 3.13"
        )
    return None


def lacking(extras: tuple[str, ...], system: str, machine: str) -> str | None:
    """Why optional parts cannot be installed here, and what to do; None if they can."""
    if (system, machine) != ("Windows", "ARM64"):
        return None
    names = [NOT_ON_WINDOWS_ARM[extra] for extra in extras if extra in NOT_ON_WINDOWS_ARM]
    if len(names) > 1 and "Ray and pyarrow" in names and "pyarrow" in names:
        names.remove("pyarrow")
    if not names:
        return None
    return (
        f"this needs {', '.join(names)}, which Windows on ARM has no build of: install Python for "
        "x64, which runs there too, and start bootstrap.py with it; all else works with this one"
    )


def extras_of(arguments: list[str]) -> tuple[str, ...]:
    """The optional parts that a command needs."""
    line = f" {' '.join(arguments)} ".replace("=", " ")
    needed = [
        extra
        for words, extras in EXTRAS.items()
        if (line.startswith(f" {words} ") or (words.startswith("--") and f" {words} " in line))
        for extra in extras
    ]
    if arguments[:2] == ["pick", "answers"]:
        return ()
    endings = {Path(argument).suffix.lower() for argument in arguments}
    needed += sorted({ENDINGS[ending] for ending in endings & {*ENDINGS}} - {*needed})
    if "scale" in needed and any(argument.startswith("s3://") for argument in arguments):
        needed.append("s3")
    return tuple(needed)


def environment(name: str, extras: tuple[str, ...], *further: str) -> Path:
    """Python of the environment `name`, filled when it lacks something or the pins changed."""
    folder = HERE / name
    python = folder / ("Scripts/python.exe" if WINDOWS else "bin/python")
    stamp = folder / "installed"
    pins = "".join((HERE / file).read_text() for file in ("pyproject.toml", "constraints.txt"))
    there = installed(stamp, pins)
    if there is not None and {*extras} <= there:
        return python
    wanted = sorted({*extras} | (there or set()))
    started = time.monotonic()
    print(f"installing into {name} ...", flush=True)
    if not python.exists():
        make_environment(folder)
    # Dependency groups need pip 25.1; what comes with Python can be older.
    pip(python, folder, "pip>=25.1")
    package = f".[{','.join(wanted)}]" if wanted else "."
    pip(python, folder, "--constraint", "constraints.txt", "--editable", package, *further)
    stamp.write_text(json.dumps({"pins": pins, "extras": wanted}))
    print(f"installed in {time.monotonic() - started:.0f} s", flush=True)
    if name == ".venv":
        print(f"to use nima by its name in this shell: {activation(folder)}", flush=True)
    return python


def installed(stamp: Path, pins: str) -> set[str] | None:
    """The optional parts that are installed; None if nothing is, or by other pins."""
    try:
        found = json.loads(stamp.read_text())
        return set(found["extras"]) if found["pins"] == pins else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def activation(folder: Path) -> str:
    """The line that puts `nima` on the path of the shell at hand."""
    if WINDOWS:
        return str(folder / "Scripts" / "activate")
    fish = os.environ.get("SHELL", "").endswith("fish")
    return f"source {shlex.quote(str(folder / 'bin' / ('activate.fish' if fish else 'activate')))}"


def pip(python: Path, folder: Path, *arguments: str) -> None:
    """Install; what pip says is kept in a file, and its last error shown if it fails."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    done = subprocess.run(
        command,
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        log = folder / "install.log"
        log.write_text(done.stdout, encoding="utf-8")
        errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        said = errors[-1] if errors else f"pip ended with {done.returncode}"
        sys.exit(
            f"what siamese-nima needs could not be installed here: {said}\n"
            f"This was Python {platform.python_version()} on {platform.system()} "
            f"{platform.machine()}; all that pip said is in {log}. Optional parts that have no "
            "build for this system cannot be used on it; the others can."
        )


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


def run(command: list[object]) -> int:
    """Run a command to its end and give its code, also after Ctrl-C, which it gets itself."""
    child = subprocess.Popen([str(part) for part in command])
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        while True:
            try:
                code = child.wait()
                break
            except KeyboardInterrupt:
                continue  # it ends in its own way, and keeps what it has done
    finally:
        signal.signal(signal.SIGTERM, before)
    # As shells report a process that a signal has ended.
    return 128 - code if code < 0 else code


def checks(python: Path, tests: list[str]) -> int:
    """Lint, format, types, import layers, tests; all run, the first failure is the exit code."""
    commands = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        ["pytest", *tests],
    ]
    codes = []
    os.chdir(HERE)
    # Tests read and write files in UTF-8, which is not what Windows takes a file to be in.
    os.environ.setdefault("PYTHONUTF8", "1")
    for command in commands:
        print(f"\n$ {' '.join(command)}", flush=True)
        program = shutil.which(command[0], path=python.parent)
        if program is None:
            sys.exit(f"{command[0]} is not in {python.parent}; delete {python.parent.parent}")
        codes.append(run([program, *command[1:]]))
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
