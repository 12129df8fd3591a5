"""Put what people.py and rated_folder.py recorded into docs/taste.md, and draw the curves.

python benchmarks/taste/write_people.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "taste.md"
PICTURE = ROOT / "docs" / "images" / "taste-people.png"
COUNTS = (10, 20, 50, 100)
TOLD = (20, 50, 100)
OTHERS = 60
WAYS = {
    "ratings": "**ratings, with what is known of tastes: `nima learn`**",
    "no prior": "ratings, without what is known",
    "nothing": "ratings alone, without `appeal`",
    "random pairs": "answers to random pairs",
    "chosen pairs": "answers to pairs that `nima pick` chooses",
}
COLOURS = {
    "ratings": "#228833",
    "no prior": "#4477aa",
    "nothing": "#aa3377",
    "random pairs": "#ccbb44",
    "chosen pairs": "#ee6677",
}
Found = Mapping[str, Any]


def main() -> None:
    """Write the page and the picture."""
    found = json.loads((HERE / "people.json").read_text())
    folder = json.loads((HERE / "rated_folder.json").read_text())
    beliefs = json.loads((HERE / "beliefs.json").read_text())
    PAGE.write_text(filled(PAGE.read_text(), text(found, folder, beliefs)))
    draw(found, PICTURE)


def filled(page: str, body: str) -> str:
    """The page with the measured part in its place."""
    pattern = r"<!-- people -->\n.*?<!-- end -->"
    return re.sub(pattern, lambda _: f"<!-- people -->\n\n{body}\n\n<!-- end -->", page, flags=re.S)


def text(found: Found, folder: Found, beliefs: Found) -> str:
    """What was measured, in words and tables."""
    same, other = (found["protocols"][name] for name in ("same subjects", "other subjects"))
    niceness = folder.get("niceness", 0)
    before = f", with priority (niceness {niceness})," if niceness else ""
    general, crowd, learnt = same["general model"], same["crowd"], same["ratings, 100"]
    return "\n\n".join(
        [
            f"Measured on {found['people']} people who rated the beauty of some 145 of "
            f"{found['photos']} photos each (OASIS): people whom nothing had learnt from, photos "
            "that neither the general model nor the tastes had learnt from. SRCC is that of "
            "held-out ratings with scores, the median over people; in brackets 95 %, people drawn "
            "again. "
            f"`appeal` alone reaches {_srcc(general)}, and {_percent(general)} of their decisions "
            f"between two photos; the mean of the other people, {_srcc(crowd)} and "
            f"{_percent(crowd)}, is what a perfect general model could reach. How often people "
            "agree with themselves is not known here.",
            "Median SRCC by the number of ratings or answers; in parentheses the median gain on "
            "`appeal` alone, and the share of people who gain:",
            _table(same),
            f"Pairs were answered by {found['pickers']} of them, too few to tell chosen pairs from "
            "random ones. With 100 ratings "
            f"{_percent(learnt)} of the decisions are met. Where the person has rated nothing of "
            "the same themes, as in a folder of other subjects:",
            _table(other),
            "![Median gain in SRCC by number of ratings or answers](images/taste-people.png)",
            f"`{found['command']}`, {found['date']}, {found['machine']['cpu']}, commit "
            f"{found['commit']} (`benchmarks/taste/people.json`).",
            "What is believed of tastes is not what holds this back. "
            f"{OTHERS} other people ({beliefs['date']}, `people.py --beliefs`, commit "
            f"{beliefs['commit']}), median gain on `appeal` alone and the share of people who gain "
            "with 20, 50 and 100 ratings; the last rows have features that no file of 8 MB holds, "
            "and a general model of these:",
            _beliefs(beliefs),
            f"`nima learn` on a folder of {folder['photos']} photos of 500 x 400 with stars takes "
            f"{folder['processor_seconds']:.0f} s of processor time, which cores share; "
            f"{folder['seconds']:.0f} s passed on {folder['machine']['cores']} cores{before} on "
            f"which {folder['load_average']:.0f} other programs were at work "
            f"(`benchmarks/taste/rated_folder.py`, {folder['date']}).",
        ]
    )


def _srcc(figures: Found) -> str:
    found = figures["srcc"]
    return f"{found['median']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _percent(figures: Found) -> str:
    return f"{100 * figures['agreement']['median']:.0f} %"


def _table(same: Found) -> str:
    lines = [["learnt from", *map(str, COUNTS)], ["---"] * (1 + len(COUNTS))]
    for way, words in WAYS.items():
        cells = [same[f"{way}, {count}"] for count in COUNTS if f"{way}, {count}" in same]
        if cells:
            lines.append([words, *map(_cell, cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _beliefs(found: Found) -> str:
    lines = [["belief", *(f"{count}" for count in TOLD), "20, other subjects", *map(str, TOLD[1:])]]
    lines.append(["---"] * len(lines[0]))
    for row in found["rows"]:
        cells = [
            row[protocol][f"ratings, {count}"]
            for protocol in ("same subjects", "other subjects")
            for count in TOLD
        ]
        gains = [f"{c['gain']['median']:+.3f}, {100 * c['better']:.0f} %" for c in cells]
        lines.append([row["name"], *gains])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(figures: Found) -> str:
    return (
        f"{figures['srcc']['median']:.2f} ({figures['gain']['median']:+.3f}, "
        f"{100 * figures['better']:.0f} %)"
    )


def draw(found: Found, path: Path) -> None:
    """Gain on the general model by number of ratings or answers, with intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True, layout="constrained")
    for panel, (protocol, figures) in zip(panels, found["protocols"].items(), strict=True):
        panel.axhline(0, color="#555555", linestyle="--", lw=1.2, label="appeal alone")
        panel.axhline(
            figures["crowd"]["gain"]["median"], color="#bbbbbb", lw=1.2, label="the mean of others"
        )
        for way, words in WAYS.items():
            steps = [figures.get(f"{way}, {count}") for count in COUNTS]
            if None in steps:
                continue
            gains = [step["gain"] for step in steps if step]
            panel.plot(
                range(len(COUNTS)),
                [gain["median"] for gain in gains],
                "o-",
                ms=4,
                color=COLOURS[way],
                label=re.sub(r"[*`]", "", words),
            )
            panel.fill_between(
                range(len(COUNTS)),
                [gain["low"] for gain in gains],
                [gain["high"] for gain in gains],
                color=COLOURS[way],
                alpha=0.13,
                linewidth=0,
            )
        panel.set_xticks(range(len(COUNTS)), [str(count) for count in COUNTS])
        panel.set_title(protocol, fontsize=10, loc="left")
        panel.set_xlabel("ratings or answers")
        panel.set_ylim(-0.12, 0.22)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("gain in SRCC on appeal alone, median")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
