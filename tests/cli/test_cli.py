"""Every command, as a user types it."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from command import nima
from siamese_nima import cli
from siamese_nima.cli import app
from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.pair_error import PairError
from tiny_model import write_model

REPOSITORY = Path(__file__).parents[2]


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(app)
    found = {}
    shown = {name: command for name, command in group.commands.items() if not command.hidden}
    for name, command in (shown | {"pick answers": group.commands["answers"]}).items():
        found[name] = command
        for sub, subcommand in getattr(command, "commands", {}).items():
            found[f"{name} {sub}"] = subcommand
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_with_an_example_and_stands_in_the_docs(name):
    command = commands()[name]
    assert f"nima {name}" in command.help.split("Example:")[1]
    assert f"nima {name}" in (REPOSITORY / "docs" / "cli.md").read_text()
    shown = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert not re.search(r"…|<[a-z ]+(?:\[\w+\])?>", shown.stdout), "whole words, no types"
    assert all("\n" not in paragraph for paragraph in command.help.split("\n\n"))
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    assert all(argument.metavar and argument.metavar.isupper() for argument in arguments)


def test_the_help_has_every_command_in_a_group():
    assert "Commands" not in CliRunner().invoke(app, ["--help"]).stdout


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (NimaError("a\x1b]0;b\n  c"), 1, "nima: a\\x1b]0;b\n  c\n"),
        (ConfigError("wrong"), 2, "nima: wrong\n"),
        (PermissionError(13, "Permission denied", "/x/y"), 1, "nima: /x/y: Permission denied\n"),
    ],
)
def test_errors_are_said_without_a_traceback_and_terminals_do_not_obey_them(
    error, code, line, monkeypatch, capsys
):
    monkeypatch.setattr(cli, "app", Mock(side_effect=error))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (code, line)


def test_score_into_a_pipe_is_csv_and_a_summary_apart(tiny_model, photo_folder):
    done = nima("score", photo_folder, "--model", tiny_model)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 0
    assert [Path(row["path"]).name for row in rows] == [f"photo{n}.png" for n in range(1, 12)]
    assert float(rows[0]["score"]) < float(rows[10]["score"])
    assert "11 of 11 photos scored" in done.stderr
    assert "skipped 1 hidden, 1 not photos" in done.stderr
    assert "tiny-1@" in done.stderr


def test_score_writes_a_table_and_nothing_else(tiny_model, photo_folder, tmp_path):
    out = tmp_path / "scores.jsonl"
    done = nima("score", photo_folder, "--model", tiny_model, "--out", out, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 11


def test_a_broken_photo_is_a_row_a_message_and_exit_code_1(tiny_model, photo_folder):
    (photo_folder / "photo2.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = nima("score", photo_folder, "--model", tiny_model)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 1
    assert len(rows) == 11
    assert "photo2.png" in rows[1]["error"]
    assert "10 of 11 photos scored" in done.stderr
    assert "failed: " in done.stderr
    assert "Traceback" not in done.stderr


def test_rank_shows_the_best_first_and_copies_them(tiny_model, photo_folder, tmp_path):
    best = tmp_path / "best"
    done = nima("rank", photo_folder, "--top", 3, "--copy-to", best, "--model", tiny_model)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [Path(r["path"]).name for r in rows] == ["photo11.png", "photo10.png", "photo9.png"]
    assert sorted(p.name for p in best.iterdir()) == [
        "0001-photo11.png",
        "0002-photo10.png",
        "0003-photo9.png",
    ]


@pytest.fixture
def sure_model(tmp_path, tiny_card):
    """A model whose pair error is measured: sure from a gap of half a point on."""
    pair_error = PairError((0.0, 0.5, 9.0), (0.5, 0.85, 1.0), (0.5, 0.8, 0.98), 400)
    card = replace(tiny_card, name="sure", metrics={"pair_error": pair_error.to_json()})
    return write_model(tmp_path / "sure.onnx", card)


def test_rank_says_what_is_too_close_to_call(sure_model, photo_folder, tmp_path):
    out = tmp_path / "ranking.jsonl"
    done = nima("rank", photo_folder, "--model", sure_model, "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert done.returncode == 0, done.stderr
    assert [row["rank"] for row in rows] == list(range(1, 12))
    for row in rows:
        close = sum(abs(row["score"] - other["score"]) < 0.4999 for other in rows)
        assert row["rank_worst"] - row["rank_best"] + 1 == close
    assert "a gap of 0.50 points makes an order sure" in done.stderr
    assert "percentile: share of 4 photos that score lower, greys" in done.stderr


def test_two_photos_are_compared_in_words(sure_model, tiny_model, photo_folder):
    near, far = [photo_folder / f"photo{n}.png" for n in (1, 2)], photo_folder / "photo11.png"
    close = nima("rank", *near, "--model", sure_model)
    assert "Too close to call: " in close.stderr
    clear = nima("rank", near[0], far, "--model", sure_model)
    assert re.search(r"photo11\.png \(\d\.\d\d\) is better than .*photo1\.png", clear.stderr)
    unknown = nima("rank", *near, "--model", tiny_model)
    assert "is unknown: nobody has measured the pair error of tiny-1@" in unknown.stderr


def test_several_models_and_the_one_that_orders(tiny_model, sure_model, photo_folder):
    both = f"{tiny_model},{sure_model}"
    scored = nima("score", photo_folder, "--model", both)
    rows = list(csv.DictReader(io.StringIO(scored.stdout)))
    assert scored.returncode == 0, scored.stderr
    assert list(rows[0])[:2] == ["path", "tiny_score"]
    assert all(row["tiny_score"] == row["sure_score"] for row in rows)
    ranked = nima("rank", photo_folder, "--model", both, "--order-by", "sure", "--no-cache")
    header = next(csv.reader(io.StringIO(ranked.stdout)))
    assert header[5] == "sure_score"
    assert "makes an order sure" in ranked.stderr
    wrong = nima("rank", photo_folder, "--model", both, "--order-by", "none")
    assert (wrong.returncode, "--order-by none: none of the models" in wrong.stderr) == (2, True)


def test_a_second_run_takes_its_results_from_the_cache(tiny_model, photo_folder, tmp_path):
    (photo_folder / "photo4.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    own = tmp_path / "own.sqlite"
    runs = [
        nima("score", photo_folder, "--model", tiny_model, *options)
        for options in (["--no-cache"], [], [], ["--cache", own], ["--cache", own])
    ]
    assert len({run.stdout for run in runs}) == 1
    assert {run.returncode for run in runs} == {1}
    counted = ["; 10 from the cache" in run.stderr for run in runs]
    assert counted == [False, False, True, False, True]
    assert re.search(r"own.sqlite: 10 results, \d+ files", nima("cache", "--cache", own).stdout)
    assert nima("cache", "clear").stdout.endswith("results.sqlite: empty\n")
    assert "from the cache" not in nima("score", photo_folder, "--model", tiny_model).stderr
    assert "own.sqlite: 10 results" in nima("cache", "--cache", own).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_an_interrupted_run_says_how_to_go_on(tiny_model, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1000):
        Image.new("RGB", (32, 32), (number % 200,) * 3).save(folder / f"{number}.bmp")
    out = tmp_path / "scores.csv"
    command = [sys.executable, "-m", "siamese_nima", "score", folder, "-m", tiny_model, "-o", out]
    run = subprocess.Popen(command, stdout=-1, stderr=-1, text=True)
    cache = Path(os.environ["SIAMESE_NIMA_CACHE"])
    while not cache.exists():
        time.sleep(0.01)
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=120)
    if run.returncode == 0:
        pytest.skip("this machine was faster than the interrupt")
    assert run.returncode == 130, errors
    assert re.search(r"interrupted after \d+ of 1000 photos. The same command goes on", errors)
    assert "Traceback" not in errors
    assert not out.exists()
    again = nima("score", folder, "--model", tiny_model, "--out", out)
    assert re.search(r"1000 of 1000 photos scored .*; \d+ from the cache", again.stderr)


def test_a_list_of_photos_is_read_from_standard_input(tiny_model, photo_folder):
    names = "\n".join(str(photo_folder / f"photo{n}.png") for n in (7, 2))
    done = nima("score", "-", "--model", tiny_model, input=names)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [Path(row["path"]).name for row in rows] == ["photo7.png", "photo2.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are any bytes")
def test_a_name_that_is_not_unicode_leaves_as_its_bytes(tiny_model, photo_folder):
    name = os.fsencode(photo_folder) + b"/caf\xe9.png"
    os.rename(os.fsencode(photo_folder / "photo1.png"), name)  # noqa: PTH104
    command = [sys.executable, "-m", "siamese_nima", "score", name, "-m", str(tiny_model)]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["score"], 2, "Missing argument"),
        (["score", "{folder}", "--batch-size", "0"], 2, "--batch-size"),
        (["score", "{folder}", "--view", "sideways"], 2, "view policy 'sideways'"),
        (["score", "{folder}", "--out", "x.xlsx"], 2, "x.xlsx: a table ends in .csv"),
        (["score", "{folder}", "--device", "tpu"], 2, "'tpu' is none of cpu, cuda"),
        (["score", "{folder}", "--model", "nothing"], 1, "no model named 'nothing'"),
        (["score", "{folder}", "--model", "no.h5"], 1, "no.h5: no such weight file"),
        (["score", "{folder}/notes.txt/none*"], 1, "none*"),
        (["models", "import", "no.h5"], 1, "no.h5: no such weight file"),
        (["models", "export", "no.safetensors"], 1, "no.safetensors: no such weight file"),
        (["models", "get", "nothing"], 2, "no published weights named 'nothing'"),
        (["models", "show", "nothing"], 1, "no model named 'nothing'"),
    ],
)
def test_mistakes_end_with_one_clear_line(tiny_model, photo_folder, arguments, code, message):
    filled = [a.format(folder=photo_folder) for a in arguments]
    if filled[0] == "score" and "--model" not in filled:
        filled += ["--model", str(tiny_model)]
    done = nima(*filled)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_models_are_listed_with_licence(tiny_model):
    done = nima("models")
    assert done.returncode == 0
    assert "quality" in done.stdout
    assert "idealo-aesthetic" in done.stdout
    assert "Apache-2.0" in done.stdout
    assert nima("models", "list").stdout == done.stdout


def test_a_card_is_shown(tiny_model):
    done = nima("models", "show", tiny_model)
    assert "brightness" in done.stdout
    assert "against greys (4 photos)" in done.stdout


def test_a_card_is_shown_line_by_line():
    shown = nima("models", "show", "appeal").stdout.splitlines()
    assert "    name: tf_efficientnet_lite2" in shown
    assert "  levels: blocks.5.3" in shown
    assert any(line.startswith("    OASIS: 0.6") and line.endswith("]") for line in shown)
    assert max(map(len, shown)) < 500


def test_the_version_is_told():
    command = [sys.executable, "-m", "siamese_nima", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("siamese-nima 0.")
