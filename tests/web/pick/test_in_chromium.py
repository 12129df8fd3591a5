"""The page of `nima pick` in a real browser: keyboard, mouse, phone, and what goes wrong."""

from __future__ import annotations

import time

import pytest

from browser_pages import problems_of, wait_until
from siamese_nima.errors import AnswerError

SHOWN = "document.getElementById('pair').ariaBusy === 'false'"
BOUNCE_MS = 160  # a key that comes sooner after a pair is shown is none of a judgement


@pytest.fixture
def problems():
    """What the page complains of; a test that provokes it empties the list."""
    return []


@pytest.fixture
def page(chromium, address, problems):
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    found = problems_of(page, address)
    page.goto(address)
    ready(page)
    yield page
    context.close()
    assert [problem for problem in found if problem not in problems] == []


def ready(page):
    wait_until(page, SHOWN)
    page.wait_for_timeout(BOUNCE_MS)


def press(page, key):
    page.evaluate("document.getElementById('status').textContent = ''")
    page.keyboard.press(key)
    wait_until(page, "document.getElementById('status').textContent !== ''")
    ready(page)


def names(page):
    return page.inner_text("#left-name"), page.inner_text("#right-name")


def choices(shoot):
    return [kept.choice for kept in shoot.store.records()]


def test_a_person_with_a_keyboard_alone_can_answer_flag_undo_and_finish(page, shoot):
    first = names(page)
    for key in ("ArrowLeft", "ArrowRight", " ", "x"):
        press(page, key)
    assert choices(shoot) == ["left", "right", "tie", "flag"]
    kept = shoot.store.records()[0]
    assert (kept.left, kept.right) == first
    assert 0.1 < kept.seconds < 30
    assert page.inner_text("#progress-words") == "3 of 6 answers, 1 pair set aside"
    assert page.inner_text("#status") == "Kept: set aside."
    press(page, "u")
    press(page, "u")
    assert choices(shoot) == ["left", "right"]
    assert page.inner_text("#status") == "Taken back."
    for key in ("ArrowUp", "ArrowDown", " "):
        press(page, key)
    page.keyboard.press("ArrowLeft")
    wait_until(page, "!document.getElementById('end').hidden")
    assert choices(shoot) == ["left", "right", "left", "right", "tie", "left"]
    assert page.inner_text("#end-title") == "That is all that was asked for"
    assert "6 answers on these photos." in page.inner_text("#summary")
    assert page.evaluate("document.activeElement.id") == "end"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    ready(page)
    press(page, "ArrowLeft")
    assert len(choices(shoot)) == 7
    assert page.inner_text("#progress-words") == "7 answers"


def test_the_end_can_be_undone(page, shoot):
    for _ in range(5):
        press(page, " ")
    last = names(page)
    page.keyboard.press("ArrowLeft")
    wait_until(page, "!document.getElementById('end').hidden")
    press(page, "u")
    assert names(page) == last
    assert page.is_visible("#pair")
    assert len(choices(shoot)) == 5


def test_tab_reaches_every_control_and_keys_work_on_buttons(page, shoot):
    stops = []
    page.focus("#pair")
    for _ in range(8):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert stops[:2] == ["left", "right"]
    assert "Too close to call" in stops[3]
    assert stops[5] == "flag"  # there is nothing to undo yet
    page.focus("#right")
    press(page, "Enter")
    page.focus("#left")
    press(page, " ")
    assert choices(shoot) == ["right", "left"]


def test_the_mouse_chooses_by_photo_or_button_and_space_is_a_tie_afterwards(page, shoot):
    page.click("#left")
    ready(page)
    page.click("[data-choice=right]")
    ready(page)
    page.click("[data-choice=tie]")
    ready(page)
    press(page, " ")
    page.click("#undo")
    wait_until(page, "document.getElementById('status').textContent === 'Taken back.'")
    assert choices(shoot) == ["left", "right", "tie"]


def test_a_key_held_down_or_pressed_twice_answers_once(page, shoot):
    page.evaluate(
        """for (const more of [{}, {}, { repeat: true }, {}]) {
          document.body.dispatchEvent(
            new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true, ...more }));
        }"""
    )
    ready(page)
    assert choices(shoot) == ["left"]


