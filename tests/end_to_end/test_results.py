"""docs/results.md says what the recorded files say."""

import importlib.util
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def writer():
    path = REPOSITORY / "benchmarks/quality/write_results.py"
    spec = importlib.util.spec_from_file_location("write_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_of_the_page_is_the_recorded_one(writer):
    page = (REPOSITORY / "docs/results.md").read_text()
    assert writer.filled(page, writer.tables()) == page
    for name in writer.tables():
        assert f"<!-- table: {name} -->" in page


def test_the_plots_of_the_page_exist():
    page = (REPOSITORY / "docs/results.md").read_text()
    for name in ("siamese-differences", "ladder-steps"):
        assert f"images/{name}.png" in page
        assert (REPOSITORY / f"docs/images/{name}.png").stat().st_size > 5_000


def test_how_far_scores_move_is_told_as_it_was_measured():
    found = json.loads((REPOSITORY / "benchmarks/quality/steadiness.json").read_text())
    page = (REPOSITORY / "docs/data.md").read_text()
    for row in found["stored_size"]:
        assert f"| {row['short_side_px']} | {row['mean']:+.2f} | {row['sd']:.2f} |" in page
    framing = f"differ by {found['framing']['sd']:.2f} points"
    assert framing in " ".join(page.split())
    assert framing in " ".join((REPOSITORY / "docs/results.md").read_text().split())
