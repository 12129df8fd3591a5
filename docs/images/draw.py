"""Draw the pictures of the pages anew, with the embedded model of the day.

    python docs/images/draw.py

Needs what the tests need (Playwright) and a Chromium on the path.
"""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
NIMA = (sys.executable, "-m", "siamese_nima")
SCREEN, PHONE = (1280, 800), (390, 800)
EXPLANATION_WIDTH = 760
PORT = 8765
FIT = {"astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "hubble-deep-field.jpg"}


def main() -> None:
    """Draw all."""
    for name in ("astronaut", "rocket-noise"):
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "why.png"
            nima("explain", f"photos/{name}.jpg", "--out", str(drawn))
            picture = Image.open(drawn)
            height = round(picture.height * EXPLANATION_WIDTH / picture.width)
            keep(picture.resize((EXPLANATION_WIDTH, height)), f"explain-{name}")
    bursts = ("contact_sheet.py", "photos", str(HERE / "bursts.jpg"))
    subprocess.run([sys.executable, *bursts], cwd=EXAMPLES, check=True)
    page = EXAMPLES / "page-of-the-docs.html"
    nima("report", "photos", "--out", str(page))
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            draw_report(browser, page.as_uri())
            draw_culling(browser)
            draw_picking(browser)
    finally:
        page.unlink()


def draw_report(browser: Browser, address: str) -> None:
    """The report, a closer look, and the report on a phone."""
    with opened(browser, address, SCREEN, dark=False) as page:
        shoot(page, "report")
    with opened(browser, address, SCREEN, dark=True) as page:
        page.get_by_label("Search").fill("rocket.jpg")
        page.get_by_role("button", name="rocket.jpg").first.click()
        shoot(page, "report-photo")
    with opened(browser, address, PHONE, dark=True) as page:
        shoot(page, "report-phone")


def draw_culling(browser: Browser) -> None:
    """The page of `nima cull` over a copy of the example photos."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "wedding"
        shutil.copytree(EXAMPLES / "photos", folder)
        command = [*NIMA, "cull", str(folder), "--port", str(PORT), "--no-browser"]
        server = subprocess.Popen([*command, "--model", "quality,appeal"])
        address = f"http://127.0.0.1:{PORT}/"
        try:
            with opened(browser, address, SCREEN, dark=True) as page:
                shoot(page, "serve-gallery")
            with opened(browser, address, SCREEN, dark=False) as page:
                draw_walk(page)
            with opened(browser, address, PHONE, dark=True) as page:
                shoot(page, "cull-phone")
        finally:
            server.terminate()
            server.wait()


def draw_walk(page: Page) -> None:
    """What the walk through culling shows, with some decisions made."""
    for key in ("5", "ArrowLeft", "p", "p", "x"):
        page.keyboard.press(key)
    page.keyboard.press("Home")
    shoot(page, "cull")
    page.keyboard.press("s")
    shoot(page, "cull-burst")
    page.keyboard.press("c")
    page.keyboard.press("z")
    page.wait_for_timeout(1500)
    shoot(page, "cull-compare")
    page.keyboard.press("Escape")
    page.click("#show-chosen")
    page.click("[data-plan=sidecars]")
    page.locator("#do-write").wait_for()
    shoot(page, "cull-write")


def draw_picking(browser: Browser) -> None:
    """What `nima pick` shows on a desktop and on a phone, once a pair is fit to be seen."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*NIMA, "pick", "photos", "--port", "0", "--no-browser"]
        command += ["--answers", str(Path(folder) / "answers.sqlite")]
        with subprocess.Popen(command, cwd=EXAMPLES, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            page = browser.new_page(viewport={"width": SCREEN[0], "height": SCREEN[1]})
            page.goto(address)
            page.wait_for_timeout(3000)
            while not {page.inner_text(f"#{side}-name") for side in ("left", "right")} <= FIT:
                page.keyboard.press("ArrowLeft")
                page.wait_for_timeout(700)
            shoot(page, "pick")
            page.emulate_media(color_scheme="dark")
            page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            shoot(page, "pick-phone")
            page.close()
            server.send_signal(signal.SIGINT)


@contextmanager
def opened(browser: Browser, address: str, size: tuple[int, int], *, dark: bool) -> Iterator[Page]:
    """A page that has loaded its pictures."""
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
    )
    for _ in range(60):  # a server takes a moment to start, and to score
        try:
            page.goto(address, wait_until="networkidle")
            if page.get_by_text("of 25 photos shown").count():
                break
        except Exception as error:
            if "CONNECTION_REFUSED" not in str(error):
                raise
        page.wait_for_timeout(1000)
    else:
        sys.exit(f"{address} does not show the example photos")
    yield page
    page.close()


def shoot(page: Page, name: str) -> None:
    """Keep what a page shows."""
    page.wait_for_timeout(500)
    keep(Image.open(io.BytesIO(page.screenshot())), name)


def keep(picture: Image.Image, name: str) -> None:
    """Write a picture of the pages."""
    picture.convert("RGB").save(HERE / f"{name}.webp", quality=85, method=6)


def nima(*arguments: str) -> None:
    """Run a command where the pages' reader would, so that paths are as short as theirs."""
    subprocess.run([*NIMA, *arguments], cwd=EXAMPLES, check=True)


if __name__ == "__main__":
    main()
