"""What the pages say of `nima learn` is what was recorded."""

import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_page_shows_the_recorded_output_and_time():
    page = (REPOSITORY / "docs/taste.md").read_text()
    recorded = json.loads((REPOSITORY / "benchmarks/taste/whole_way.json").read_text())
    for line in recorded["learn"].splitlines():
        assert not line or f"    {line}\n" in page
    assert f"it took {recorded['seconds']:.0f} s on two cores" in page
    assert recorded["seconds"] < 300


def test_the_picture_of_results_exists():
    assert "images/taste-answers.png" in (REPOSITORY / "docs/results.md").read_text()
    assert (REPOSITORY / "docs/images/taste-answers.png").stat().st_size > 5_000
