"""What is written from the page: shown beforehand, done as shown, and undone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from PIL import Image

from siamese_nima.curation.choices import Choice
from siamese_nima.errors import NimaError, PhotoError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.web.culling import Culling, Order
from siamese_nima.web.http import RequestError

NAMES = ("a.jpg", "b.jpg", "day 2/c.jpg")


@pytest.fixture
def folder(tmp_path):
    """Three photos, the first with a camera raw file of the same shot."""
    folder = tmp_path / "shoot"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "a.CR2").write_bytes(b"raw")
    return folder


def culling_of(folder: Path, **options) -> Culling:
    photos = {str(number): folder / name for number, name in enumerate(NAMES)}
    results = [
        ScoredPhoto(path=str(path), model="m", scale=AVA_SCALE, score=5.0)
        for path in photos.values()
    ]
    return Culling(folder, photos, results, **options)


@pytest.fixture
def culling(folder):
    culling = culling_of(folder)
    yield culling
    culling.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("nima-")
    }


def do(culling: Culling, **order) -> dict:
    planned = culling.plan(Order(**order))
    return culling.write(Order(**order, digest=planned["digest"]))


def test_choices_are_kept_and_told(folder, culling):
    culling.choose("0", Choice(stars=3, colour="red"))
    culling.choose("1", Choice(flag="reject"))
    culling.choose("1", Choice())
    culling.close()
    again = culling_of(folder)
    state = again.state()
    again.close()
    assert state["kept"]
    assert state["choices"]["0"] == {"stars": 3, "flag": None, "colour": "red"}
    assert state["choices"].get("1") in (None, {"stars": None, "flag": None, "colour": None})
    with pytest.raises(PhotoError, match="no photo has the id"):
        again.choose("7", Choice())


def test_sidecars_are_shown_written_for_all_files_of_a_shot_and_undone(folder, culling):
    before = contents(folder)
    culling.choose("0", Choice(stars=5, flag="pick"))
    culling.choose("2", Choice(flag="reject"))
    planned = culling.plan(Order(what="sidecars"))
    assert planned["summary"] == ["3 new sidecars"]
    assert "picked ★★★★★  a.jpg.xmp" in planned["lines"]
    assert "rejected  day 2/c.jpg.xmp" in planned["lines"]
    assert contents(folder) == before
    done = do(culling, what="sidecars")
    assert done["changes"] == 3
    written = {"a.jpg.xmp", "a.CR2.xmp", "day 2/c.jpg.xmp"}
    assert contents(folder).keys() == before.keys() | written
    assert culling.plan(Order(what="sidecars"))["changes"] == 0
    [log] = culling.state()["undo"]
    assert log["words"].startswith("stars, 20")
    assert culling.undo(log["log"])["summary"] == ["3 new files removed again"]
    assert contents(folder) == before
    assert culling.state()["undo"] == []


@pytest.mark.parametrize("how", ["copy", "move"])
def test_files_are_copied_or_moved_beside_the_folder_and_come_back(folder, culling, how):
    before = contents(folder)
    planned = culling.plan(Order(what=how, photos=["0"], to="picked"))
    assert planned["notes"] == ["To shoot-culled/picked, beside this folder."]
    done = do(culling, what=how, photos=["0"], to="picked")
    assert done["changes"] == 2
    target = folder.parent / "shoot-culled/picked"
    assert contents(target) == {name: before[name] for name in ("a.jpg", "a.CR2")}
    assert culling.state()["gone"] == (["0"] if how == "move" else [])
    [log] = culling.state()["undo"]
    culling.undo(log["log"])
    assert contents(folder) == before
    assert not target.exists()


def test_nothing_is_written_but_what_was_seen(folder, culling):
    culling.choose("0", Choice(stars=5))
    seen = culling.plan(Order(what="sidecars"))["digest"]
    culling.choose("0", Choice(stars=1))
    for digest in (seen, None):
        with pytest.raises(RequestError, match="changed since"):
            culling.write(Order(what="sidecars", digest=digest))
    assert not list(folder.glob("*.xmp"))
    with pytest.raises(PhotoError):
        culling.plan(Order(what="copy", photos=["7"]))
    with pytest.raises(NimaError, match="known photo programs"):
        culling.plan(Order(what="sidecars", program="paint"))


@pytest.mark.parametrize(
    "name", ["../nima-stars-1.undo.jsonl", "/etc/passwd", "nima-stars-x.undo.jsonl"]
)
def test_only_logs_in_the_folder_are_undone(folder, culling, name):
    (folder.parent / "nima-stars-1.undo.jsonl").write_text("{}")
    with pytest.raises(RequestError, match="no such undo log"):
        culling.undo(name)


def test_a_log_that_somebody_holds_is_undone_all_the_same(folder, culling, held_files):
    culling.choose("0", Choice(stars=1))
    order = Order(what="sidecars")
    culling.write(order.model_copy(update={"digest": culling.plan(order)["digest"]}))
    [log] = folder.glob("nima-stars-*.undo.jsonl")
    held_files.add(str(log))
    assert culling.undo(log.name)["failed"] == 0
    assert not list(folder.glob("*.xmp"))


def test_a_server_for_others_writes_nothing_but_choices(folder):
    culling = culling_of(folder, writes=False)
    culling.choose("0", Choice(stars=5))
    for ask in (culling.plan, culling.write):
        with pytest.raises(RequestError, match="writes nothing but choices"):
            ask(Order(what="sidecars"))
    with pytest.raises(RequestError, match="writes nothing but choices"):
        culling.undo("nima-stars-1.undo.jsonl")
    culling.close()


def sent(address: str, method: str, path: str, body: object, **headers: str) -> tuple[int, dict]:
    request = urllib.request.Request(
        address + path,
        json.dumps(body).encode(),
        {"content-type": "application/json", **headers},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_the_addresses_take_what_they_know_from_their_own_page(address):
    choices = json.load(urllib.request.urlopen(address + "/choices", timeout=20))
    assert choices["writes"]
    assert choices["beside"] == "shoot-culled"
    assert sent(address, "PUT", "/choices/0", {"stars": 3})[0] == 404
    assert sent(address, "PUT", "/choices/0", {"stars": 9})[0] == 400
    assert sent(address, "POST", "/plan", {"what": "delete"})[0] == 400
    assert sent(address, "POST", "/undo", {"log": "../x"})[0] == 404
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert sent(address, "POST", "/write", {"what": "sidecars"}, **foreign)[0] == 403
