"""The gallery in a real browser, by mouse and by keyboard only."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from urllib.parse import urlsplit

from browser_pages import wait_until


@pytest.fixture
def page(chromium, address):
    """The gallery, open; the test fails if it complains or asks for anything from elsewhere."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (problems.append("dialog"), dialog.dismiss()))

    def inside(request) -> None:
        if not request.url.startswith((address + "/", "data:")):
            problems.append(f"request: {request.url}")

    page.on("request", inside)
    page.goto(address)
    yield page
    context.close()
    assert problems == []


LOADED = "[...document.querySelectorAll('#photos li:not([hidden]) img')].every(i => i.naturalWidth)"


def names(page) -> list[str]:
    return page.locator("#photos > li:visible .name").all_text_contents()


def test_thumbnails_come_and_photos_are_sorted_and_filtered(page):
    wait_until(page, LOADED)
    assert page.locator("#photos img").count() == 10
    assert names(page)[-1] == "broken.jpg"
    assert "10 photos scored by tiny, 1 could not be read" in page.inner_text("header")
    page.select_option("#sort", "name")
    shown = [name for name in names(page) if name.startswith("photo")]
    assert shown == ["photo1.png", "photo2.png", "photo10.png"]
    page.fill("#find", "photo1")
    assert names(page) == ["photo1.png", "photo10.png"]


def test_a_click_shows_the_whole_photo(page):
    page.click("#photos > li:has-text('photo10.png') .open")
    wait_until(page, "document.getElementById('view-picture').naturalWidth === 600")
    picture = page.get_attribute("#view-picture", "src")
    assert "/screens/" in picture
    assert "/photos/" in page.get_attribute("#view-link", "href")


def test_a_format_that_browsers_cannot_show_is_shown_all_the_same(page):
    page.click("#photos > li:has-text('old.tif') .open")
    wait_until(page, "document.getElementById('view-picture').naturalWidth === 640")
    assert "/screens/" in page.get_attribute("#view-picture", "src")
    assert "/photos/" in page.get_attribute("#view-link", "href")
    assert page.inner_text("#view-note") == ""


def test_an_original_opens_alone(page, address):
    path = page.get_attribute("#photos > li:has-text('photo1.png') a.name", "href")
    page.goto(address + path.removeprefix("."))
    assert page.evaluate("document.images[0].naturalWidth") == 600


def test_everything_is_done_with_the_keyboard(page):
    page.keyboard.press("/")
    page.keyboard.type("photo")
    page.keyboard.press("Enter")
    first = "document.activeElement.closest('li')?.querySelector('.name').textContent"
    assert page.evaluate(first) == names(page)[0]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(first) == names(page)[1]
    page.keyboard.press("x")
    # A decided photo gives the next one the turn.
    wait_until(page, f"{first} === {names(page)[2]!r}")
    page.keyboard.press("Enter")
    wait_until(page, "document.getElementById('view').open")
    wait_until(page, "document.getElementById('view-picture').naturalWidth === 600")
    page.keyboard.press("ArrowLeft")
    wait_until(page, f"document.getElementById('view-name').innerText === {names(page)[1]!r}")
    page.keyboard.press("Escape")
    wait_until(page, "!document.getElementById('view').open")
    assert page.inner_text("[data-kind=rejected]") == "1 rejected"


def test_hostile_names_are_text(page):
    shown = names(page)
    for name in ("<img src=x onerror=alert(1)>.png", "javascript:alert(3).png", "100%25 #1?.png"):
        assert name in shown
    for href in page.locator("#photos a.name").evaluate_all("links => links.map(a => a.href)"):
        assert urlsplit(href).path.startswith("/photos/")
