"""The page about the service says what was measured, and what the service does."""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.web.http import KINDS
from siamese_nima.web.service.observability import Metrics
from siamese_nima.web.service.uploads import Limits

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "serve.md"


def test_its_figures_are_the_recorded_ones(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks" / "server")
    write_table = pytest.importorskip("write_table")
    try:
        result = json.loads((REPOSITORY / "benchmarks/server/load.json").read_text())
        assert PAGE.read_text() == write_table.page_with(write_table.section(result))
    finally:
        del sys.modules["write_table"]


def test_the_recorded_load_met_its_bar_and_lost_nothing():
    result = json.loads((REPOSITORY / "benchmarks/server/load.json").read_text())
    for load in result["loads"]:
        if (load["server"], load["clients"]) == ("server", 64):
            assert statistics.median(load["share_of_folder_run"]) >= 0.85
        assert load["errors"] == 0
        assert load["requests"] == load["answers"] == load["own_scores"]


def test_every_kind_of_problem_is_explained_with_its_status():
    rows = re.findall(r"^\| `([a-z][a-z-]+)` \| (\d{3}) \|", PAGE.read_text(), re.MULTILINE)
    assert {kind: int(status) for kind, status in rows} == {
        kind: status for kind, (status, _) in KINDS.items()
    }


def test_the_limits_are_those_that_it_names():
    text, limits = PAGE.read_text(), Limits()
    assert f"`--max-photo-mb` | {limits.photo_bytes / 1e6:.0f} MB" in text
    assert f"`--max-megapixels` | {limits.photo_pixels / 1e6:.0f} |" in text
    assert f"`--max-photos` | {limits.request_photos} in" in text
    assert f"`--max-request-mb` | {limits.request_bytes / 1e6:.0f} MB" in text
    assert f"`--max-waiting` | {limits.waiting_photos} photos" in text
    assert f"`--timeout` | {limits.request_s:.0f} s" in text
    assert f"at most {limits.waiting_bytes / 1e9:.0f} GB" in text


def test_every_metric_is_explained():
    metrics = Metrics()
    metrics.watch({}, lambda: 0.0)
    named = {
        line.split()[2] for line in metrics.text().decode().splitlines() if line[:6] == "# TYPE"
    }
    text = PAGE.read_text()
    for name in named:
        if name.startswith("nima_") and not name.endswith("_created"):
            assert f"`{name}`" in text, name
