"""How soon the page of `nima cull` shows the first picture, and the next photo in full size.

    python benchmarks/speed/culling_page.py --photos-from PHOTOS --out culling_page.json

Takes photos of a folder in turn until there are enough, as hard links under names of their own,
scores each file once, serves them, and drives Chromium with Playwright. A photo counts as shown in
the frame that has its picture for the screen, not the preview.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer, find_photos
from siamese_nima.web.gallery import Gallery, GalleryReader, ServedFolder
from siamese_nima.web.http import open_port
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service

FIRST = """() => new Promise((done) => {
  const look = () => {
    const first = document.querySelector("#photos img");
    if (first?.complete && first.naturalWidth) requestAnimationFrame(() => done(performance.now()));
    else requestAnimationFrame(look);
  };
  look();
})"""
# Presses a key, and waits for the frame in which another photo is there with its large picture.
NEXT = """(key) => new Promise((done) => {
  const before = byId("view-name").textContent;
  const started = performance.now();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const look = () => {
    const shown = byId("view-picture");
    const ready = shown.complete && shown.naturalWidth && !shown.classList.contains("preview");
    if (ready && byId("view-name").textContent !== before) {
      requestAnimationFrame(() => done(performance.now() - started));
    } else requestAnimationFrame(look);
  };
  look();
})"""


@contextmanager
def served(folder: Path, files: Sequence[Path], photos: int) -> Iterator[str]:
    """The page of that many photos; hard links, so that each is a file inside the folder."""
    scorer = Scorer()
    reader = GalleryReader(scorer.decode_px)
    scores = list(scorer.score(files, on_photo=reader.look))
    results, thumbnails = [], {}
    for number, result in enumerate(islice(cycle(scores), photos)):
        path = folder / f"{number:05d}-{Path(result.path).name}"
        try:
            path.hardlink_to(Path(result.path))
        except OSError:  # another disk
            shutil.copyfile(result.path, path)
        results.append(replace(result, path=str(path)))
        thumbnails[str(path)] = reader.thumbnails[result.path]
    shown = ServedFolder(folder, [Path(result.path) for result in results])
    gallery = Gallery(shown, results, scorer.card, title="photos", thumbnails=thumbnails)
    listener = open_port("127.0.0.1", 0)
    app = guarded(api(Service(scorer), gallery=gallery), HostRules())
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


def renderers_mb(browser: Browser) -> float:
    """Memory of the processes that hold pages, each shared byte divided by who shares it."""
    devtools = browser.new_browser_cdp_session()
    processes = devtools.send("SystemInfo.getProcessInfo")["processInfo"]
    devtools.detach()
    total_kb = 0
    for process in processes:
        if process["type"] == "renderer":
            rollup = Path(f"/proc/{process['id']}/smaps_rollup").read_text()
            total_kb += int(rollup.split("Pss:")[1].split()[0])
    return total_kb / 1000


def opened(browser: Browser, address: str) -> tuple[Page, float]:
    """The page in a window of its own, and after how many seconds its first picture was there."""
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.goto(address, wait_until="commit")
    first_s = page.evaluate(FIRST) / 1000
    page.wait_for_load_state("load")
    return page, first_s


def measure(browser: Browser, address: str, looks: int) -> dict:
    """One round: photo after photo with a second for each."""
    page, _ = opened(browser, address)
    page.keyboard.press("Enter")
    page.wait_for_timeout(3000)
    moved, memory_mb = [], [renderers_mb(browser)]
    for key in ["ArrowRight", "3"] * (looks // 2):
        moved.append(page.evaluate(NEXT, key))
        page.wait_for_timeout(1000)
        memory_mb.append(renderers_mb(browser))
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    devtools.send("HeapProfiler.collectGarbage")
    metrics = {m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]}
    page.close()
    heap_mb = metrics["JSHeapUsedSize"] / 1e6
    return {"next_ms": moved, "heap_mb": heap_mb, "memory_mb": memory_mb}


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--photos-from", type=Path, default=Path("examples/photos"))
    parser.add_argument("--files", type=int, default=200, help="different photos, at most")
    parser.add_argument("--openings", type=int, default=20, help="of the page, each from nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--looks", type=int, default=20, help="photos looked at in a round")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = find_photos([arguments.photos_from]).paths[: arguments.files]
    parent = arguments.photos_from.resolve().parent
    with tempfile.TemporaryDirectory(dir=parent) as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        rounds, first = [], []
        started = time.perf_counter()
        with served(Path(folder), files, arguments.photos) as address:
            ready_s = time.perf_counter() - started
            for _ in range(arguments.openings):
                page, seconds = opened(browser, address)
                first.append(seconds)
                page.close()
            for _ in range(arguments.rounds):
                rounds.append(measure(browser, address, arguments.looks))
        moved = sorted(ms for one in rounds for ms in one["next_ms"])
        values = {
            **provenance(),
            "browser": f"Chromium {browser.version}",
            "load_average": round(os.getloadavg()[0], 1),
            "photos": arguments.photos,
            "files": len(files),
            "photos_from": arguments.photos_from.name,
            "scored_and_served_s": round(ready_s, 2),
            "first_picture_s": [round(seconds, 3) for seconds in first],
            "next_photo_ms_median": round(statistics.median(moved), 1),
            "next_photo_ms_worst": round(moved[-1], 1),
            "next_photos": len(moved),
            "heap_mb": [round(one["heap_mb"], 1) for one in rounds],
            "renderer_mb_first": [round(one["memory_mb"][0]) for one in rounds],
            "renderer_mb_half": [round(one["memory_mb"][arguments.looks // 2]) for one in rounds],
            "renderer_mb_last": [round(one["memory_mb"][-1]) for one in rounds],
            "renderer_mb_most": [round(max(one["memory_mb"])) for one in rounds],
        }
        browser.close()
    report(values, arguments.out)


if __name__ == "__main__":
    main()
