"""Everything that can be wrong with photos ends as a score or a named error, in its own row."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from hostile_corpus import SCORE, SKIPPED, write_corpus
from siamese_nima.errors import PhotoError
from siamese_nima.photos import find_photos, read_photo
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import write_table

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="the corpus has pipes, sockets, links and names of bytes"
)

TIME_LIMIT_S = 300
# Runs the command with every attempt to change a file noted; photos may only be opened to be read.
WATCHED = """
import os, sys
changes = {"os.remove", "os.rename", "os.chmod", "os.chown", "os.utime", "os.truncate", "os.link"}
folder = os.path.abspath(sys.argv[2])
def watch(event, arguments):
    if event == "open":
        written = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    else:
        written = event in changes
    path = arguments[0] if arguments else None
    if written and isinstance(path, (str, bytes)):
        if os.path.abspath(os.fsdecode(path)).startswith(folder):
            os.write(2, b"WROTE " + os.fsencode(path))
sys.addaudithook(watch)
from siamese_nima.cli import main
main()
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    return folder, write_corpus(folder)


def fingerprint(folder):
    """Contents and times of every file, without opening pipes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        regular = path.is_file() and not path.is_symlink()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if regular else None
        found[path] = (status.st_mtime_ns, status.st_ctime_ns, status.st_mode, digest)
    return found


def run(*arguments):
    command = [sys.executable, "-c", WATCHED, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_S)


def rows_of(table, done):
    """Path, mean and error of every row of a table in any format."""
    if table is None:
        text = done.stdout.decode("utf-8", "surrogateescape")
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if table.suffix == ".csv":
        with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return list(csv.DictReader(file))
    if table.suffix == ".jsonl":
        with table.open(encoding="utf-8", newline="\n") as file:
            return [json.loads(line) for line in file]
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(table).to_pylist()


def test_every_entry_is_one_row_in_order_with_a_score_or_a_named_error(corpus, tiny_model):
    folder, expected = corpus
    before = fingerprint(folder)
    done = run("score", folder, "--model", tiny_model)
    assert b"Traceback" not in done.stderr
    assert b"WROTE" not in done.stderr
    assert fingerprint(folder) == before
    assert done.returncode == 1
    check_rows(folder, rows_of(None, done), expected)


@pytest.fixture(scope="module")
def results(corpus, tiny_model):
    return list(Scorer(tiny_model).score(corpus[0]))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_kind_of_table_has_every_entry(corpus, results, tmp_path, suffix):
    folder, expected = corpus
    table = tmp_path / f"table{suffix}"
    write_table(results, table)
    check_rows(folder, rows_of(table, None), expected, as_utf_8=suffix == ".parquet")


def check_rows(folder, rows, expected, *, as_utf_8=False):
    """That there is one row for each entry, in order; Parquet's text is UTF-8 and nothing else."""

    def named(name):
        return os.fsencode(name).decode("utf-8", "backslashreplace") if as_utf_8 else name

    assert [row["path"] for row in rows] == [
        named(os.fspath(path)) for path in find_photos([folder]).paths
    ]
    expected = {named(name): outcome for name, outcome in expected.items()}
    by_name = {os.path.relpath(row["path"], folder): row for row in rows}
    assert set(by_name) == {name for name, outcome in expected.items() if outcome != SKIPPED}
    for name, row in by_name.items():
        check(name, row, expected[name], by_name)


def check(name, row, outcome, rows):
    """That one row is what the corpus expects."""
    scored = row["score"] not in (None, "")
    assert scored == (row["error"] in (None, "")), name
    if scored:
        assert 1 <= float(row["score"]) <= 10, name
    else:
        assert row["error"].startswith(row["path"]), name
    if outcome == SCORE:
        assert scored, (name, row["error"])
    elif outcome.startswith("error: "):
        assert not scored, name
        assert outcome.removeprefix("error: ") in row["error"], (name, row["error"])
    elif outcome.startswith("like ") and scored:
        assert row["score"] == rows[outcome.removeprefix("like ")]["score"], name


