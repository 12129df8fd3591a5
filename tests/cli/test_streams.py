"""Output reaches files, pipes and terminals whatever photos are called."""

import errno
import io
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from siamese_nima.cli import streams

# Chinese, emoji, combining accents, a byte that is no UTF-8, and what a terminal would obey.
NAMES = [b"\xe7\x85\xa7\xe7\x89\x87.png", b"\xf0\x9f\x98\x80.png", b"e\xcc\x81te\xcc\x81.png"]
NAMES += [b"caf\xe9.png", b"a\x1b[31mb.png"]
POOR = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252", "PYTHONWARNINGS": "error"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are bytes")


@pytest.fixture(scope="module")
def shoot(tmp_path_factory):
    folder = os.fsencode(tmp_path_factory.mktemp("names"))
    for number, name in enumerate(NAMES):
        content = io.BytesIO()
        Image.new("RGB", (64, 48), (40 * number,) * 3).save(content, "PNG")
        with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123 -- a name of bytes
            file.write(content.getvalue())
    with open(folder + b"/broken-\xe7\x85\xa7.png", "wb") as file:  # noqa: PTH123
        file.write(b"\x89PNG\r\n\x1a\n broken")
    return folder


def nima(*arguments, **options):
    command = [sys.executable, "-m", "siamese_nima", *arguments]
    environment = {**os.environ, **POOR}
    return subprocess.run(command, capture_output=True, timeout=300, env=environment, **options)


@pytest.fixture(scope="module")
def rated(shoot):
    """A table of them in the folder, that of one more photo, and an answer about two."""
    names = [*NAMES, b"gone-\xe7\x85\xa7.png"]
    table = shoot + b"/\xe8\xa1\xa8.csv"
    with open(table, "wb") as file:  # noqa: PTH123
        file.write(b"path,mos\n" + b"".join(b"%s,%d\n" % (n, 1 + i) for i, n in enumerate(names)))
    answers = shoot + b"/answers.csv"
    with open(answers, "wb") as file:  # noqa: PTH123
        file.write(
            b"left,right,choice,person\n" + NAMES[0] + b"," + NAMES[1] + b",left,Zo\xc3\xab\n"
        )
    return table


OF_FOLDERS = {
    "score FOLDER": 1,
    "rank FOLDER --copy-to best": 1,
    "bursts FOLDER": 1,
    "stars FOLDER": 1,
    "report FOLDER --out page.html": 1,
}
OF_PHOTOS = ["crop PHOTO", "explain PHOTO", "score PHOTO -q --no-cache"]
OTHERS = [
    "data check TABLE --scale 1..9",
    "data split TABLE --scale 1..9 --out 照.csv",
    "evaluate MODEL --data TABLE --scale 1..9 --repeats 9",
    "train --data TABLE --scale 1..9 --out 照",
    "models show 照.onnx",
    "models remove 照",
    "cache --cache 照.sqlite",
    "pick answers import FOLDER ANSWERS",
    "pick answers show 照",
    "learn 照 --name 照",
    "score FOLDER --model MODEL --out 照.parquet",
    "features FOLDER --model MODEL --out 照.parquet",
]
# Each with streams of its own, as from a shell, but without a new process.
PROGRAM = """
import os, sys
from siamese_nima.cli import main
for line in sys.stdin.readlines():
    out, errors, *arguments = (os.fsdecode(bytes.fromhex(word)) for word in line.split())
    for number, name in ((1, out), (2, errors)):
        file = os.open(name, os.O_CREAT | os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["nima", *arguments]
    try:
        main()
    except SystemExit as end:
        with open(errors + ".code", "w") as file:
            file.write(str(end.code))
"""


@pytest.fixture(scope="module")
def said(shoot, rated, tiny_model, tmp_path_factory):
    """How each command ended, and what it wrote into the files that were its streams."""
    folder = tmp_path_factory.mktemp("said")
    meant = {"FOLDER": shoot, "PHOTO": shoot + b"/" + NAMES[0], "TABLE": rated}
    meant |= {"MODEL": os.fsencode(tiny_model), "ANSWERS": shoot + b"/answers.csv"}
    commands = [f"{command} --model MODEL" for command in (*OF_FOLDERS, *OF_PHOTOS)] + OTHERS
    lines = []
    for number, command in enumerate(commands):
        words = [meant.get(word, word.encode()) for word in command.split()]
        streams = [os.fsencode(folder / f"{number}.{which}") for which in ("out", "errors")]
        lines.append(" ".join(word.hex() for word in (*streams, *words)))
    own = {
        "SIAMESE_NIMA_MODELS": str(folder / "models"),
        "SIAMESE_NIMA_CACHE": str(folder / "cache.sqlite"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(lines).encode(),
        env={**os.environ, **POOR, **own},
        timeout=600,
        cwd=folder,
    )
    assert done.returncode == 0
    return {
        command.removesuffix(" --model MODEL")
        if number < len(commands) - len(OTHERS)
        else command: (
            int((folder / f"{number}.errors.code").read_text()),
            (folder / f"{number}.out").read_bytes(),
            (folder / f"{number}.errors").read_bytes(),
        )
        for number, command in enumerate(commands)
    }


@pytest.mark.parametrize(("command", "wanted"), OF_FOLDERS.items())
def test_no_command_fails_at_a_name(said, command, wanted):
    code, output, errors = said[command]
    assert b"Traceback" not in errors, errors
    assert code == wanted
    assert b"failed: " in errors
    if command.startswith(("score", "rank")):
        for name in NAMES:
            assert name in output
    if command.startswith("stars"):
        assert "★".encode() in output
        assert b"undo with: nima stars --undo " in errors


@pytest.mark.parametrize("command", OF_PHOTOS)
def test_no_command_fails_at_one_photo(said, command):
    code, _, errors = said[command]
    assert (code, b"Traceback" in errors) == (0, False), errors


@pytest.mark.parametrize("command", OTHERS)
def test_no_other_command_fails_at_a_name(said, command):
    _, output, errors = said[command]
    assert b"Traceback" not in errors, errors
    assert errors + output


def test_names_in_tables_and_lists_are_found(said, shoot, tiny_model, tmp_path):
    """Also where the system's own encoding has none of their letters."""
    _, output, _ = said["data check TABLE --scale 1..9"]
    assert b"5 of 6 photos can be read" in output
    assert b"missing: " in output
    assert "gone-照.png".encode() in output
    listed = b"\n".join(shoot + b"/" + name for name in NAMES)
    done = nima("score", "-", "-m", tiny_model, "-q", "--no-cache", input=listed)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 6)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["serve", "--folder"], ["pick", "--no-browser"]])
