"""No choice is lost: random clicks, keys, reloads and ways back, in a real browser."""

from __future__ import annotations

import random
import time
from dataclasses import asdict

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from browser_pages import wait_until
from served_gallery import ServedGallery
from siamese_nima.curation.choices import Choice, ChoiceStore
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.report import write_report

NAMES = [f"photo{number}.png" for number in range(6)]
STEPS = 10


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


@pytest.fixture
def gallery(shoot, tiny_model):
    served = ServedGallery(shoot, tiny_model)
    yield served.address
    served.close()


SHOWN = """() => Object.fromEntries([...document.querySelectorAll('#photos > li:not(.heading)')]
  .map((card) => [card.querySelector('.name').textContent, choiceOf(card)])
  .filter(([, choice]) => choice.stars || choice.flag || choice.colour))"""
NOTHING = {"stars": None, "flag": None, "colour": None}
KEYS = {
    **{str(stars): ("stars", stars) for stars in range(1, 6)},
    "x": ("flag", "reject"),
    "p": ("flag", "pick"),
    "6": ("colour", "red"),
    "9": ("colour", "blue"),
}


def settled(page, expected: dict[str, dict]) -> dict[str, dict]:
    """What the page shows once it has asked; it may take a moment after a reload."""
    deadline = time.monotonic() + 10
    while (shown := page.evaluate(SHOWN)) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    return shown


class Model:
    """What a person has decided, and in which order."""

    def __init__(self) -> None:
        self.choices: dict[str, dict] = {}
        self.before: list[dict[str, dict]] = []

    def press(self, name: str, key: str) -> None:
        field, value = KEYS[key]
        choice = self.choices.get(name, NOTHING)
        self._decide({name: {**choice, field: None if choice[field] == value else value}})

    def clear(self) -> None:
        if self.choices:
            self._decide(dict.fromkeys(self.choices, NOTHING))

    def undo(self) -> None:
        if self.before:
            self.choices = self.before.pop()

    def _decide(self, changes: dict[str, dict]) -> None:
        self.before.append(self.choices)
        after = {**self.choices, **changes}
        self.choices = {name: choice for name, choice in after.items() if choice != NOTHING}


def one_step(page, draw: random.Random, model: Model) -> str:
    """Do something that a person might, on the page and in the model of it."""
    name, key, step = draw.choice(NAMES), draw.choice(list(KEYS)), draw.random()
    card = page.locator(f"#photos > li:has-text('{name}')")
    if step < 0.15:
        card.locator("input").click()
        model.press(name, "p")
        return f"click on the box of {name}"
    if step < 0.4:
        card.locator(".open").focus()
        page.keyboard.press(key)
        model.press(name, key)
        return f"{key} on {name}"
    if step < 0.55:
        card.locator("a.name" if draw.random() < 0.5 else ".open").click()
        page.keyboard.press(key)
        page.keyboard.press("Escape")
        model.press(name, key)
        return f"{key} in the view of {name}"
    if step < 0.62:
        card.locator(".open").focus()
        page.click("#decide [data-decide=stars-4]")
        model.press(name, "4")
        return f"4 stars by mouse for {name}"
    if step < 0.72:
        page.keyboard.press("u")
        model.undo()
        return "undo"
    if step < 0.75:
        if model.choices:
            page.click("#clear-chosen")
        model.clear()
        return "decide nothing"
    if step < 0.9:
        page.reload()
        return "reload"
    page.goto("about:blank")
    page.go_back()
    return "away and back"


def check_sequences(chromium, address: str, shoot, sequences: range) -> None:
    """Random sequences, each in a browser of its own; what went before is at the server."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address)
    model = Model()
    for seed in sequences:
        draw, steps = random.Random(seed), []
        for _ in range(STEPS):
            steps.append(one_step(page, draw, model))
            assert settled(page, model.choices) == model.choices, (seed, steps)
    if address.startswith("http"):
        kept = "Object.keys(localStorage).filter(key => key.startsWith('nima-choices'))"
        wait_until(page, f"{kept}.every(key => localStorage[key] === '{{}}')")
        with ChoiceStore(shoot) as store:
            found = {name: asdict(choice) for name, choice in store.choices().items()}
        assert {n: c for n, c in found.items() if c != NOTHING} == model.choices
    context.close()


@pytest.mark.parametrize("kind", ["report", "gallery"])
def test_no_choice_is_lost(chromium, request, kind, shoot):
    check_sequences(chromium, request.getfixturevalue(kind), shoot, range(2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["report", "gallery"])
def test_no_choice_is_lost_in_a_hundred_sequences(chromium, request, kind, shoot):
    check_sequences(chromium, request.getfixturevalue(kind), shoot, range(2, 102))


def test_keys_work_at_once_and_the_name_opens_the_photo(chromium, gallery):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(gallery)
    first = page.locator("#photos > li").first.locator(".name").text_content()
    page.keyboard.press("x")
    rejected = {first: {**NOTHING, "flag": "reject"}}
    assert settled(page, rejected) == rejected
    page.click("#photos > li:has-text('photo3.png') a.name")
    wait_until(page, "document.getElementById('view').open")
    assert page.inner_text("#view-name") == "photo3.png"
    assert page.url == gallery
    context.close()


def test_a_choice_waits_for_a_server_that_is_gone_for_a_moment(chromium, gallery, shoot):
    context = chromium.new_context()
    page = context.new_page()
    page.goto(gallery)
    settled(page, {})
    context.set_offline(True)
    page.locator("#photos > li:has-text('photo2.png') input").click()
    wait_until(page, "document.getElementById('kept').innerText.includes('does not answer')")
    context.set_offline(False)
    wait_until(page, "document.getElementById('kept').innerText === ''")
    with ChoiceStore(shoot) as kept:
        assert kept.choices() == {"photo2.png": Choice(flag="pick")}
    context.close()
