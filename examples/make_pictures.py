"""Write the pictures of the pages in docs/ that show pages, from `examples/photos`.

pip install playwright        # and a Chromium, such as Debian's package
python examples/make_pictures.py
"""

import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

REPOSITORY = Path(__file__).parents[1]
PICTURES = REPOSITORY / "docs" / "images"
PHOTOS = REPOSITORY / "examples" / "photos"
EXPLAINED = ("astronaut", "rocket-noise")
PICKED = {"astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "hubble-deep-field.jpg"}


def nima(*arguments: object, folder: Path) -> None:
    """Run a command of siamese-nima in a folder, so that pictures show short paths."""
    command = [sys.executable, "-m", "siamese_nima", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=folder)


def shot(
    browser: Browser, page: Path, name: str, size: tuple[int, int], *, dark: bool, look: str = ""
) -> None:
    """Save what a browser of this size shows, after a closer look at a photo if one is named."""
    scheme = "dark" if dark else "light"
    tab = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, device_scale_factor=1
    )
    tab.goto(page.as_uri())
    if look:
        tab.fill("#find", look)
        tab.locator("#photos > li:visible .open").first.click()
        tab.wait_for_timeout(500)
    save(tab, name)
    tab.close()


def save(tab: Page, name: str) -> None:
    """Save what a tab shows."""
    tab.wait_for_timeout(500)
    Image.open(io.BytesIO(tab.screenshot())).save(PICTURES / name, quality=80)


def shots_of_picking(browser: Browser, folder: Path) -> None:
    """Save what `nima pick` shows on a desktop and on a phone, once a pair is fit to be seen."""
    command = [sys.executable, "-m", "siamese_nima", "pick", "photos", "--port", "0"]
    command += ["--answers", "answers.sqlite", "--no-browser"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        address = server.stdout.readline().strip()
        tab = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        tab.goto(address)
        tab.wait_for_timeout(3000)
        while not {tab.inner_text(f"#{side}-name") for side in ("left", "right")} <= PICKED:
            tab.keyboard.press("ArrowLeft")
            tab.wait_for_timeout(700)
        save(tab, "pick.webp")
        tab.emulate_media(color_scheme="dark")
        tab.set_viewport_size({"width": 390, "height": 800})
        save(tab, "pick-phone.webp")
        server.send_signal(signal.SIGINT)


def shot_of_serving(browser: Browser, folder: Path) -> None:
    """Save the page of `nima serve --folder` when its thumbnails are there."""
    command = [sys.executable, "-m", "siamese_nima", "serve", "--folder", "photos", "--port", "0"]
    command += ["--no-cache", "--log-format", "json"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as server:
        line = next(line for line in server.stderr if '"address"' in line)
        tab = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
        tab.goto(json.loads(line)["address"])
        tab.wait_for_timeout(3000)
        save(tab, "serve-gallery.webp")
        server.send_signal(signal.SIGTERM)
        server.stderr.read()


def main() -> None:
    """Write all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        shutil.copytree(PHOTOS, Path(folder) / "photos")
        page = Path(folder) / "photos.html"
        nima("report", "photos", "--out", page.name, "--no-cache", folder=Path(folder))
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        shot(browser, page, "report.webp", (1280, 800), dark=False)
        shot(browser, page, "report-phone.webp", (390, 800), dark=True)
        shots_of_picking(browser, Path(folder))
        shot_of_serving(browser, Path(folder))
        shot(browser, page, "report-photo.webp", (1280, 800), dark=True, look="rocket.jpg")
        browser.close()
        for name in EXPLAINED:
            drawn = Path(folder) / f"{name}.png"
            nima("explain", f"photos/{name}.jpg", "--out", drawn.name, folder=Path(folder))
            with Image.open(drawn) as picture:
                picture.thumbnail((760, 1200))
                picture.save(PICTURES / f"explain-{name}.webp", quality=82)


if __name__ == "__main__":
    main()
