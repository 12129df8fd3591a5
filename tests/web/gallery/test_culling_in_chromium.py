"""Culling by keyboard alone: stacks, side by side, writing, and going back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from PIL import Image

from browser_pages import wait_until
from served_gallery import ServedGallery
from siamese_nima.curation.bursts import Burst


@pytest.fixture(scope="module")
def shoot(tmp_path_factory) -> Path:
    """Five greys, brighter with the number; photos 1 to 3 are made a burst."""
    folder = tmp_path_factory.mktemp("culling") / "shoot"
    folder.mkdir()
    for number in range(1, 6):
        picture = Image.effect_noise((900, 600), 12 * number).point(
            lambda v, n=number: 30 * n + v // 8
        )
        picture.convert("RGB").save(folder / f"photo{number}.jpg", quality=90)
    return folder


@pytest.fixture
def served(shoot, tiny_model, tmp_path):
    folder = tmp_path / "shoot"
    shutil.copytree(shoot, folder)

    def bursts(results):
        first = sorted(
            (r for r in results if Path(r.path).stem[-1] in "123"), key=lambda r: -r.mean
        )
        reasons = ("", "softer: 2.4 px of blur against 0.9", "noisier: grain of 6.0 grey levels")
        return [Burst(tuple(first), too_close=False, reasons=reasons, close=(False,) * 3)]

    served = ServedGallery(folder, tiny_model, bursts=bursts)
    yield served
    served.close()


@pytest.fixture
def page(chromium, served):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.goto(served.address)
    wait_until(page, "!document.getElementById('kept').innerText && server.writes")
    yield page
    context.close()
    assert problems == []


def names(page) -> list[str]:
    return page.locator("#photos > li:visible .name").all_text_contents()


FOCUSED = "document.activeElement.closest('li')?.querySelector('.name')?.textContent"


def test_a_stack_is_laid_open_in_a_row_of_its_own(page):
    assert names(page) == ["photo5.jpg", "photo4.jpg", "photo3.jpg"]
    page.keyboard.press("End")
    assert page.inner_text("#photos > li.stacked .stack") == "3 photos"
    page.keyboard.press("s")
    assert names(page) == ["photo5.jpg", "photo4.jpg", "photo3.jpg", "photo2.jpg", "photo1.jpg"]
    heading = page.inner_text("#photos > li.heading")
    assert heading.startswith("Burst 1: 3 photos; photo3.jpg is the best")
    tops = page.locator("#photos > li:visible").evaluate_all("rows => rows.map(r => r.offsetTop)")
    assert tops[0] == tops[1] < tops[2] < tops[3] == tops[4] == tops[5]
    page.keyboard.press("ArrowUp")
    assert page.evaluate(FOCUSED) in ("photo5.jpg", "photo4.jpg")
    page.keyboard.press("End")
    page.keyboard.press("s")
    assert names(page) == ["photo5.jpg", "photo4.jpg", "photo3.jpg"]


def test_photos_of_a_burst_stand_side_by_side_with_reasons_and_are_decided_about(page):
    page.keyboard.press("End")
    page.keyboard.press("c")
    left, right = page.locator("#compare figure").all()
    assert left.inner_text().startswith("Best so far: photo3.jpg")
    assert "photo2.jpg" in right.inner_text()
    assert "softer: 2.4 px of blur against 0.9" in right.inner_text()
    page.keyboard.press("x")  # the challenger; the next one follows
    assert "photo1.jpg" in right.inner_text()
    assert "noisier" in right.inner_text()
    page.keyboard.press("z")
    wait_until(page, "document.querySelectorAll('#compare img.full').length === 2")
    where = "[...document.querySelectorAll('#compare img.full')].map(i => i.style.transform)"
    before = page.evaluate(where)
    assert before[0] == before[1]
    page.keyboard.press("ArrowRight")
    after = page.evaluate(where)
    assert after[0] == after[1] != before[0]
    page.keyboard.press("z")
    page.keyboard.press("Enter")  # the challenger is the better one
    assert left.inner_text().startswith("Best so far: photo1.jpg")
    left.focus()
    page.keyboard.press("5")
    assert left.locator(".decided .stars").get_attribute("aria-label") == "5 stars"
    page.keyboard.press("Escape")
    assert page.inner_text("[data-kind=rejected]") == "1 rejected"
    assert page.evaluate(
        "Object.fromEntries([...chosen.values()].map(c => [c.stars ?? c.flag, 1]))"
    ) == {
        "5": 1,
        "reject": 1,
    }


def test_sidecars_are_written_and_undone_by_keyboard_alone(page, served):
    page.keyboard.press("4")
    page.keyboard.press("x")
    wait_until(page, "Object.keys(local).length === 0")
    page.locator("#show-chosen").focus()
    page.keyboard.press("Enter")
    page.locator("[data-plan=sidecars]").focus()
    page.keyboard.press("Enter")
    wait_until(page, "!document.getElementById('do-write').hidden")
    assert "2 new sidecars" in page.inner_text("#plan-words")
    assert not list(served.folder.glob("*.xmp"))
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelectorAll('#undo-logs button').length === 1")
    assert {path.name for path in served.folder.glob("*.xmp")} == {
        "photo5.jpg.xmp",
        "photo4.jpg.xmp",
    }
    page.locator("#undo-logs button").focus()
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelectorAll('#undo-logs button').length === 0")
    assert not list(served.folder.glob("*.xmp"))


def test_rejected_photos_are_moved_away_and_back(page, served):
    page.keyboard.press("x")
    wait_until(page, "Object.keys(local).length === 0")
    page.click("#show-chosen")
    page.select_option("#which", "rejected")
    assert page.input_value("#list-text") == "photo5.jpg"
    page.click("[data-plan=move]")
    wait_until(page, "!document.getElementById('do-write').hidden")
    page.click("#do-write")
    wait_until(page, "document.querySelectorAll('#undo-logs button').length === 1")
    assert (served.folder.parent / "shoot-culled/rejected/photo5.jpg").exists()
    assert "photo5.jpg" not in page.locator("#photos > li:visible .name").all_text_contents()
    page.click("#undo-logs button")
    wait_until(page, "document.querySelectorAll('#undo-logs button').length === 0")
    assert (served.folder / "photo5.jpg").exists()
    page.keyboard.press("Escape")
    assert "photo5.jpg" in names(page)


def test_filters_by_decision_reason_and_stars(page):
    page.keyboard.press("3")
    page.keyboard.press("p")
    page.click("[data-kind=picked]")
    assert names(page) == ["photo4.jpg"]
    page.click("[data-kind=picked]")
    page.click("summary")
    page.select_option("#stars-from", "2")
    assert names(page) == ["photo5.jpg"]
    page.select_option("#stars-from", "")
    page.select_option("#reason", "softer")
    assert names(page) == ["photo2.jpg"]
    page.click("#reset")
    page.select_option("#kind", "best")
    assert names(page) == ["photo5.jpg", "photo4.jpg", "photo3.jpg"]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_dialogs_fit(chromium, served, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(served.address)
    top = page.evaluate("document.getElementById('photos').getBoundingClientRect().top")
    assert width > 390 or top < 844 / 5
    for keys in (("Enter",), ("c",)):
        for key in keys:
            page.keyboard.press(key)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.locator("dialog[open] .close:visible")
        assert all(box.bounding_box()["y"] < 844 for box in boxes.all())
    context.close()


KEYS_OF_THE_HELP = [
    *("1", "5", "0", "x", "p", "6", "7", "8", "9", "u", "←", "↑", "→", "↓", "Home", "End"),
    *("Enter", "←", "→", "Space", "z", "Page up", "Page down", "c", "Enter", "Tab", "s", "/"),
    *("Esc", "?"),
]


def test_every_key_of_the_help_does_what_the_help_says(page):
    """In the order of the help; a key that is added there fails here until it is tried too."""
    press = page.keyboard.press
    first, second, burst = "photo5.jpg", "photo4.jpg", "photo3.jpg"

    def at(name: str) -> None:
        wait_until(page, f"{FOCUSED} === {name!r}")

    page.locator("#advance").uncheck()
    page.locator(".open").first.focus()
    for key in "123450":
        press(key)
        assert page.evaluate("choiceOf(current).stars ?? 0") == int(key)
    for key, flag in (("x", "reject"), ("x", None), ("p", "pick"), ("p", None)):
        press(key)
        assert page.evaluate("choiceOf(current).flag ?? null") == flag
    for key, name in zip("6789", ("red", "yellow", "green", "blue"), strict=True):
        press(key)
        assert page.locator(f"#photos > li .dot.{name}").count() == 1
    for name in ("green", "yellow"):
        press("u")
        assert page.locator(f"#photos > li .dot.{name}").count() == 1
    for key, name in (
        ("ArrowRight", second),
        ("ArrowLeft", first),
        ("End", burst),
        ("Home", first),
    ):
        press(key)
        at(name)
    page.set_viewport_size({"width": 390, "height": 800})  # two columns
    for key, name in (("ArrowDown", burst), ("ArrowUp", first)):
        press(key)
        at(name)
    page.set_viewport_size({"width": 800, "height": 500})  # smaller than the photos
    press("Enter")
    viewed = "document.getElementById('view-name').innerText"
    for key, name in (("ArrowRight", second), ("ArrowLeft", first), ("Space", second)):
        press(key)
        wait_until(page, f"{viewed} === {name!r}")
    press("z")
    at_pixel = "document.querySelector('#view img.full')?.style.transform"
    wait_until(page, f"!!{at_pixel}")
    before = page.evaluate(at_pixel)
    press("ArrowDown")
    assert page.evaluate(at_pixel) != before
    for key, name in (("PageDown", burst), ("PageUp", second)):
        press(key)
        wait_until(page, f"{viewed} === {name!r}")
    press("Escape")
    at(second)
    page.set_viewport_size({"width": 1280, "height": 900})
    press("End")
    press("c")
    left, right = page.locator("#compare figure").all()
    assert "photo2.jpg" in right.inner_text()
    sides = "[...document.querySelectorAll('#compare figure')].indexOf(document.activeElement)"
    assert page.evaluate(sides) == 1
    press("Shift+Tab")
    assert page.evaluate(sides) == 0
    press("4")
    assert left.locator(".decided .stars").get_attribute("aria-label") == "4 stars"
    press("Tab")
    assert page.evaluate(sides) == 1
    press("Enter")
    assert left.inner_text().startswith("Best so far: photo2.jpg")
    press("Escape")
    wait_until(page, "document.querySelector('dialog[open]') === null")
    for count in (5, 3):
        press("End")
        press("s")
        assert len(names(page)) == count
    press("/")
    page.keyboard.type("photo4")
    assert names(page) == [second]
    press("Escape")
    assert len(names(page)) == 3
    press("Escape")
    wait_until(page, "document.activeElement.closest('#photos') !== null")
    press("?")
    assert page.locator("#keys kbd").all_inner_texts() == KEYS_OF_THE_HELP
    press("Escape")
    assert not page.is_visible("#keys")
