"""The page in a real browser: what a person with a mouse, a keyboard or a phone can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser_pages import problems_of, wait_until


@pytest.fixture
def page(chromium, report):
    """The report, open; the test fails if it complains or asks for anything from outside."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    problems = problems_of(page, report.parent)
    page.goto(report.as_uri())
    yield page
    context.close()
    assert problems == []


def names(page) -> list[str]:
    return page.locator("#photos > li:visible .name").all_text_contents()


def scores(page) -> list[float]:
    return [float(text) for text in page.locator("#photos > li:visible b").all_text_contents()]


FOCUSED = "document.activeElement.closest('li')?.querySelector('.name').textContent"


def focused(page) -> str:
    return page.evaluate(FOCUSED)


def test_photos_are_shown_best_first_and_errors_last(page):
    assert len(names(page)) == 13
    assert scores(page) == sorted(scores(page), reverse=True)
    assert names(page)[-1] == "broken.jpg"
    assert page.inner_text("#count") == "13 of 13 photos shown"


def test_the_order_can_be_turned_round_and_errors_stay_last(page):
    page.click("#direction")
    assert scores(page) == sorted(scores(page))
    assert names(page)[-1] == "broken.jpg"


def test_sorting_by_name_reads_numbers(page):
    page.select_option("#sort", "name")
    shown = [name for name in names(page) if name.startswith("photo")]
    assert shown == ["photo1.png", "photo2.png", "photo10.png", "photo11.png"]


def test_sorting_by_error_and_burst(page):
    page.select_option("#sort", "error")
    assert names(page)[0] == "broken.jpg"
    page.select_option("#sort", "burst")
    assert names(page)[:3] == ["photo10.png", "photo2.png", "photo1.png"]


def test_filters_leave_what_passes_all_of_them(page):
    page.click("summary")
    page.select_option("#kind", "failed")
    assert names(page) == ["broken.jpg"]
    assert "not a photo <b>at all</b>" in page.text_content("#photos > li:visible .error")
    page.select_option("#kind", "all")
    page.fill("#score-from", "5")
    assert scores(page)
    assert min(scores(page)) >= 5
    page.fill("#percentile-to", "80")
    assert max(scores(page)) < 6
    assert "(2 in use)" in page.inner_text("summary")
    page.click("#reset")
    assert len(names(page)) == 13


def test_only_the_best_of_each_burst_and_a_burst_alone(page):
    page.click("summary")
    page.select_option("#kind", "best")
    shown = names(page)
    assert "photo10.png" in shown
    assert "photo1.png" not in shown
    assert "photo2.png" not in shown
    page.select_option("#kind", "all")
    page.click("#photos > li:has-text('photo10.png') button.burst")
    assert names(page) == ["photo10.png", "photo2.png", "photo1.png"]


def test_search_finds_parts_of_names(page):
    page.fill("#find", "PHOTO1 png")
    assert names(page) == ["photo11.png", "photo10.png", "photo1.png"]
    page.fill("#find", "nothing has this name")
    assert page.is_visible("#nothing")


def test_everything_works_without_a_mouse(page):
    page.keyboard.press("/")
    page.keyboard.type("photo")
    page.keyboard.press("Enter")
    assert focused(page) == "photo11.png"
    page.keyboard.press("ArrowRight")
    assert focused(page) == "photo10.png"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("p")
    assert focused(page) == "photo2.png"  # it goes on by itself
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert page.inner_text("#view-name") == "photo10.png"
    assert "picked" in page.inner_text("#view-decided")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#view-name") == "photo2.png"
    page.keyboard.press("Escape")
    # The focus goes back when the browser says that the view is closed, a moment later.
    wait_until(page, f"{FOCUSED} === 'photo2.png'")
    page.keyboard.press("End")
    assert focused(page) == "photo1.png"
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    assert page.inner_text("[data-kind=picked]") == "1 picked"


def test_arrows_go_up_and_down_the_columns(page):
    columns = page.evaluate("columns()")
    assert columns > 3
    page.keyboard.press("Tab")
    page.locator(".open").first.focus()
    page.keyboard.press("ArrowDown")
    assert focused(page) == names(page)[columns]
    page.keyboard.press("ArrowUp")
    assert focused(page) == names(page)[0]


def test_the_tab_key_stops_at_one_photo_only(page):
    stops = page.evaluate(
        "new Set([...document.querySelectorAll('#photos [tabindex=\"0\"]')].map("
        "e => e.closest('li'))).size"
    )
    assert stops == 1


def test_a_closer_look_shows_the_original_and_what_is_known(page):
    page.click("#photos > li:has-text('photo10.png') .open")
    wait_until(page, "document.getElementById('view-picture').src.startsWith('file:')")
    assert page.evaluate("document.getElementById('view-picture').naturalWidth") == 60
    facts = page.inner_text("#view-facts")
    assert "on a scale of 1..10" in facts
    assert "1: best of 3" in facts
    shares = page.get_attribute("#view-chart svg", "aria-label")
    assert shares.count("%") == 10
    assert page.get_attribute("#view-link", "href").endswith("/photo10.png")


def test_a_moved_original_leaves_its_preview(chromium, report, tmp_path):
    moved = tmp_path / "moved.html"
    moved.write_text(report.read_text())
    page = chromium.new_page()
    page.goto(moved.as_uri())
    page.locator(".open").first.click()
    wait_until(page, "document.getElementById('view-note').innerText")
    assert "This is the preview" in page.inner_text("#view-note")
    assert page.get_attribute("#view-picture", "src").startswith("data:image/webp")
    page.close()


def test_the_list_of_the_chosen_can_be_copied(page, shoot):
    for name in ("photo2.png", "photo11.png", "two\\nlines.png"):
        page.get_by_role("checkbox", name=f"Choose {name}").check()
    page.click("#show-chosen")
    listed = page.input_value("#list-text").split("\n")
    assert [Path(path).name for path in listed] == ["photo11.png", "photo2.png"]
    assert set(listed) <= {result.path for result in shoot}
    assert "1 left out" in page.inner_text("#list-note")
    page.keyboard.press("Escape")
    page.click("#clear-chosen")
    assert page.inner_text("[data-kind=picked]") == "0 picked"


def test_hostile_names_are_text_and_nothing_else(page):
    shown = names(page)
    for name in (
        "<img src=x onerror=alert(1)>.png",
        "\"quoted\" 'twice' & more.png",
        "two\\nlines.png",
        "100%25 #1?.png",
        "日本 👍 é.png",
        "\\u202egnp.exe.png",
        "javascript:alert(3)",
    ):
        assert name in shown
    assert page.locator("#photos img").count() == 12
    assert page.locator("script").count() == 1


@pytest.mark.parametrize(
    ("scheme", "colour"), [("light", "rgb(246, 246, 244)"), ("dark", "rgb(20, 22, 24)")]
)
def test_it_is_dark_where_the_system_is(page, scheme, colour):
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour
