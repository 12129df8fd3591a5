"""The page on view policies says what was measured of cutting views first."""

import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_page_has_the_recorded_figures():
    found = json.loads((REPOSITORY / "benchmarks" / "speed" / "views_first.json").read_text())
    page = " ".join((REPOSITORY / "docs" / "views.md").read_text().split())
    every = found["all"]
    assert f"On {every['photos']} photos of 1 megapixel and more" in page
    moved = every["moved"]
    assert f"by {moved['mean']:.4f} on average and {moved['most']:.3f} at most" in page
    for kind, measured in found["kinds"].items():
        ms = measured["median ms"]
        name = f"{kind} (phones)" if kind == "turned, other colours" else kind
        row = [name, measured["photos"], f"{ms['decode']:.0f}"]
        row += [f"{ms['convert whole']:.0f} + {ms['views after']:.0f}"]
        row += [f"{ms['views first']:.0f}", f"{ms['network']:.0f}"]
        assert "| " + " | ".join(map(str, row)) + " |" in page
    assert "dirty" not in found["commit"]