def test_names_given_one_by_one_are_taken_literally(corpus, tiny_model):
    folder, expected = corpus
    names = [name for name in expected if name.startswith(("-", "a*b", "new", "pipe", "zero-l"))]
    listed = subprocess.run(
        [sys.executable, "-m", "siamese_nima", "score", "--model", tiny_model, "--", *names],
        capture_output=True,
        timeout=TIME_LIMIT_S,
        cwd=folder,
    )
    rows = {row["path"]: row for row in rows_of(None, listed)}
    assert list(rows) == names
    for name in ("pipe.jpg", "zero-link.jpg"):
        assert rows[name]["error"] == f"{name}: a pipe, socket or device, not a regular file."


def test_a_photo_that_vanishes_or_is_swapped_before_it_is_read_is_an_error(
    tiny_model, photo_folder
):
    def paths():
        for path in find_photos([photo_folder]).paths:
            if path.name == "photo3.png":
                path.unlink()
            if path.name == "photo5.png":
                path.unlink()
                path.mkdir()
            if path.name == "photo7.png":
                path.write_bytes(path.read_bytes()[:60])
            yield path

    results = list(Scorer(tiny_model).score(paths()))
    failed = {Path(result.path).name: result.error for result in results if result.error}
    assert len(results) == 11
    assert list(failed) == ["photo3.png", "photo5.png", "photo7.png"]
    assert "no such file" in failed["photo3.png"]
    assert "a folder, not a photo" in failed["photo5.png"]


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP"])
def test_a_photo_that_is_being_written_is_one_of_its_versions_or_an_error(
    tiny_model, tmp_path, image_format
):
    path = tmp_path / "live"
    versions = []
    for level in (0, 255):
        file = io.BytesIO()
        Image.new("L", (200, 150), level).save(file, image_format)
        versions.append(file.getvalue())
    path.write_bytes(versions[0])
    scorer, stop = Scorer(tiny_model), threading.Event()
    allowed = {round(result.mean, 4) for result in scorer.score(versions)}

    def rewrite():
        turn = 0
        while not stop.is_set():
            turn ^= 1
            replacement = path.with_suffix(".new")
            replacement.write_bytes(versions[turn])
            replacement.replace(path)
            with path.open("wb") as file:
                file.write(versions[turn][:100])
                file.flush()
                file.write(versions[turn][100:])

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        results = list(scorer.score([path] * 200))
    finally:
        stop.set()
        writer.join()
    assert len(results) == 200
    assert all(result.error or round(result.mean, 4) in allowed for result in results)


def test_a_disk_that_fails_while_it_is_read_is_an_error_with_the_systems_words(monkeypatch):
    class FailingDisk(io.BytesIO):
        name = "photo.jpg"

        def read(self, *_):
            raise OSError(5, "Input/output error")

    with pytest.raises(PhotoError) as caught:
        read_photo(FailingDisk())
    assert str(caught.value) == "photo.jpg: the file cannot be read (Input/output error)."


def test_photos_and_folders_without_permission_are_errors(tmp_path):
    """As the user "nobody" where the tests run as root, who may read everything."""
    photo, folder = tmp_path / "locked.png", tmp_path / "locked"
    Image.new("RGB", (9, 9)).save(photo)
    folder.mkdir()
    Image.new("RGB", (9, 9)).save(folder / "inside.png")
    photo.chmod(0)
    folder.chmod(0)
    tmp_path.chmod(0o755)
    program = (
        "import os, sys; import siamese_nima.photos.read as r; from siamese_nima.photos import *\n"
        "from siamese_nima.errors import PhotoError\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "for path in find_photos(['.']).paths:\n"
        "    try: read_photo(path); print('read', path)\n"
        "    except PhotoError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60
    )
    folder.chmod(0o700)
    assert sorted(done.stdout.splitlines()) == [
        "locked.png: no permission to read it.",
        "locked: a folder without permission to list it.",
    ], done.stderr
