"""How photos are grouped that a camera took at known times, down to the hundredth of a second.

    python benchmarks/quality/burst_times.py --data FOLDER --out benchmarks/quality/burst_times.json

The recorded run is over the folder `iaa/horses` of VictorBuch/P6-Photo-Culling at commit 2b8fe7d:
3,067 frames of two cameras at horse shows, of which only the times and the grouping are used here.
For neighbours in time, by the time between them: how many there are, and the share that the default
rule puts into one burst. Frames taken within half a second of each other are one press of the
shutter; who pressed it again after five seconds may have turned to another horse, and only looks
can tell.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.curation.bursts import BurstRule, FrameReader, group_frames
from siamese_nima.photos.find import find_photos

EDGES = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, float("inf"))
WINDOWS = (1.0, 3.0, 10.0, 30.0)


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a folder of photos with times")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    paths = find_photos([options.data]).names
    taken = [
        (frame.capture, frame) for frame in FrameReader().frames(paths) if frame and frame.capture
    ]
    taken.sort(key=lambda one: (one[0].camera, one[0].seconds))
    captures, frames = [one[0] for one in taken], [one[1] for one in taken]
    rows = [
        (second.seconds - first.seconds, place)
        for place, (first, second) in enumerate(pairwise(captures))
        if first.camera == second.camera and first.serial_number == second.serial_number
    ]
    alike = [float(first.thumbnail @ second.thumbnail) for first, second in pairwise(frames)]
    result = {
        **provenance(),
        "command": "python benchmarks/quality/burst_times.py --data P6-Photo-Culling/iaa/horses",
        "photos": len(paths),
        "with_times": len(frames),
        "by_window": {},
    }
    for window in WINDOWS:
        groups = group_frames(frames, BurstRule(window_s=window))
        sizes = Counter(Counter(groups).values())
        result["by_window"][f"{window:g} s"] = {
            "bursts": sum(count for size, count in sizes.items() if size > 1),
            "single": sizes[1],
            "largest": max(sizes),
            "neighbours": by_gap(rows, groups, alike),
        }
    report(result, options.out)


def by_gap(
    rows: list[tuple[float, int]], groups: list[int], alike: list[float]
) -> list[dict[str, object]]:
    """Neighbours in time, by the time between them; and how many of them are how much alike."""
    found: list[dict[str, object]] = []
    for low, high in pairwise((-1.0, *EDGES)):
        places = [place for gap, place in rows if low < gap <= high]
        together = [groups[place] == groups[place + 1] for place in places]
        row: dict[str, object] = {"up_to_s": high, "pairs": len(places)}
        row["in_one_burst"] = _share(together)
        row |= {f"alike_above_{x}": _share([alike[p] > x for p in places]) for x in (0.5, 0.8)}
        found.append(row)
    return found


def _share(yes: list[bool]) -> float | None:
    return round(sum(yes) / len(yes), 4) if yes else None


if __name__ == "__main__":
    main()
