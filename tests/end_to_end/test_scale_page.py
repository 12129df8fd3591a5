"""The page about many machines says what was measured."""

import json
import runpy
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(REPOSITORY / "benchmarks" / "scale" / "write_example.py"))


def test_the_worked_example_is_what_its_script_makes_of_the_recorded_costs():
    assert (REPOSITORY / "docs" / "scale.md").read_text() == SCRIPT["page"]()


def test_core_hours_follow_from_the_cost_of_a_photo():
    recorded = json.loads((REPOSITORY / "benchmarks" / "scale" / "per_photo.json").read_text())
    recorded["ms_per_photo"]["ray"] = {"median": 18.0, "low": 17.0, "high": 19.0}
    recorded["machine"]["cores"] = 2
    text = SCRIPT["example"](recorded)
    # 0.036 core-seconds, ten million times, are 100 hours: 4.2 cores for a day.
    assert "| core-hours | 100 | 10,000 |" in text
    assert "| machines of 32 cores | 1, done in a day | 2, done in 7 days |" in text


def test_the_shards_that_were_killed_are_those_of_the_page():
    recorded = json.loads((REPOSITORY / "benchmarks" / "scale" / "shards.json").read_text())
    page = " ".join((REPOSITORY / "docs" / "scale.md").read_text().split())
    assert recorded["rows"] == recorded["rows_named_once"] == recorded["photos"]
    assert (recorded["same_rows"], recorded["dirty"]) == (True, False)
    assert f"{recorded['photos']:,} images in {recorded['shards']} shards were scored so" in page
    assert f"({recorded['date']}, `{recorded['command']}`" in page
