"""How well photos of the same thing are told from others, on real photos, and how long it takes.

    python benchmarks/quality/bursts.py --data BIQ2021 --out benchmarks/quality/bursts.json

`burst_pairs.csv` has 260 pairs of BIQ2021, judged once from contact sheets, in random order and
without their figures: does a pair show the same thing from nearly the same place? They were drawn
from

- "neighbours X": pairs of one subset at most 3 apart by number, which is as near to "taken one
  after the other" as this set without times allows, 20 from each range of correlation that begins
  at X (the first: all below .5);
- "copies": pairs that belong together without a time (hash and correlation);
- "copies98": pairs with a correlation above .98 whose hashes are too far apart for that.

Precision and recall weigh each range by its number of pairs; intervals (95 %) come from drawing the
judged pairs of each range again. Also: agreement of the groups without time with the `scene` column
of `recipes/quality/splits.csv`. Scenes were made from thumbnails, too, by a looser rule, so this
says how the two rules differ, not how right either is.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.curation.bursts import BurstRule, Frame, FrameReader, group_frames
from siamese_nima.photos.capture import Capture

HERE = Path(__file__).parent
SPLITS = HERE.parents[1] / "recipes" / "quality" / "splits.csv"
EDGES = (-1.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
NEIGHBOURS = 3
REPEATS = 2000
MANY = 100_000


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with SPLITS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (HERE / "burst_pairs.csv").open(newline="") as file:
        judged = list(csv.DictReader(file))
    images = options.data / "Images"
    frames = [f for f in FrameReader().frames([images / r["file_name"] for r in rows]) if f]
    if len(frames) < len(rows):
        sys.exit(f"{len(rows) - len(frames)} photos of {images} cannot be read")
    result = {
        **provenance(),
        "command": "python benchmarks/quality/bursts.py --data BIQ2021",
        "photos": len(frames),
        "rule": {"similarity": BurstRule().similarity, "window_s": BurstRule().window_s},
        "judged_pairs": len(judged),
        "in_the_window": by_similarity(rows, frames, judged),
        "without_times": copies(rows, frames, judged),
        "grouping": timing(),
    }
    report(result, options.out)


def by_similarity(
    rows: list[dict[str, str]], frames: list[Frame], judged: list[dict[str, str]]
) -> dict[str, Any]:
    """Precision and recall of thresholds on the correlation, among neighbours by number."""
    counts = np.histogram(neighbour_correlations(rows, frames), [*EDGES, 1.01])[0]
    same = [
        np.array([int(p["same"]) for p in judged if p["drawn_from"] == f"neighbours {max(e, 0):g}"])
        for e in EDGES
    ]
    generator = np.random.default_rng(0)
    shares = np.array([part.mean() for part in same])
    drawn = np.array([generator.choice(part, (REPEATS, len(part))).mean(axis=1) for part in same])
    figures = {}
    for place, edge in enumerate(EDGES[1:], start=1):
        precision, recall = quality(counts, shares, place)
        precisions, recalls = quality(counts[:, np.newaxis], drawn, place)
        figures[f"{edge:g}"] = {
            "precision": rounded(precision),
            "precision_95": [rounded(x) for x in np.quantile(precisions, (0.025, 0.975))],
            "recall": rounded(recall),
            "recall_95": [rounded(x) for x in np.quantile(recalls, (0.025, 0.975))],
        }
    ranges = {
        f"{edge:g}": {"pairs": int(n), "judged": len(part), "same": int(part.sum())}
        for edge, n, part in zip(EDGES, counts, same, strict=True)
    }
    return {"by_similarity": figures, "ranges": ranges}


def quality(counts: Any, shares: Any, place: int) -> tuple[Any, Any]:
    """Precision and recall of taking all ranges from `place` on."""
    true = counts * shares
    return (
        true[place:].sum(axis=0) / counts[place:].sum(axis=0),
        true[place:].sum(axis=0) / true.sum(axis=0),
    )


def neighbour_correlations(rows: list[dict[str, str]], frames: list[Frame]) -> NDArray[Any]:
    """Correlations of all pairs of one subset whose numbers are at most `NEIGHBOURS` apart."""
    numbers = [int(row["file_name"].partition("(")[2].partition(")")[0]) for row in rows]
    subsets = [row["subset"] for row in rows]
    place = {key: i for i, key in enumerate(zip(subsets, numbers, strict=True))}
    return np.array(
        [
            frames[i].thumbnail @ frames[j].thumbnail
            for (subset, number), i in place.items()
            for step in range(1, NEIGHBOURS + 1)
            if (j := place.get((subset, number + step))) is not None
        ]
    )


def copies(
    rows: list[dict[str, str]], frames: list[Frame], judged: list[dict[str, str]]
) -> dict[str, Any]:
    """What belongs together without times: judged pairs, and agreement with scenes."""
    same = [int(pair["same"]) for pair in judged if pair["drawn_from"] == "copies"]
    groups = group_frames(frames, BurstRule())
    scenes = [row["scene"] for row in rows]
    both = pairs_within(list(zip(groups, scenes, strict=True)))
    return {
        "judged": len(same),
        "same": sum(same),
        "pairs_in_groups": pairs_within(groups),
        "pairs_in_scenes": pairs_within(scenes),
        "pairs_in_both": both,
    }


def pairs_within(labels: list[Any]) -> int:
    """How many pairs have equal labels."""
    return sum(n * (n - 1) // 2 for n in Counter(labels).values())


def timing() -> dict[str, Any]:
    """Processor seconds to group many frames: scenes of four, half of them without times."""
    generator = np.random.default_rng(0)
    frames = []
    for scene in range(MANY // 4):
        centre = generator.normal(size=256)
        scene_hash = generator.integers(0, 2**63, dtype=np.uint64)
        for shot in range(4):
            drawn = centre + 0.2 * generator.normal(size=256)
            look = (drawn / np.linalg.norm(drawn)).astype(np.float32)
            taken = None if scene % 2 else Capture(60.0 * scene + shot)
            frames.append(Frame(f"{scene}-{shot}.jpg", scene_hash, look, taken))
    started = time.process_time()
    groups = group_frames(frames, BurstRule())
    seconds = time.process_time() - started
    return {"frames": MANY, "cpu_seconds": round(seconds, 1), "groups": len(set(groups))}


def rounded(value: float) -> float:
    """Three decimals."""
    return round(float(value), 3)


if __name__ == "__main__":
    main()
