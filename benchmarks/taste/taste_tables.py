"""Tables and the picture of tastes in docs/results.md, from the recorded JSON files.

`benchmarks/quality/write_results.py` puts them into the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
NEW, SCENE, AMONG = "new photos", "new photos, same scene", "photos asked among"
WAYS = {
    "random": "random pairs",
    "active": "pairs that tell most by scores and answers",
    "picked": "every second of these random: `nima pick` before it has looked",
    "seen": "pairs that tell most by what the network sees: `nima pick`",
}
JUDGED = {
    "all or half of them random": ("random", "picked"),
    "none of them random": ("active", "seen"),
}
COLOURS = {"random": "#4477aa", "active": "#ee6677", "picked": "#aa8800", "seen": "#228833"}
METHODS = {
    "general": "none: the general model",
    "tilt": "**tilt of averages of all depths (shipped)**",
    "tilt, last features": "tilt of what the head reads alone",
    "strengths, ridge 0.3": "strengths, then ridge (.3) on all depths",
    "strengths, ridge 3": "strengths, then ridge (3)",
    "strengths, ridge 30": "strengths, then ridge (30)",
    "head, EMD 1": "Siamese stage, head alone, EMD weight 1",
    "head, EMD 10": "Siamese stage, head alone, EMD weight 10",
    "last block, EMD 1": "Siamese stage, last block, EMD weight 1",
    "last block, EMD 10": "Siamese stage, last block, EMD weight 10",
}
# Of Student's distribution, 95 %, by the number of people.
_STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
Runs = Sequence[Mapping[str, Any]]
Table = list[list[str]]


def taste_tables(root: Path) -> dict[str, str]:
    """The tables by name."""
    folder = root / "benchmarks" / "taste"
    found = json.loads((folder / "answers.json").read_text())
    others = json.loads((folder / "new_people.json").read_text())
    compared = json.loads((folder / "ways.json").read_text())
    people = max(len(runs) for runs in found["tastes"].values())
    whole = json.loads((folder / "whole_way.json").read_text())
    texts = {
        "taste_gain": _markdown(_gain(found["tastes"])),
        "taste_pairs": _markdown(_pairs(found["tastes"])),
        "taste_new_people": _markdown(_new_people(others["tastes"])),
        "taste_verdicts": _markdown(_verdicts(found["tastes"])),
        "taste_methods": _markdown(_methods(compared["tastes"])),
    }
    texts["taste_provenance"] = (
        f"Measured {found['date']} on {found['machine']['cpu']}, {found['machine']['cores']} "
        f"cores, with `{found['model']}` and {people} people per taste, by "
        f"`benchmarks/taste/answers.py`. `nima learn` took {whole['seconds']:.0f} s for "
        f"{whole['answers']} answers about {whole['photos']} photos, start-up included "
        f"({whole['date']}, `benchmarks/taste/whole_way.py`)."
    )
    return texts


def after(runs: Runs, way: str, count: int, read: Callable[[Any], Any]) -> list[Any]:
    """A value of each person after so many answers."""
    steps = [{s["answers"]: s for s in run["ways"].get(way, ())} for run in runs]
    return [read(step[count]) for step in steps if count in step]


def _gain(tastes: Mapping[str, Runs]) -> Table:
    counts = (25, 50, 100, 200, 400, 800)
    rows = [
        ["taste", "pairs of", "general", *(f"{count} answers" for count in counts), "gain at 200"]
    ]
    for name, runs in tastes.items():
        for kind in (NEW, SCENE):
            if kind not in runs[0]["general"]:
                continue
            general = [run["general"][kind] for run in runs]
            read = partial(_agreement, kind=kind)
            learnt = [after(runs, "random", count, read) for count in counts]
            gain = _spread(np.subtract(learnt[3], general))
            means = [f"{np.mean(values):.3f}" for values in (general, *learnt)]
            rows.append([name, kind, *means, gain])
    return rows


def _pairs(tastes: Mapping[str, Runs]) -> Table:
    rows = [
        [
            "taste",
            "pairs asked",
            "50 answers",
            "100",
            "200",
            "400",
            "answers for what 200 random give",
        ]
    ]
    for name, runs in tastes.items():
        goal = np.mean(after(runs, "random", 200, _on_new))
        for way, words in WAYS.items():
            values = [after(runs, way, n, _on_new) for n in (50, 100, 200, 400)]
            means = [f"{np.mean(v):.3f}" if v else "" for v in values]
            rows.append([name, words, *means, _needed(runs, way, float(goal))])
    return rows


def _new_people(tastes: Mapping[str, Runs]) -> Table:
    counts = (50, 100, 120, 200)
    head = [f"{count}{' answers' * (count == counts[0])}" for count in counts]
    more = ["answers for what 200 random give", "120 less 200 random", "gain at 200, same scene"]
    rows = [["taste", "pairs asked", *head, *more]]
    for name, runs in tastes.items():
        goals = after(runs, "random", 200, _on_new)
        for way in ("random", "seen"):
            means = [f"{np.mean(after(runs, way, n, _on_new)):.3f}" for n in counts]
            less = _spread(np.subtract(after(runs, way, 120, _on_new), goals))
            scene = ""
            if SCENE in runs[0]["general"]:
                general = [run["general"][SCENE] for run in runs]
                found = after(runs, way, 200, partial(_agreement, kind=SCENE))
                scene = _spread(np.subtract(found, general))
            needed = _needed(runs, way, float(np.mean(goals)))
            rows.append([name, WAYS[way], *means, needed, less, scene])
    return rows


def _needed(runs: Runs, way: str, goal: float) -> str:
    """Answers after which the mean reaches the goal, on a straight line between measured ones."""
    general = np.mean([run["general"][NEW] for run in runs])
    if goal - general < 0.01:
        return "no gain to reach"
    counts = [s["answers"] for s in runs[0]["ways"][way]]
    means = [float(np.mean(after(runs, way, n, _on_new))) for n in counts]
    before, value = 0, float(general)
    for count, mean in zip(counts, means, strict=True):
        if mean >= goal:
            return f"{before + (count - before) * (goal - value) / (mean - value):.0f}"
        before, value = count, mean
    return f"more than {counts[-1]}"


def _verdicts(tastes: Mapping[str, Runs]) -> Table:
    counts = (50, 100, 200, 400)
    head = ["taste", "pairs asked", "gain in truth at 200"]
    rows = [[*head, *(f"said better, {count} answers" for count in counts)]]
    for name, runs in tastes.items():
        for words, ways in JUDGED.items():
            truth = [
                _on_new(step) - run["general"][NEW]
                for run in runs
                for way in ways
                for step in run["ways"].get(way, ())
                if step["answers"] == 200
            ]
            cells = []
            for count in counts:
                said = [v for way in ways for v in after(runs, way, count, _verdict)]
                cells.append(f"{said.count('better')} of {len(said)}")
            rows.append([name, words, f"{min(truth):+.3f} to {max(truth):+.3f}", *cells])
    return rows


def _methods(tastes: Mapping[str, Runs]) -> Table:
    present = {name: runs for name, runs in tastes.items() if runs}
    people = " or ".join(sorted({str(len(runs)) for runs in present.values()}))
    rows = [["learnt by", *(f"{name}" for name in present), "processor time, s"]]
    for method, words in METHODS.items():
        cells = [
            f"{np.mean([run['new photos'][method] for run in runs]):.3f}"
            for runs in present.values()
        ]
        seconds = [run["seconds"].get(method) for runs in present.values() for run in runs]
        known = [s for s in seconds if s is not None]
        rows.append([words, *cells, f"{np.median(known):.1f}" if known else ""])
    rows[0][0] += f" ({people} people)"
    return rows


def draw_tastes(root: Path, path: Path) -> None:
    """Agreement by number of answers, a panel per taste; bands from the lowest to the highest."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    tastes = json.loads((root / "benchmarks" / "taste" / "answers.json").read_text())["tastes"]
    figure, panels = plt.subplots(2, 2, figsize=(9, 7), sharex=True, layout="constrained")
    for panel, (name, runs) in zip(panels.flat, tastes.items(), strict=True):
        general = 100 * np.mean([run["general"][NEW] for run in runs])
        panel.axhline(general, color="#555555", linestyle="--", lw=1.3, label="the general model")
        for way, words in WAYS.items():
            counts = [s["answers"] for s in runs[0]["ways"].get(way, ())]
            values = 100 * np.array([after(runs, way, n, _on_new) for n in counts])
            label = words.replace("`", "")
            panel.plot(counts, values.mean(axis=1), "o-", ms=4, color=COLOURS[way], label=label)
            low, high = values.min(axis=1), values.max(axis=1)
            panel.fill_between(counts, low, high, color=COLOURS[way], alpha=0.12, linewidth=0)
        panel.set_title(name, fontsize=10, loc="left")
        panel.set_xscale("log", base=2)
        panel.set_xticks([25, 50, 100, 200, 400, 800], ["25", "50", "100", "200", "400", "800"])
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("agreement on new photos, %")
    for panel in panels[1]:
        panel.set_xlabel("answers")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _agreement(step: Mapping[str, Any], kind: str) -> float:
    return float(step["agreement"][kind])


_on_new = partial(_agreement, kind=NEW)


def _verdict(step: Mapping[str, Any]) -> str:
    return str(step["held out"]["verdict"])


def _spread(values: Any) -> str:
    half = _STUDENT[len(values)] * np.std(values, ddof=1) / len(values) ** 0.5
    mean = np.mean(values)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def _markdown(table: Table) -> str:
    head, *body = table
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
