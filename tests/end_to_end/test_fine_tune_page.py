"""The figures of the guide are the recorded ones."""

import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_figures_of_the_guide_are_the_recorded_ones():
    page = (REPOSITORY / "docs" / "fine-tune.md").read_text()
    recorded = json.loads((REPOSITORY / "benchmarks/quality/fine_tune.json").read_text())
    for run in recorded["runs"].values():
        order, error = run["on_test"]["srcc"], run["on_test"]["rmse"]
        gap = order["difference"]
        row = next(line for line in page.splitlines() if line.startswith(f"| {run['photos']} "))
        assert f"{order['first']:.3f}, {order['second']:.3f}" in row
        assert f"{gap['value']:.3f} [{gap['low']:.3f}, {gap['high']:.3f}]" in row
        assert f"{error['first']:.2f}, {error['second']:.2f}" in row
        verdicts = [cell.rsplit(": ", 1)[1] for cell in row.strip("| ").split(" | ")[2:]]
        for verdict, figure in zip(verdicts, (order, error), strict=True):
            assert (verdict == "better") == (figure["winner"] == "second")
