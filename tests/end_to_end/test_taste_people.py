"""What docs/taste.md says of real people is what was recorded."""

import importlib.util
import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_page_says_what_was_measured():
    folder = REPOSITORY / "benchmarks/taste"
    spec = importlib.util.spec_from_file_location("write_people", folder / "write_people.py")
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    people, rated = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("people", "rated_folder")
    )
    page = (REPOSITORY / "docs/taste.md").read_text()
    assert writer.filled(page, writer.text(people, rated)) == page
    assert (REPOSITORY / "docs/images/taste-people.png").stat().st_size > 5_000
    assert rated["photos"] == 500
