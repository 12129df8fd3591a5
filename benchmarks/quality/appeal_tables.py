"""The tables of `appeal`: what ways to train its head and other features are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Table = list[list[str]]

CATEGORIES = {
    "all": "all",
    "Person": "people",
    "Scene": "scenes",
    "Animal": "animals",
    "Object": "objects",
}
SOURCES = {
    "500px_cc0": "500px",
    "aadb": "aadb",
    "koniq10k": "koniq10k",
    "own": "own",
    "pixabay_first50k": "pixabay",
}
# The published figures of idealo's aesthetic NIMA on the study's photos in full size.
IDEALO = (0.575, 0.563, 0.437, 0.480, 0.450)


def appeal_tables(found: Mapping[str, Any]) -> dict[str, Table]:
    """From appeal.json, by name: OASIS by theme, the study by source, each set by the other."""
    themes = [["second stage", *CATEGORIES.values(), "decisions", "spread"]]
    for row in found["themes"]:
        figures = [_cell(row[name], interval=name == "all") for name in CATEGORIES]
        spread = "-" if row["name"] == "ridge" else f"{row['spread']:.2f}"
        themes.append([row["name"], *figures, f"{100 * row['decisions']:.1f} %", spread])
    published = "idealo's aesthetic NIMA on the full-size photos (published)"
    mean = f"{sum(IDEALO) / len(IDEALO):.3f}"
    sources = [
        ["second stage", *SOURCES.values(), "mean"],
        [published, *(f"{value:.3f}" for value in IDEALO), mean],
    ]
    for row in found["sources"]:
        figures = [_cell(row[name], interval=True) for name in SOURCES]
        sources.append([row["name"], *figures, f"{row['mean']:.3f}"])
    sets = [["second stage", "OASIS", *SOURCES.values()]]
    for row in found["sets"]:
        figures = [_cell(row[name], interval=False) for name in SOURCES]
        sets.append([row["name"], _cell(row.get("oasis", {}), interval=True), *figures])
    return {"appeal_themes": themes, "appeal_sources": sources, "appeal_sets": sets}


def feature_tables(found: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Table]:
    """What other features and more photos are worth, beside `appeal` 3's features on both sets.

    Args:
        found: appeal_features.json.
        more: appeal_more.json.
    """
    ways = [["features", "OASIS", "gain", "the study", "gain", "OASIS alone", "gain", "tastes"]]
    for row in found["ways"]:
        figures = []
        for name in ("oasis", "study", "alone"):
            known = name in row
            figures += [f"{row[name]:.3f}", _gain(row["gain"][name])] if known else ["-", "-"]
        ways.append([row["name"], *figures, f"{100 * row['tastes']:.1f} %"])
    photos = [["more photos", "weight of each", "OASIS", "gain", "the study", "gain"]]
    for row in more["rows"]:
        cells = [
            cell
            for part in ("oasis", "study")
            for cell in (f"{row[part]:.3f}", _gain(row[f"{part} gain"]))
        ]
        photos.append([row["name"], f"{row['weight']:g}", *cells])
    return {"appeal_features": ways, "appeal_more": photos}


def _gain(values: Sequence[float]) -> str:
    value, low, high = values
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" if low or high else "-"


def _cell(part: Mapping[str, float], *, interval: bool) -> str:
    if not part:
        return "-"
    value = f"{part['srcc']:.3f}"
    return value + (f" [{part['low']:.2f}, {part['high']:.2f}]" if interval else "")
