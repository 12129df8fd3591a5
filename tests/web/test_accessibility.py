"""Every page, checked by axe-core: no violation, in light and dark, on phones and large screens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from browser_pages import wait_until
from rated_photos import rated
from served_gallery import ServedGallery, served
from siamese_nima.curation.bursts import Burst
from siamese_nima.evaluation.document import to_html
from siamese_nima.evaluation.figures import measure_by_subset
from siamese_nima.evaluation.report import model_sections
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.taste.answers import AnswerStore, answers_path
from siamese_nima.taste.session import PickSession
from siamese_nima.web.pick import pick_app
from siamese_nima.web.report import write_report
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service

LOOKS = [(390, "light"), (1440, "dark"), (2560, "light")]
CULLING = (("End", "s", "Home"), ("1", "x", "p", "Home"), ("Enter",), ("c",), ("z",))
DIALOGS = ("Escape", "Escape", "?")
# What is pressed before each look at a page.
STEPS = {
    "cull": ((), *CULLING, DIALOGS),
    "report": ((), ("Enter",)),  # the same page again, with all inside
    "pick": ((), ("z",), ("Escape", "?")),
    "start": ((),),
    "evaluate": ((),),
}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, tiny_model) -> Iterator[dict[str, str]]:
    """Where each page is."""
    folder = tmp_path_factory.mktemp("pages") / "shoot"
    folder.mkdir()
    for number in range(1, 5):
        Image.new("RGB", (300, 200), (50 * number,) * 3).save(folder / f"photo{number}.png")
    (folder / "broken.jpg").write_bytes(b"no photo")

    def bursts(results):
        known = sorted((r for r in results if r.mean), key=lambda result: -result.mean)
        reasons = ("", "softer: 2.4 px of blur against 0.9", "noisier")
        return [Burst(tuple(known[:3]), too_close=True, reasons=reasons, close=(True,) * 3)]

    with ExitStack() as stack:
        gallery = ServedGallery(folder, tiny_model, bursts=bursts)
        stack.callback(gallery.close)
        scorer = Scorer(tiny_model)
        results = list(scorer.score(str(folder)))
        report = write_report(folder / "report.html", results, scorer.card, bursts=bursts(results))
        store = stack.enter_context(AnswerStore(answers_path(folder)))
        scores = {Path(r.path).name: r.mean for r in results if r.mean is not None}
        pick = stack.enter_context(
            served(pick_app(PickSession(store, scores, person="me"), folder))
        )
        start = stack.enter_context(served(guarded(api(Service(scorer)), HostRules())))
        photos = rated(60, subsets=2)
        sections = model_sections(
            photos, measure_by_subset(photos, repeats=10), None, about=["Model: m."]
        )
        evaluation = folder.parent / "evaluation.html"
        evaluation.write_text(to_html("m", sections), encoding="utf-8")
        yield {
            "cull": gallery.address,
            "report": report.as_uri(),
            "pick": pick,
            "start": start,
            "evaluate": evaluation.as_uri(),
        }


def violations(page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"]]


def look_at(chromium, address: str, steps, width: int, scheme: str) -> dict[object, list[str]]:
    height = 844 if width < 1000 else round(width * 0.6)
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    wait_until(page, "document.readyState === 'complete'")
    page.wait_for_timeout(200)
    found = {}
    for keys in steps:
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(50)
        if bad := violations(page):
            found[keys] = bad
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    return found


@pytest.mark.parametrize("name", STEPS)
def test_pages_have_no_violation_on_a_phone(chromium, addresses, name):
    assert look_at(chromium, addresses[name], STEPS[name], 390, "dark") == {}


@pytest.mark.parametrize("name", STEPS)
def test_pages_have_no_violation_by_day(chromium, addresses, name):
    assert look_at(chromium, addresses[name], STEPS[name][:1], 1440, "light") == {}


def test_a_violation_is_found(chromium):
    page = chromium.new_page()
    page.set_content("<html lang='en'><title>t</title><main><h1>h</h1><img src='x'></main></html>")
    assert [found.partition(":")[0] for found in violations(page)] == ["image-alt"]
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("name", STEPS)
def test_pages_have_no_violation_anywhere(chromium, addresses, name, width, scheme):
    assert look_at(chromium, addresses[name], STEPS[name], width, scheme) == {}
