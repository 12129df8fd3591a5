import io
import re

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra serve")
from fastapi.testclient import TestClient

from siamese_nima.web.pick import pick_app
from siamese_nima.web.safety import HostRules


@pytest.fixture
def client(shoot):
    app = pick_app(shoot.session, shoot.folder, unreadable={"b\n.jpg": "b\n.jpg: empty"})
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def first(client):
    return client.get("/state").json()["queue"][0]


def say(client, choice, **more):
    body = {"number": first(client)["number"], "choice": choice} | more
    return client.post("/answers", json=body)


def test_the_page_and_its_parts_are_served_and_nothing_runs_inside_it(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"<script(?! src=)|<style|\son\w+=|style=", page.text)
    assert "https://" not in page.text
    for script in ("pick.js", "zoom.js"):
        found = client.get(f"/{script}").headers["content-type"]
        assert found == "text/javascript; charset=utf-8"
    assert client.get("/pick.css").headers["content-type"] == "text/css; charset=utf-8"


def test_the_state_names_the_next_pairs_and_what_cannot_be_read(client, shoot):
    state = client.get("/state").json()
    assert [pair["number"] for pair in state["queue"]] == [1, 2, 3]
    assert state["queue"][0]["left"]["name"] == shoot.session.queue[0].left
    assert state["progress"] == "0 of 6 answers"
    assert state["foreseen"] == ""  # too few to say
    assert not state["can_undo"]
    assert state["unreadable"] == [{"name": r"b\n.jpg", "reason": r"b\n.jpg: empty"}]


def test_of_thousands_of_unreadable_photos_some_are_named_and_all_are_counted(shoot):
    many = {f"{number}.jpg": "empty" for number in range(3000)}
    app = pick_app(shoot.session, shoot.folder, unreadable=many)
    with TestClient(app, base_url="http://localhost") as client:
        state = client.get("/state").json()
    assert (len(state["unreadable"]), state["unreadable_count"]) == (100, 3000)


def test_an_answer_is_kept_before_it_is_confirmed(client, shoot):
    pair = first(client)
    state = say(client, "right", seconds=2.25).json()
    (kept,) = shoot.store.records()
    assert (kept.left, kept.right) == (pair["left"]["name"], pair["right"]["name"])
    assert (kept.choice, kept.seconds) == ("right", 2.25)
    assert state["queue"][0]["number"] == 2
    assert state["progress"] == "1 of 6 answers"
    assert state["can_undo"]


def test_flags_are_no_answers_and_undo_takes_the_last_back(client, shoot):
    say(client, "tie")
    assert say(client, "flag").json()["progress"] == "1 of 6 answers, 1 pair set aside"
    state = client.post("/undo", json={}).json()
    assert state["queue"][0]["number"] == 2
    assert [kept.choice for kept in shoot.store.records()] == ["tie"]
    assert client.post("/undo", json={}).json()["can_undo"] is False
    assert client.post("/undo", json={}).status_code == 200
    assert shoot.store.records() == []


def test_the_same_answer_sent_twice_counts_once(client, shoot):
    body = {"number": 1, "choice": "left"}
    assert client.post("/answers", json=body).status_code == 200
    again = client.post("/answers", json=body)
    assert again.status_code == 409
    assert again.json()["detail"] == "pair 1 was answered already; another one is next"
    assert len(shoot.store.records()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"number": 1},
        {"number": 1, "choice": "maybe"},
        {"number": "1", "choice": "left"},
        {"number": 1, "choice": "left", "seconds": -1},
        {"number": 1, "choice": "left", "person": "Ana"},
        [],
    ],
)
def test_what_is_no_answer_is_refused(client, shoot, body):
    answer = client.post("/answers", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert shoot.store.records() == []


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_seconds_that_are_no_number_are_refused(client, shoot, seconds):
    body = f'{{"number": 1, "choice": "left", "seconds": {seconds}}}'
    answer = client.post("/answers", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "seconds" in answer.json()["detail"]
    assert shoot.store.records() == []


def test_photos_are_upright_whole_and_no_larger_than_asked(client, shoot):
    state = client.get("/state").json()
    photos = {p[side]["name"]: p[side]["id"] for p in state["queue"] for side in ("left", "right")}
    while "turned.jpg" not in photos:
        state = say(client, "tie").json()
        photos |= {
            p[side]["name"]: p[side]["id"] for p in state["queue"] for side in ("left", "right")
        }
    answer = client.get(f"/photos/{photos['turned.jpg']}/640")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, max-age=86400, immutable"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (427, 640)
    assert "exif" not in picture.info
    assert picture.getpixel((200, 20))[0] > 250
    assert picture.getpixel((200, 620))[0] < 5
    large = client.get(f"/photos/{photos['turned.jpg']}/2560")
    assert Image.open(io.BytesIO(large.content)).size == (600, 900)


@pytest.mark.parametrize(
    "path",
    [
        "photos/photo1.jpg/640",
        "photos/..%2fphoto1.jpg/640",
        "photos/%2fetc%2fpasswd/640",
        "photos/000000000000000000/640",
        "photo1.jpg",
        "nima-answers.sqlite",
        "page.html",
        "app.py",
        "openapi.json",
        "docs",
    ],
)
def test_nothing_else_is_served(client, path):
    assert client.get(f"/{path}").status_code == 404


def test_a_size_that_no_screen_asks_for_is_not_made(client):
    photo = first(client)["left"]["id"]
    assert client.get(f"/photos/{photo}/641").status_code == 404
    assert client.get(f"/photos/{photo}/big").status_code == 400


def test_a_photo_that_has_gone_bad_is_named_and_asked_about_no_more(client, shoot):
    lost = first(client)["left"]
    (shoot.folder / lost["name"]).write_bytes(b"no photo")
    answer = client.get(f"/photos/{lost['id']}/640")
    assert answer.status_code == 410
    assert lost["name"] in answer.json()["detail"]
    state = client.get("/state").json()
    assert lost["name"] in [photo["name"] for photo in state["unreadable"]]
    shown = [pair[side]["name"] for pair in state["queue"] for side in ("left", "right")]
    assert lost["name"] not in shown


def test_stand_ins_tell_nothing_and_change_with_every_start(shoot):
    def ids():
        with TestClient(pick_app(shoot.session, shoot.folder), base_url="http://localhost") as c:
            return first(c)["left"]["id"]

    one, other = ids(), ids()
    assert one != other
    assert re.fullmatch(r"[0-9a-f]{18}", one)


def test_pages_of_others_cannot_answer_or_look(client, shoot):
    body = {"number": 1, "choice": "left"}
    foreign = client.post("/answers", json=body, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403
    rebound = client.get("/state", headers={"host": "evil.example"})
    assert rebound.status_code == 421
    assert shoot.store.records() == []


def test_other_hosts_are_answered_where_that_is_wanted(shoot):
    rules = HostRules(hosts=("localhost",), any_address=True)
    app = pick_app(shoot.session, shoot.folder, rules=rules)
    with TestClient(app, base_url="http://192.0.2.7:8643") as client:
        assert client.get("/state").status_code == 200
