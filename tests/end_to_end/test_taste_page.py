"""The page on teaching a taste says what was measured."""

import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_page_says_how_soon_the_next_pair_stands():
    found = json.loads((REPOSITORY / "benchmarks" / "speed" / "next_pair.json").read_text())
    shown = found["next_pair_ms"]
    page = " ".join((REPOSITORY / "docs" / "taste.md").read_text().split())
    assert f"With photos of {found['megapixels']:g} megapixels" in page
    assert (
        f"stood after {shown['median']:.0f} ms, the median of {found['pairs']}; "
        f"19 of 20 within {shown['p95']:.0f} ms"
    ) in page
    assert f"one picture takes {round(found['one_picture_ms'], -1):.0f} ms" in page
    assert found["pace_s"] == 1
