"""How long after an answer `nima pick` shows the next pair, in a real browser.

    python benchmarks/speed/next_pair.py --photos 200 --out benchmarks/speed/next_pair.json

Runs the command on camera-sized photos and drives Chromium with Playwright: a key every so many
seconds, timed inside the page from the key to the frame that shows both new photos. The time that
the server takes for one picture is what a page without loading ahead would wait for, twice.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from camera_photos import photos_of
from machine import provenance, report

# From the key to the frame after the one in which both photos are swapped.
WATCH = """() => {
  window.shownAfterMs = [];
  let pressed = 0;
  addEventListener("keydown", (event) => { pressed = event.timeStamp; }, { capture: true });
  new MutationObserver(() => {
    requestAnimationFrame(() => requestAnimationFrame((now) => {
      window.shownAfterMs.push(performance.now() - pressed);
    }));
  }).observe(document.getElementById("right-name"), { childList: true });
}"""
PICTURES = """() => performance.getEntriesByType("resource")
  .filter((entry) => entry.name.includes("/photos/")).map((entry) => entry.duration)"""


def measured(address: str, answers: int, pace_s: float) -> dict[str, Any]:
    """Answer pairs at a steady pace, and tell how long each next pair took."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        page.wait_for_timeout(5000)
        page.evaluate(WATCH)
        for number in range(answers):
            page.keyboard.press(("ArrowLeft", "ArrowRight")[number % 2])
            page.wait_for_timeout(1000 * pace_s)
        page.wait_for_timeout(1000)
        shown = sorted(page.evaluate("window.shownAfterMs"))
        pictures = sorted(page.evaluate(PICTURES))
        version = browser.version
        browser.close()
    return {
        "browser": f"Chromium {version}",
        "pace_s": pace_s,
        "pairs": len(shown),
        "next_pair_ms": {
            "median": round(statistics.median(shown), 1),
            "p95": round(shown[int(0.95 * (len(shown) - 1))], 1),
            "max": round(shown[-1], 1),
        },
        "one_picture_ms": round(statistics.median(pictures), 1),
    }


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--answers", type=int, default=60)
    parser.add_argument("--pace-s", type=float, default=1.0, help="seconds between answers")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    photos = photos_of(arguments.kept, arguments.photos, arguments.megapixels)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "siamese_nima", "pick", str(photos[0].parent)]
        command += ["--answers", f"{folder}/answers.sqlite", "--port", "0", "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = re.match(r"http://\S+", server.stdout.readline())
            if address is None:
                raise SystemExit("nima pick did not start")
            found = measured(address[0], arguments.answers, arguments.pace_s)
            server.send_signal(signal.SIGINT)
    report(
        {"photos": arguments.photos, "megapixels": arguments.megapixels} | found | provenance(),
        arguments.out,
    )


if __name__ == "__main__":
    main()
