"""Write the worked example of docs/scale.md from the recorded costs.

python benchmarks/scale/write_example.py
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import commit_of

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "scale.md"
BEGIN = "<!-- From here on made by benchmarks/scale/write_example.py. -->"
END = "<!-- To here. -->"

PHOTOS = {"10 million": 10**7, "1 billion": 10**9}
MACHINE_CORES = 32
DAYS = {"10 million": 1, "1 billion": 7}
REQUESTS_PER_PHOTO = 2  # s3fs asks for an object's size, then for the object
DAY_S = 86400


def example(result: dict[str, Any]) -> str:
    """The section: what was measured, and what follows for many photos."""
    ray, local = (result["ms_per_photo"][engine] for engine in ("ray", "local"))
    ratio, cores = result["ray_over_local"], result["machine"]["cores"]
    core_s = ray["median"] * cores / 1000
    cpu = result["machine"]["cpu"]
    lines = [
        BEGIN,
        "",
        f"Measured {result['date']} with `quality` on {result['photos']} JPEG photos of "
        f"{result['megapixels']:g} megapixels ({result['mean_file_mb']} MB) on a local disk, one "
        f"worker with {cores} threads on {cores} cores ({cpu}), {commit_of(result)}:",
        "",
        f"    {result['command']}",
        "",
        "| engine | start | ms per photo, both cores | photos/s |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {result['start_s'][key]:.1f} s | {_span(cost, 1)} "
            f"| {1000 / cost['median']:.1f} |"
            for name, key, cost in (("local", "local", local), ("Ray", "ray", ray))
        ),
        "",
        f"Once started, a photo costs {_span(ratio, 2)} times as much with Ray as without, round "
        "by round. The start, which is taken off, can differ by a second from run to run, so the "
        f"next interval may be another. That is {core_s:.3f} core-seconds per photo. A row of "
        f"results takes {result['result_bytes_per_photo']:.0f} bytes of Parquet (names in one "
        "short folder; long ones that have little in common take more), a name of 61 characters "
        f"{result['driver']['bytes_per_name']} bytes of the driver's memory.",
        "",
        f"| | {' | '.join(PHOTOS)} |",
        f"| --- |{' --- |' * len(PHOTOS)}",
    ]
    columns = [_follows(result, count, DAYS[name]) for name, count in PHOTOS.items()]
    for title in columns[0]:
        lines.append(f"| {title} | {' | '.join(column[title] for column in columns)} |")
    lines += [
        "",
        "These are computed, not measured. They assume photos like those above, cores as fast, a "
        "store and a network that keep up, and no time lost at the start and end; runs on more "
        "than two nodes, on real S3 and on GPUs have not been tried. Measure a day's worth of your "
        "own photos on one of your machines before you rent many.",
        "",
        END,
    ]
    return "\n".join(lines)


def _follows(result: dict[str, Any], photos: int, days: int) -> dict[str, str]:
    """What so many photos take, if they are to be done in so many days."""
    core_s = result["ms_per_photo"]["ray"]["median"] * result["machine"]["cores"] / 1000
    machines = math.ceil(photos * core_s / (MACHINE_CORES * days * DAY_S))
    mb, per_s = photos * result["mean_file_mb"], photos / (days * DAY_S)
    driver_gb = photos * result["driver"]["bytes_per_name"] / 1e9
    return {
        "core-hours": f"{photos * core_s / 3600:,.0f}",
        f"machines of {MACHINE_CORES} cores": (
            f"{machines}, done in {'a day' if days == 1 else f'{days} days'}"
        ),
        "photos/s": f"{per_s:,.0f}",
        "read from the store": (
            f"{mb / 1e6:,.0f} TB, {8e-3 * result['mean_file_mb'] * per_s:,.1f} Gbit/s"
        ),
        "requests to it": f"{photos * REQUESTS_PER_PHOTO / 1e6:,.0f} million",
        "results": f"{photos * result['result_bytes_per_photo'] / 1e9:,.1f} GB",
        "files of results (5,000 photos each)": f"{photos // 5000:,}",
        "names in the driver's memory": f"{driver_gb:,.1f} GB; none from tables",
    }


def _span(cost: dict[str, float], digits: int) -> str:
    return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(
        cost["median"], cost["low"], cost["high"], d=digits
    )


def page() -> str:
    """The page with its worked example made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    recorded = json.loads((HERE / "per_photo.json").read_text(encoding="utf-8"))
    return before + example(recorded) + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
