"""`nima pick` and `nima pick answers`, as a user types them."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest

from command import nima
from siamese_nima.errors import MissingExtraError
from siamese_nima.taste.answers import Answer, AnswerStore, answers_path

AT = "2026-05-01T09:30:00+00:00"


@contextmanager
def picking(*arguments):
    """`nima pick` while it serves: its address, and the process."""
    command = [sys.executable, "-m", "siamese_nima", "pick", *map(str, arguments)]
    with subprocess.Popen(
        [*command, "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def ask(address, body=None):
    request = urllib.request.Request(
        address,
        data=body and json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_session_keeps_its_answers_and_ends_by_ctrl_c(tiny_model, photo_folder):
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    (photo_folder / "photo2.png").write_bytes(b"broken")
    with picking(photo_folder, "--model", tiny_model, "--person", "Ana") as (address, process):
        state = ask(f"{address}state")
        assert state["progress"] == "0 of 45 answers"
        assert [photo["name"] for photo in state["unreadable"]] == ["photo2.png"]
        for number, choice in enumerate(("left", "tie", "flag"), start=1):
            ask(f"{address}answers", {"number": number, "choice": choice})
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    path = answers_path(photo_folder)
    assert process.returncode == 0
    assert f"answers given: 2, set aside: 1; in all 2, in {path}" in out
    assert "photo2.png" in errors
    assert "Traceback" not in errors
    with AnswerStore(path, read_only=True) as store:
        assert [kept.choice for kept in store.records(["Ana"])] == ["left", "tie", "flag"]
    assert [file.name for file in photo_folder.glob("nima-*")] == ["nima-answers.sqlite"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_session_goes_on_where_it_was(tiny_model, photo_folder, tmp_path):
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    elsewhere = tmp_path / "mine.sqlite"
    arguments = (photo_folder, "--model", tiny_model, "--answers", elsewhere, "--pairs", 5)
    with picking(*arguments) as (address, process):
        state = ask(f"{address}answers", {"number": 1, "choice": "right"})
        assert state["progress"] == "1 of 5 answers"
        process.kill()
    with picking(*arguments, "--bursts") as (address, _):
        assert ask(f"{address}state")["progress"] == "1 of 5 answers"
    assert not answers_path(photo_folder).exists()


@pytest.mark.parametrize(
    ("photos", "found"), [([], "no photo"), (["photo1.png"], "one photo that can be read")]
)
def test_a_pair_needs_two_photos_and_no_file_is_made(tiny_model, photo_folder, photos, found):
    for photo in photo_folder.glob("*.png"):
        if photo.name not in photos:
            photo.unlink()
    done = nima("pick", photo_folder, "--model", tiny_model, "--no-browser")
    assert done.returncode == 1
    assert f"{photo_folder}: {found}" in done.stderr
    assert not answers_path(photo_folder).exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_scored(
    tiny_model, photo_folder
):
    answers_path(photo_folder).mkdir()
    done = nima("pick", photo_folder, "--model", tiny_model, "--port", "0", "--no-browser")
    assert done.returncode == 1
    assert "name another file with --answers" in done.stderr
    assert "scored" not in done.stderr


def test_a_port_in_use_is_told(tiny_model, photo_folder):
    running = pytest.importorskip("siamese_nima.web.http", reason="needs the extra serve")
    with running.open_port("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = nima("pick", photo_folder, "--model", tiny_model, "--port", port)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use; name another with --port" in done.stderr


def test_a_missing_extra_is_named(photo_folder):
    program = (
        "import sys; sys.modules['fastapi'] = None\n"
        "from siamese_nima.cli import main\n"
        f"sys.argv = ['nima', 'pick', {str(photo_folder)!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"nima: {MissingExtraError.of('nima pick', 'serve')}\n"


@pytest.fixture
def answered(photo_folder):
    """Answers of two people about the folder."""
    said = [
        Answer(left="photo1.png", right="photo2.png", choice="left", person="Ana", at=AT),
        Answer(left="photo1.png", right="photo3.png", choice="flag", person="Ana", at=AT),
        Answer(left="photo4.png", right="photo2.png", choice="tie", person="Bo", at=AT),
    ]
    with AnswerStore(answers_path(photo_folder)) as store:
        store.merge(said)
    return photo_folder


def test_answers_can_be_counted(answered):
    done = nima("answers", "show", answered)
    assert done.stdout == "Ana: 1 answer, 1 pair set aside\nBo: 1 answer, 0 pairs set aside\n"


def test_answers_go_out_and_come_in_once(answered, tmp_path):
    table, other = tmp_path / "answers.csv", tmp_path / "other.sqlite"
    assert nima("answers", "export", answered, table).stdout == f"wrote {table}: 3 answers\n"
    for added in (3, 0):
        done = nima("answers", "import", answered, table, "--answers", other)
        assert done.stdout == f"{added} answers taken over, {3 - added} there already\n"
    with AnswerStore(other) as here, AnswerStore(answers_path(answered)) as there:
        assert here.records() == there.records()


def test_one_persons_answers_go_out_and_come_in_under_another_name(answered, tmp_path):
    table = tmp_path / "bo.csv"
    nima("answers", "export", answered, table, "--person", "Bo")
    done = nima("answers", "import", answered, table, "--person", "Bo at home")
    assert done.returncode == 0
    with AnswerStore(answers_path(answered)) as store:
        assert store.people() == {"Ana": 1, "Bo": 1, "Bo at home": 1}


def test_a_wrong_table_is_named_by_its_line_and_nothing_is_taken(answered, tmp_path):
    table = tmp_path / "answers.csv"
    table.write_text(f"left,right,choice,at\na.png,b.png,left,{AT}\na.png,b.png,up,{AT}\n")
    done = nima("answers", "import", answered, table)
    assert done.returncode == 1
    assert re.fullmatch(rf"nima: {table} line 3: the choice is 'up', wanted .*\n", done.stderr)
    assert "Ana: 1" in nima("answers", "show", answered).stdout


def test_photos_that_are_not_there_are_told(answered, tmp_path):
    table = tmp_path / "answers.csv"
    table.write_text(f"left,right,choice,at\ngone.png,photo1.png,left,{AT}\n")
    done = nima("answers", "import", answered, table)
    assert done.returncode == 0
    assert f"1 of their photos are not in {answered}, such as gone.png" in done.stderr


def test_without_answers_there_is_nothing_to_show(photo_folder):
    done = nima("answers", "show", photo_folder)
    assert done.returncode == 1
    assert "no answers yet; 'nima pick' gathers them" in done.stderr
