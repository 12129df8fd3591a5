"""docs/results.md says what the recorded files say."""

import importlib.util
import json
import re
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


def test_no_recorded_figure_is_of_code_that_no_commit_has():
    """Of results that say so: earlier ones name the commit alone."""
    recorded = [*REPOSITORY.glob("benchmarks/*/*.json"), *REPOSITORY.glob("recipes/*/*.json")]
    assert len(recorded) > 10
    for path in recorded:
        found = json.loads(path.read_text())
        assert not (isinstance(found, dict) and found.get("dirty")), path


def test_a_result_says_which_code_it_is_of(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("machine", REPOSITORY / "benchmarks/machine.py")
    machine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(machine)
    said = machine.provenance()
    assert re.fullmatch("[0-9a-f]{64}", said["source_sha256"])
    assert said["source_sha256"] == machine.source_hash()
    assert isinstance(said["dirty"], bool)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "one.py").write_text("x = 1")
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "benchmarks" / "machine.py"))
    one = machine.source_hash()
    (tmp_path / "src" / "one.py").write_text("x = 2")
    assert machine.source_hash() != one