def test_no_server_fails_at_a_name(shoot, tiny_model, tmp_path, arguments):
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    command = [sys.executable, "-m", "siamese_nima", *arguments, shoot, "--port", "0"]
    with (tmp_path / "said").open("wb+") as said:
        process = subprocess.Popen(
            [*command, "--model", tiny_model], stdout=said, stderr=said, env={**os.environ, **POOR}
        )
        try:
            while b"http://127" not in (tmp_path / "said").read_bytes():
                assert process.poll() is None, (tmp_path / "said").read_bytes()
                time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    output = (tmp_path / "said").read_bytes()
    assert b"Traceback" not in output
    assert b"broken-" in output


def test_errors_and_help_are_utf_8_in_a_pipe(shoot):
    done = nima("score", shoot, "--model", "模型")
    assert b"no model named" in done.stderr
    assert b"Traceback" not in done.stderr
    assert "╭".encode() in nima("--help").stdout


def test_a_terminal_shows_the_code_of_what_it_cannot_show(monkeypatch):
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    shown, piped = Terminal(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="cp1252"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(piped, encoding="cp1252"))
    streams.fit_streams()
    for stream in (sys.stdout, sys.stderr):
        print("é 照 \udce9 \ud800", file=stream)
    assert streams.flush_streams()
    assert shown.getvalue() == b"\xe9 \\u7167 \\udce9 \\ud800\n"
    assert piped.getvalue() == "é 照 ".encode() + b"\xe9 \\ud800\n"


@pytest.mark.parametrize(("tty", "lines"), [(True, 2), (False, 1)])
def test_lines_break_between_words_on_a_terminal_and_nowhere_else(monkeypatch, capsys, tty, lines):
    monkeypatch.setenv("COLUMNS", "40")
    for stream, speak in ((sys.stdout, streams.tell), (sys.stderr, streams.say)):
        monkeypatch.setattr(stream, "isatty", lambda: tty)
        speak("  three words, and/a/long/path/that-is-whole.jpg")
    out, err = capsys.readouterr()
    assert out.split() == err.split()
    assert out.splitlines()[-1].endswith(" and/a/long/path/that-is-whole.jpg")
    assert [len(text.splitlines()) for text in (out, err)] == [lines, lines]


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EINVAL])
def test_a_reader_that_has_left_ends_the_command_quietly(monkeypatch, number):
    """`| head` on Linux, `| more` then q on Windows."""

    class Left(io.StringIO):
        def flush(self):
            raise OSError(number, "the reader has left")

    monkeypatch.setattr(sys, "stdout", Left())
    assert not streams.flush_streams()


def test_streams_that_are_closed_are_no_error(tiny_model, photo_folder, tmp_path):
    out = tmp_path / "t.csv"
    command = f'exec "{sys.executable}" -m siamese_nima score "{photo_folder}" -m "{tiny_model}" '
    done = subprocess.run(["sh", "-c", f'{command} -o "{out}" <&- >&- 2>&-'], timeout=120)
    assert (done.returncode, out.exists()) == (0, True)
    asked = f'exec "{sys.executable}" -m siamese_nima score - -m "{tiny_model}" <&-'
    done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.endswith("there is none: it is closed\n")


@pytest.mark.parametrize(
    ("path", "room", "shown"),
    [
        ("a/b.jpg", 20, "a/b.jpg"),
        ("a/long/way/to/b.jpg", 10, "…/to/b.jpg"),
        ("照片/照片.jpg", 9, "…照片.jpg"),
        ("a\nb.jpg", 20, "a\\nb.jpg"),
    ],
)
def test_a_path_keeps_its_end_in_the_room_there_is(path, room, shown):
    assert streams.fitting(path, room) == shown
