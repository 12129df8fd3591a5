"""No choice is lost: random clicks, keys, reloads and ways back, in a real browser."""

from __future__ import annotations

import random
import socket
import threading
import time

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

import uvicorn

from browser_pages import wait_until
from siamese_nima.curation.choices import ChoiceStore
from siamese_nima.curation.report import write_report
from siamese_nima.photos.find import find_photos
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.gallery import Gallery, ServedFolder
from siamese_nima.web.http import open_port
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service

NAMES = [f"photo{number}.png" for number in range(6)]
STEPS = 60


@pytest.fixture
def shoot(tmp_path):
    folder = tmp_path / "shoot"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (60, 40), (30 * number,) * 3).save(folder / name)
    return folder


@pytest.fixture
def report(shoot, tiny_model):
    scorer = Scorer(tiny_model)
    return write_report(shoot / "report.html", list(scorer.score(str(shoot))), scorer.card).as_uri()


class Served:
    """`nima serve --folder`, in a thread."""

    def __init__(self, shoot, model) -> None:
        scorer = Scorer(model, workers=1)
        folder = ServedFolder(shoot, find_photos([shoot]).paths)
        results = list(scorer.score([str(path) for path in folder.photos.values()]))
        gallery = Gallery(folder, results, scorer.card, title="shoot")
        self.listener: socket.socket = open_port("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        app = guarded(api(Service(scorer), gallery=gallery), HostRules())
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )
        self.thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.listener.close()


@pytest.fixture
def gallery(shoot, tiny_model):
    served = Served(shoot, tiny_model)
    yield served.address
    served.close()


def shown_as_chosen(page) -> set[str]:
    chosen = "cards => cards.filter(c => c.querySelector('input').checked).map(c => c.dataset.path)"
    found = page.locator("#photos > li").evaluate_all(chosen)
    return {path.rpartition("/")[2] for path in found}


def settled(page, expected: set[str]) -> set[str]:
    """What the page shows once it has asked; it may take a moment after a reload."""
    deadline = time.monotonic() + 10
    while shown_as_chosen(page) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    return shown_as_chosen(page)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["report", "gallery"])
def test_no_choice_is_lost(chromium, request, kind, seed, shoot):
    address = request.getfixturevalue(kind)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address)
    draw, expected = random.Random(seed), set()
    settled(page, expected)

    def card(name):
        return page.locator(f"#photos > li:has-text('{name}')")

    for _ in range(STEPS):
        name, step = draw.choice(NAMES), draw.random()
        if step < 0.35:
            card(name).locator("input").click()
            expected ^= {name}
        elif step < 0.55:
            card(name).locator(".open").focus()
            page.keyboard.press("x")
            expected ^= {name}
        elif step < 0.7:
            card(name).locator(".open").click()
            page.keyboard.press("x")
            page.keyboard.press("Escape")
            expected ^= {name}
        elif step < 0.75:
            page.click("#clear-chosen") if expected else None
            expected = set()
        elif step < 0.9:
            page.reload()
        else:
            page.goto("about:blank")
            page.go_back()
        assert settled(page, expected) == expected
    if kind == "gallery":
        wait_until(page, "Object.keys(localStorage).every(key => localStorage[key] === '{}')")
        with ChoiceStore(shoot) as kept:
            assert kept.chosen() == expected
    context.close()


def test_keys_work_at_once_and_the_name_opens_the_photo(chromium, gallery):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(gallery)
    first = page.locator("#photos > li").first.locator(".name").inner_text()
    page.keyboard.press("x")
    assert settled(page, {first}) == {first}
    page.click("#photos > li:has-text('photo3.png') a.name")
    wait_until(page, "document.getElementById('view').open")
    assert page.inner_text("#view-name") == "photo3.png"
    assert page.url == gallery
    context.close()


def test_a_choice_waits_for_a_server_that_is_gone_for_a_moment(chromium, gallery, shoot):
    context = chromium.new_context()
    page = context.new_page()
    page.goto(gallery)
    settled(page, set())
    context.set_offline(True)
    page.locator("#photos > li:has-text('photo2.png') input").click()
    wait_until(page, "document.getElementById('kept').innerText.includes('does not answer')")
    context.set_offline(False)
    wait_until(page, "document.getElementById('kept').innerText === ''")
    with ChoiceStore(shoot) as kept:
        assert kept.chosen() == {"photo2.png"}
    context.close()
