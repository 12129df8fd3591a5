"""Write the figures of docs/serve.md from the recorded load test.

python benchmarks/server/write_table.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "serve.md"
BEGIN = (
    "<!-- figures: made by benchmarks/server/write_table.py from benchmarks/server/load.json -->\n"
)
END = "<!-- figures end -->\n"


def main() -> None:
    """Put the section into the page, in place of the one that is there."""
    PAGE.write_text(page_with(section(json.loads((HERE / "load.json").read_text()))))


def page_with(text: str) -> str:
    """The page with this section."""
    before, rest = PAGE.read_text().split(BEGIN)
    return f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}"


def section(result: dict[str, Any]) -> str:
    """What was measured, in words and as a table."""
    machine, folder = result["machine"], result["folder_run_photos_per_second"]
    requests = sum(load["requests"] for load in result["loads"])
    own = sum(load["own_scores"] for load in result["loads"])
    errors = sum(load["errors"] for load in result["loads"])
    size = f"{result['megapixels']:g} megapixels ({result['mb_per_photo']} MB each)"
    photos = f"{result['photos']} photos of {size}"
    rows = [
        "| server | clients | photos/s | share of the folder run | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for load in result["loads"]:
        rates, shares = load["photos_per_second"], load["share_of_folder_run"]
        rows.append(
            f"| {load['server']} | {load['clients']} | {_range(rates)} | {_range(shares, 2)} "
            f"| {load['p50_ms']} | {load['p99_ms']} |"
        )
    table = "\n".join(rows)
    return f"""\
## How fast it is

{result["date"]}, {machine["cores"]} cores of an {machine["cpu"]}, Python {result["python"]}:

    {result["command"]}

{photos}, sent once by 1, 8 and 64 clients at a time over loopback;
the clients run on the same cores. A run over the same photos in a folder, in turn with them:
{_range(folder)} photos/s. Median of the rounds, in brackets the slowest and the fastest.
{_others(result)}

{table}

"one at a time" is the same server with `--workers 1 --batch-size 1`. Of {requests} requests
{errors} failed, and {own} had the score that the library gives the same bytes (within .0002):
nothing is lost or mixed up.
"""


def _others(result: dict[str, Any]) -> str:
    load = result["load_average_before"]
    return (
        f"The load average was {load:g} before the run: where other programs run, shares say more "
        "than rates."
    )


def _range(values: list[float], digits: int = 1) -> str:
    figures = statistics.median(values), min(values), max(values)
    middle, low, high = (f"{figure:.{digits}f}" for figure in figures)
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    main()