def test_a_key_that_comes_before_the_server_has_answered_is_taken_afterwards(
    page, shoot, monkeypatch
):
    real = shoot.store.add

    def slow(answer):
        time.sleep(0.5)
        real(answer)

    monkeypatch.setattr(shoot.store, "add", slow)
    for key in ("ArrowLeft", "ArrowRight", " "):
        page.keyboard.press(key)
        page.wait_for_timeout(BOUNCE_MS)
    wait_until(page, "document.getElementById('progress').value === 3")
    assert choices(shoot) == ["left", "right", "tie"]


def test_the_next_pair_is_decoded_before_it_is_needed(page):
    page.wait_for_timeout(500)
    waiting = page.evaluate(
        "[...document.querySelectorAll('.photo img:not(.shown)')]"
        ".map((i) => [i.complete, i.naturalWidth > 0])"
    )
    assert waiting == [[True, True]] * 4


def test_photos_are_whole_and_upright(page):
    for _ in range(4):
        inside = page.evaluate(
            """[...document.querySelectorAll('.photo img.shown')].map((image) => {
              const box = image.getBoundingClientRect();
              return [getComputedStyle(image).objectFit, box.bottom <= innerHeight,
                image.getAttribute('alt')];
            })"""
        )
        assert inside == [["contain", True, ""]] * 2
        press(page, " ")


ZOOMED = "!document.getElementById('zoom-keys').hidden"
WHOLE = "document.getElementById('zoom').ariaPressed === 'false'"


def zoomed_in(page):
    """Of both photos: their size in the window, their own size, and how far they are moved."""
    return page.evaluate(
        """[...document.querySelectorAll('.photo img.full')].map((photo) => {
          const box = photo.getBoundingClientRect();
          const stage = photo.parentElement.getBoundingClientRect();
          const pixels = [photo.naturalWidth, photo.naturalHeight];
          return {
            size: [box.width * devicePixelRatio, box.height * devicePixelRatio], pixels,
            at: [box.x - stage.x, box.y - stage.y],
            room: [stage.width - box.width, stage.height - box.height] };
        })"""
    )


def test_keys_zoom_to_single_pixels_and_move_both_photos_to_the_same_place(page, shoot):
    page.set_viewport_size({"width": 700, "height": 600})
    page.keyboard.press("z")
    wait_until(page, ZOOMED)
    photos = zoomed_in(page)
    assert [photo["size"] for photo in photos] == [photo["pixels"] for photo in photos]
    for photo in photos:
        assert sorted(photo["pixels"]) == [600, 900]
        assert photo["at"] == pytest.approx([room / 2 for room in photo["room"]], abs=1)
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    for before, photo in zip(photos, zoomed_in(page), strict=True):
        assert photo["at"][0] == pytest.approx(photo["room"][0], abs=0.51)
        assert before["at"][1] < photo["at"][1] <= 0
    page.keyboard.press("Escape")
    wait_until(page, WHOLE)
    assert zoomed_in(page) == []
    assert page.is_hidden("#zoom-keys")
    assert choices(shoot) == []
    press(page, "ArrowLeft")
    assert choices(shoot) == ["left"]


def test_an_answer_while_zoomed_in_counts_and_the_next_pair_is_whole(page, shoot):
    page.keyboard.press("z")
    wait_until(page, ZOOMED)
    press(page, " ")
    assert choices(shoot) == ["tie"]
    assert page.evaluate(WHOLE)
    assert zoomed_in(page) == []


def test_the_mouse_drags_both_photos_and_a_click_shows_them_whole_without_an_answer(page, shoot):
    page.set_viewport_size({"width": 700, "height": 600})
    page.click("#zoom")
    wait_until(page, ZOOMED)
    before = zoomed_in(page)
    page.mouse.move(200, 300)
    page.mouse.down()
    page.mouse.move(170, 280, steps=3)
    page.mouse.up()
    first, second = zoomed_in(page)
    moved = [now - then for now, then in zip(first["at"], before[0]["at"], strict=True)]
    assert moved == pytest.approx([-30, -20], abs=1.01)
    shares = [[a / r for a, r in zip(p["at"], p["room"], strict=True)] for p in (first, second)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)
    page.click("#right")
    wait_until(page, WHOLE)
    assert choices(shoot) == []
    page.click("#right")
    ready(page)
    assert choices(shoot) == ["right"]


