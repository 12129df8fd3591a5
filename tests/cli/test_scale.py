"""What `nima score --engine ray` refuses before it starts anything."""

import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.errors import MissingExtraError, NimaError


def refused(*arguments):
    """The error that ends a command."""
    result = CliRunner().invoke(app, ["score", *map(str, arguments)])
    assert isinstance(result.exception, NimaError), result.output
    return str(result.exception)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--engine", "ray"], "--out is missing: with --engine ray it is a folder"),
        (["--engine", "ray", "--out", "s.parquet"], "--out s.parquet: with --engine ray it is a f"),
        (["--engine", "ray", "--out", "o", "--cache", "c"], "--cache is on one machine"),
        (
            ["--engine", "ray", "--out", "o", "--gpus-per-worker", ".5"],
            "--gpus-per-worker 0.5 needs --device cuda, got cpu",
        ),
        (
            ["--engine", "ray", "--out", "o", "--device", "cuda", "--gpus-per-worker", "1.5"],
            "gpus_per_worker must be up to 1, or a whole number; got 1.5",
        ),
        (["--ray-address", "auto"], "--ray-address is an option of --engine ray"),
        (["--photos-per-file", "4"], "--photos-per-file is an option of --engine ray"),
        (["--engine", "ray", "--out", "nothing://o"], "Protocol not known: nothing"),
    ],
)
def test_impossible_options_are_refused(photo_folder, tiny_model, tmp_path, options, words):
    pytest.importorskip("pyarrow")
    options = [tmp_path / "o" if option == "o" else option for option in options]
    assert words in refused(photo_folder, "--model", tiny_model, *options)


def test_a_folder_without_photos_is_named(tiny_model, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "notes.md").touch()
    arguments = [tmp_path, "--model", tiny_model, "--engine", "ray", "--out", tmp_path / "out"]
    assert refused(*arguments) == f"no photo found in {tmp_path}; skipped 1 not photos"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["ray", "pyarrow", "fsspec"])
def test_a_missing_part_says_what_to_install(
    photo_folder, tiny_model, tmp_path, monkeypatch, package
):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    said = refused(
        photo_folder, "--model", tiny_model, "--engine", "ray", "--out", tmp_path / "out"
    )
    assert said == str(MissingExtraError.of("--engine ray", "scale"))
    assert not (tmp_path / "out").exists()


def test_an_address_without_a_cluster_is_named(photo_folder, tiny_model, tmp_path):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "siamese_nima", "score", photo_folder, "--model", tiny_model]
    command += ["--engine", "ray", "--out", tmp_path / "out", "--ray-address", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith(f"nima: {address}: no Ray cluster (")
    assert len(done.stderr.splitlines()) == 1
