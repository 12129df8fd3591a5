"""The two commands of the README: what they install, and how they end."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("bootstrap", REPOSITORY / "bootstrap.py")
bootstrap = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bootstrap)

NEEDED = [
    ("rank examples/photos", ()),
    ("pick holiday/", ("serve",)),
    ("pick answers show holiday/", ()),
    ("learn holiday/", ("learn",)),
    ("serve --folder holiday/", ("serve",)),
    ("train --data r.csv", ("train",)),
    ("evaluate quality --data r.csv", ("train",)),
    ("data check holiday/", ("train",)),
    ("models", ()),
    ("models import x.h5", ("train",)),
    ("models quantise quality holiday/", ("quantise",)),
    ("score a --out T.PARQUET", ("parquet",)),
    ("score --engine ray s3://in --out s3://out", ("scale", "s3")),
    ("score --engine=ray in --out out", ("scale",)),
    ("score a --device openvino", ("openvino",)),
    ("score train/", ()),
    ("score a --model w.h5", ("train",)),
    ("rank a.jxl b.JXL", ("jxl",)),
    ("models export w.safetensors", ("train",)),
    ("compare one two --data r.csv", ("train",)),
    ("quantise quality holiday/", ("quantise",)),
]


@pytest.mark.parametrize(("line", "extras"), NEEDED)
def test_a_command_gets_the_parts_that_it_needs(line, extras):
    assert bootstrap.extras_of(line.split()) == extras


def test_every_part_that_is_installed_is_one_there_is():
    text = (REPOSITORY / "pyproject.toml").read_text()
    of_commands = (extra for each in bootstrap.EXTRAS.values() for extra in each)
    for extra in {*bootstrap.TESTED, *of_commands, *bootstrap.ENDINGS.values()}:
        assert f"\n{extra} = [" in text


@pytest.mark.parametrize(
    ("version", "system", "machine", "words"),
    [
        ((3, 10), "Linux", "x86_64", "needs Python 3.11 or newer, this is Python 3.10"),
        ((3, 15), "Linux", "x86_64", "this is Python 3.15: use Python 3.11 to 3.14"),
        ((3, 14), "Darwin", "x86_64", "Intel Macs is 1.23.* this is Python 3.14: .* 3.11 to 3.13"),
    ],
)
def test_what_cannot_go_is_said_in_a_sentence(version, system, machine, words):
    assert re.search(words, bootstrap.unsuitable(version, system, machine))


@pytest.mark.parametrize(
    ("extras", "words"),
    [
        (("train",), "PyTorch"),
        (("parquet",), "pyarrow"),
        (("scale", "s3"), "Ray and pyarrow"),
        (("train", "scale"), "PyTorch, Ray and pyarrow"),
    ],
)
def test_parts_that_windows_on_arm_lacks_are_named_before_pip_is_asked(extras, words):
    said = bootstrap.lacking(extras, "Windows", "ARM64")
    assert said.startswith(f"this needs {words}, which Windows on ARM has no build of")
    assert "Python for x64" in said


@pytest.mark.parametrize(
    ("extras", "system", "machine"),
    [
        (("serve", "learn"), "Windows", "ARM64"),
        (("train", "scale", "parquet"), "Windows", "AMD64"),
        (("train", "scale", "parquet"), "Darwin", "arm64"),
    ],
)
def test_parts_that_can_be_had_are_let_through(extras, system, machine):
    assert bootstrap.lacking(extras, system, machine) is None


@pytest.mark.parametrize(
    ("version", "system", "machine"),
    [
        ((3, 11), "Linux", "x86_64"),
        ((3, 14), "Windows", "AMD64"),
        ((3, 14), "Darwin", "arm64"),
        ((3, 13), "Darwin", "x86_64"),
    ],
)
def test_what_goes_is_let_through(version, system, machine):
    assert bootstrap.unsuitable(version, system, machine) is None


def test_parts_that_are_installed_are_known_until_the_pins_change(tmp_path):
    stamp = tmp_path / "installed"
    assert bootstrap.installed(stamp, "a") is None
    stamp.write_text("pins of an earlier version")
    assert bootstrap.installed(stamp, "a") is None
    stamp.write_text(json.dumps({"pins": "a", "extras": ["serve"]}))
    assert bootstrap.installed(stamp, "a") == {"serve"}
    assert bootstrap.installed(stamp, "b") is None


def test_a_failed_installation_is_a_sentence_and_a_log(tmp_path, monkeypatch):
    said = "Looking\nERROR: No matching distribution found for torch\n"
    program = f"import sys; print({said!r}); sys.exit(1)"
    monkeypatch.setattr(
        bootstrap.subprocess,
        "run",
        lambda _, run=subprocess.run, **options: run([sys.executable, "-c", program], **options),
    )
    with pytest.raises(SystemExit, match=r"installed here: ERROR: No matching .* for torch\n"):
        bootstrap.pip(Path("python"), tmp_path, "torch")
    assert "Looking" in (tmp_path / "install.log").read_text()


def test_checks_read_files_in_utf_8_and_give_the_first_failure(monkeypatch, tmp_path):
    begun = []

    def run(command):
        begun.append((command[1:], os.environ["PYTHONUTF8"]))
        return len(begun) % 3

    monkeypatch.setenv("PYTHONUTF8", "1")
    monkeypatch.delenv("PYTHONUTF8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "run", run)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name, **_: name)
    assert bootstrap.checks(tmp_path / "python", ["-x"]) == 1
    assert begun[-1] == (["-x"], "1")


def test_the_code_of_the_command_is_the_code():
    assert bootstrap.run([sys.executable, "-c", "raise SystemExit(7)"]) == 7


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT to a group of processes")
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_in_its_own_way_and_gives_its_code(tmp_path, ended_by):
    child = (
        "import signal, sys, time, pathlib\n"
        "def end(*_):\n"
        f"    time.sleep(1); pathlib.Path({str(tmp_path / 'kept')!r}).touch(); sys.exit(130)\n"
        f"signal.signal({int(ended_by)}, end)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    parent = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import bootstrap\n"
        f"sys.exit(bootstrap.run([sys.executable, '-c', {child!r}]))"
    )
    running = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    while not (tmp_path / "ready").exists():
        time.sleep(0.05)
    if ended_by == signal.SIGINT:
        os.killpg(running.pid, signal.SIGINT)  # as a terminal sends it: to both
    else:
        running.terminate()
    assert running.wait(timeout=60) == 130
    assert (tmp_path / "kept").exists()