def test_a_finger_drags_and_taps_on_a_phone_with_three_pixels_a_point(chromium, address, shoot):
    context = chromium.new_context(
        viewport={"width": 390, "height": 700}, device_scale_factor=3, has_touch=True
    )
    page = context.new_page()
    page.goto(address)
    ready(page)
    page.tap("#zoom")
    wait_until(page, ZOOMED)
    photos = zoomed_in(page)
    assert [photo["size"] for photo in photos] == [
        pytest.approx(photo["pixels"]) for photo in photos
    ]
    assert page.evaluate(_PAGE_SIZE) == [390, 700]
    page.tap("#left")
    wait_until(page, WHOLE)
    assert choices(shoot) == []
    context.close()


def test_photos_that_cannot_be_had_in_full_stay_whole(page, problems, shoot):
    page.route("**/8192", lambda route: route.abort())
    problems.append("console: Failed to load resource: net::ERR_FAILED")
    page.keyboard.press("z")
    wait_until(page, "!document.getElementById('zoom-failed').hidden")
    assert page.evaluate(WHOLE)
    assert zoomed_in(page) == []
    press(page, "ArrowLeft")
    assert choices(shoot) == ["left"]
    assert page.is_hidden("#zoom-failed")


def test_names_are_text_whatever_they_hold(page, shoot):
    seen = set(names(page))
    for _ in range(5):
        press(page, "x")
        seen |= set(names(page))
    assert any("onerror" in name for name in seen)
    assert page.locator("figcaption img").count() == 0


def test_what_could_not_be_read_is_named(page):
    assert page.inner_text("#unreadable summary") == "1 photo cannot be read"
    page.click("#unreadable summary")
    assert page.inner_text("#unreadable li") == "broken.jpg: empty"


def test_a_photo_that_goes_bad_is_passed_over_and_named(page, shoot, problems):
    page.wait_for_timeout(300)
    known = {name for pair in shoot.session.queue for name in (pair.left, pair.right)}
    for photo in set(shoot.session.photos) - known:
        (shoot.folder / photo).write_bytes(b"no photo")
        problems.append(
            "console: Failed to load resource: the server responded with a status of 410 (Gone)"
        )
    for _ in range(4):
        press(page, "x")
    assert "cannot be read" in page.inner_text("#unreadable summary")
    assert set(names(page)) <= known


def test_an_answer_that_cannot_be_kept_is_told_and_asked_again(page, shoot, monkeypatch, problems):
    first = names(page)

    def full(answer):
        raise AnswerError("nima-answers.sqlite: answers cannot be kept (disk is full)")

    with monkeypatch.context() as patched:
        patched.setattr(shoot.store, "add", full)
        problems.append(
            "console: Failed to load resource: the server responded with a status of 409 (Conflict)"
        )
        page.keyboard.press("ArrowLeft")
        wait_until(page, "!document.getElementById('problem').hidden")
    assert "disk is full" in page.inner_text("#problem")
    page.click("#again")
    ready(page)
    assert names(page) == first
    assert page.is_hidden("#problem")
    press(page, "ArrowLeft")
    assert choices(shoot) == ["left"]


def test_a_server_that_is_gone_is_told(page, address, problems):
    page.context.set_offline(True)
    problems.append("console: Failed to load resource: net::ERR_INTERNET_DISCONNECTED")
    page.keyboard.press("ArrowLeft")
    wait_until(page, "!document.getElementById('problem').hidden")
    assert "does not answer; is it still running?" in page.inner_text("#problem")
    page.context.set_offline(False)
    page.click("#again")
    ready(page)
    assert page.is_hidden("#problem")


def test_everything_fits(page):
    for size in ((390, 844), (844, 390), (1440, 900)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        (left, right) = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
        stacked = left["y"] + left["height"] <= right["y"]
        assert stacked == (size[0] < size[1])
        assert min(left["height"], right["height"]) > 120
        assert page.evaluate(_PAGE_SIZE) == list(size)
        page.keyboard.press("z")
        wait_until(page, ZOOMED)
        assert page.evaluate(_PAGE_SIZE) == list(size)
        page.keyboard.press("z")


_PAGE_SIZE = """(() => {
  const { scrollWidth, scrollHeight } = document.documentElement;
  return [scrollWidth, scrollHeight];
})()"""
