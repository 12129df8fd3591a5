import base64
import hashlib
import html
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from PIL import Image

from siamese_nima.errors import NimaError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto, scored
from siamese_nima.web.report import write_report
from tiny_model import rate_tiny


class Page(HTMLParser):
    """The cards of a page: attributes of each <li>, addresses, and text by tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.cards, self.links, self.sources, self.style, self.script = [], [], [], "", ""
        self.policy, self._inside = "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self._inside = tag
        if tag == "li" and "data-path" in found:
            self.cards.append(found)
        self.links += [found["href"]] if found.get("class") == "name" else []
        self.sources += [found["src"]] if "src" in found else []
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]

    def handle_data(self, data):
        if self._inside == "style":
            self.style += data
        elif self._inside == "script":
            self.script += data

    def handle_endtag(self, tag):
        self._inside = "" if tag == self._inside else self._inside


def test_all_photos_are_on_the_page_with_their_figures(report, shoot):
    page = Page(report)
    assert len(page.cards) == len(shoot)
    best = max((result for result in shoot if result.mean), key=lambda result: result.mean)
    assert page.cards[0]["data-score"] == f"{best.mean:.4f}"
    assert page.cards[-1]["class"] == "failed"
    assert all(source.startswith("data:image/webp;base64,") for source in page.sources)


def test_links_lead_to_the_originals_whatever_their_names(report, shoot):
    page = Page(report)
    folder = os.fsencode(report.parent)
    found = {os.path.normpath(folder + b"/" + unquote_to_bytes(link)) for link in page.links}
    assert found == {os.path.normpath(os.fsencode(result.path)) for result in shoot}
    assert all(link.startswith("./") for link in page.links)


def test_only_the_pages_own_script_and_style_may_run(report):
    page = Page(report)
    for kind, text in (("style", page.style), ("script", page.script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "unsafe" not in page.policy
    assert not re.search(
        r"\son\w+=", report.read_text().split("<script>")[0].replace("onerror=", "")
    )


def test_a_page_elsewhere_links_back(shoot, ranked_card, tmp_path):
    page = Page(write_report(tmp_path / "out.html", shoot[:1], ranked_card))
    assert (tmp_path / page.links[0]).resolve() == Path(shoot[0].path)


def test_names_that_are_no_text_are_shown_escaped(ranked_card, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Image.new("RGB", (8, 8)).save(path)
    result = scored(path, rate_tiny(ranked_card, Image.open(path)), ranked_card, "tiny")
    [card] = Page(write_report(tmp_path / "page.html", [result], ranked_card)).cards
    assert card["data-path"].endswith("caf\\udce9.png")
    assert "data-unlistable" in card


def test_a_photo_that_vanished_keeps_its_score_and_says_why_there_is_no_picture(
    ranked_card, tmp_path
):
    distribution = rate_tiny(ranked_card, Image.new("RGB", (8, 8)))
    result = scored(str(tmp_path / "gone.jpg"), distribution, ranked_card, "tiny")
    text = write_report(tmp_path / "page.html", [result], ranked_card).read_text()
    assert "gone.jpg: no such file." in text
    assert "no picture" in text


def test_scores_of_further_models_are_told(ranked_card, shoot, tmp_path):
    both = replace(shoot[0], others={"appeal": shoot[1]})
    text = write_report(tmp_path / "page.html", [both], ranked_card).read_text()
    said = html.unescape(text)
    assert f"Score by appeal\t{shoot[1].mean:.2f} on a scale of 1..10" in said


def test_the_page_says_when_nobody_measured_the_pair_error(tiny_card, shoot, tmp_path):
    text = write_report(tmp_path / "page.html", shoot[:2], tiny_card).read_text()
    assert "does not say which scores are too close to call" in text


def test_an_older_page_stays_until_the_new_one_is_complete(tiny_card, tmp_path):
    (tmp_path / "page.html").write_text("old")
    unnamed = ScoredPhoto(path="p", model="m", scale=AVA_SCALE, error="p: broken")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "page.html", [unnamed], tiny_card, report=stop)
    assert (tmp_path / "page.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_folder_that_is_not_there_is_named(tiny_card, tmp_path):
    with pytest.raises(NimaError, match=r"nowhere.*page\.html: cannot be written"):
        write_report(tmp_path / "nowhere" / "page.html", [], tiny_card)


def test_a_page_without_photos_is_a_page(tiny_card, tmp_path):
    assert Page(write_report(tmp_path / "page.html", [], tiny_card)).cards == []
