"""Size of the page that `nima report` writes, and how long a browser takes to open and sort it.

    python benchmarks/speed/report_page.py --photos 2000 --photos-from PHOTOS --out report_page.json

Takes photos of a folder in turn until there are enough, under names of their own, scores each file
once, and drives Chromium with Playwright; with --rounds 0 it only measures the size.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer, ThumbnailReader, find_photos, write_report
from siamese_nima.photos.read import Photo
from siamese_nima.photos.thumbnails import SIDE_PX

SORT = """sort => {
  const field = document.getElementById("sort");
  field.value = sort;
  const started = performance.now();
  field.dispatchEvent(new Event("change", { bubbles: true }));
  document.body.offsetHeight;
  return performance.now() - started;
}"""


def open_page(page_path: Path, rounds: int) -> dict:
    """Seconds until the page is shown, and until it is sorted, the median of some rounds."""
    opened, sorted_ = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            started = time.perf_counter()
            page.goto(page_path.as_uri(), timeout=0)
            page.evaluate("() => new Promise(requestAnimationFrame)")
            opened.append(time.perf_counter() - started)
            sorted_ += [page.evaluate(SORT, sort) / 1000 for sort in ("name", "spread", "score")]
            page.close()
        version = browser.version
        browser.close()
    return {
        "browser": f"Chromium {version}",
        "open_s": round(statistics.median(opened), 2),
        "sort_s": round(statistics.median(sorted_), 2),
    }


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--photos-from", type=Path, default=Path("examples/photos"))
    parser.add_argument("--files", type=int, default=200, help="different photos, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    scorer = Scorer()
    sources = find_photos([arguments.photos_from]).paths[: arguments.files]
    small: dict[str, Image.Image] = {}

    def keep(path: str, photo: Photo) -> None:
        small[path] = ImageOps.contain(photo.whole(), (SIDE_PX, SIDE_PX))

    scores = list(scorer.score(sources, on_photo=keep))
    thumbnails = ThumbnailReader()
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for number, result in enumerate(islice(cycle(scores), arguments.photos)):
            path = Path(folder) / f"{number:05d}-{Path(result.path).name}"
            path.symlink_to(Path(result.path).absolute())
            results.append(replace(result, path=str(path)))
            thumbnails.look(str(path), small[result.path])
        page = write_report(Path(folder) / "page.html", results, scorer.card, thumbnails=thumbnails)
        values = {
            **provenance(),
            "photos": len(results),
            "files": len(sources),
            "photos_from": arguments.photos_from.name,
            "megabytes": round(page.stat().st_size / 1e6, 2),
            **(open_page(page, arguments.rounds) if arguments.rounds else {}),
        }
    report(values, arguments.out)


if __name__ == "__main__":
    main()
