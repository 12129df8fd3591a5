"""Fill the tables of docs/results.md from the recorded JSON files, and draw its plots.

    python benchmarks/quality/write_results.py

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the words around are by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from appeal_tables import appeal_tables, feature_tables

from machine import commit_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "results.md"
PLOTS = ROOT / "docs" / "images"
HEAD, LAST_BLOCK = "blocks.4", "blocks.4.0"
FREE = {
    HEAD: "the head alone",
    LAST_BLOCK: "the last block",
    "blocks.3": "the last stage",
    "blocks.2": "the last two stages",
    "blocks.0": "then all but the first block, views of 256",
}

ARMS = {
    "nima": "none: the NIMA stage alone",
    "control": "control: more of the NIMA stage",
    "contrastive": "contrastive",
    "contrastive+emd": "contrastive + EMD",
    "margin": "margin",
    "margin+emd": "margin + EMD",
    "preference": "preference",
    "preference+emd": "preference + EMD",
    "preference+emd, scene": "preference + EMD, pairs within scenes",
    "preference+emd, hard": "preference + EMD, hard pairs",
    "preference+emd, ladders": "preference + EMD, with ladders",
    "preference, doubt": "preference with doubt",
    "preference+emd, doubt": "preference with doubt + EMD",
    "preference+emd, doubt, ladders": "preference with doubt + EMD, with ladders",
}
BACKBONES = {
    "mobilenetv1_100": "MobileNet v1",
    "mobilenetv2_100": "MobileNet v2",
    "tf_efficientnet_lite0": "EfficientNet-Lite0",
    "tf_efficientnet_lite2": "EfficientNet-Lite2",
}
FIGURES = ("test", "ss01", "ss02", "ss03", "same-scene pairs", "ladder steps", "spread")
STAGES = {
    "nima": "NIMA stage, last stages free",
    "siamese": "Siamese stage, the same free",
    "last": "Siamese stage, more layers free",
}
MODELS = {
    "mobilenet.json": ("version 2: MobileNet v1", "warp:224+centre:224@512"),
    "efficientnet.json": ("version 3: EfficientNet-Lite0", "warp:288+centre:288@512"),
    "result.json": ("**version 4**: its early blocks read, too", "warp:288+centre:288@512"),
}
DISTORTIONS = ("blur", "noise", "jpeg", "downscale", "underexposure", "overexposure")
EXPOSURE = (
    *("SRCC", "ss01", "ss02", "ss03", "same-scene pairs", "1.9 stops over", "3.6 stops over"),
    *("steps over", "steps under", "`chelsea-bright`", "`coffee-bright`"),
)
LADDER_ARMS = tuple(name for name in ARMS if name.endswith("ladders"))
Figure = Mapping[str, Any]
Table = list[list[str]]


def tables(root: Path = ROOT) -> dict[str, str]:
    """The tables of the page by name, from the recorded files."""
    quality = root / "benchmarks" / "quality"
    stages = json.loads((quality / "siamese_stage.json").read_text())
    model = json.loads((root / "recipes" / "quality" / "result.json").read_text())
    third = json.loads((root / "recipes" / "quality" / "efficientnet.json").read_text())
    exposure = json.loads((quality / "exposure.json").read_text())
    depths = stages["depths"]
    made: dict[str, Callable[[], Table]] = {
        "depths": lambda: _depths(depths),
        "shares": lambda: _shares(stages),
        "bars": lambda: _bars(model),
        "models": lambda: _models(root / "recipes" / "quality"),
        "model_stages": lambda: _model_stages(third),
        "ss02": lambda: _ss02(json.loads((quality / "ss02_signal.json").read_text())),
        "exposure_found": lambda: _exposure_found(exposure),
        "exposure_kadid": lambda: _exposure_kadid(exposure),
        "exposure_quality": lambda: _exposure_quality(exposure["quality"]),
        "exposure_heads": lambda: _exposure_heads(
            json.loads((quality / "exposure_head.json").read_text())
        ),
        "exposure_statistics": lambda: _exposure_statistics(
            json.loads((quality / "exposure_statistics.json").read_text())
        ),
        "exposure_blocks": lambda: _exposure_blocks(
            json.loads((quality / "exposure_blocks.json").read_text())
        ),
        "scene_pairs": lambda: _scene_pairs(json.loads((quality / "scene_pairs.json").read_text())),
        "views": lambda: _views(json.loads((root / "recipes/quality/views.json").read_text())),
        "lite_sizes": lambda: _sizes(json.loads((quality / "lite_sizes.json").read_text())),
    }
    for name, depth in (("head", HEAD), ("block", LAST_BLOCK)):
        arms = depths[depth]
        made |= {
            f"{name}_arms": partial(_arms, arms),
            f"{name}_differences": partial(_differences, arms),
        }
    made |= {
        "head_gaps": partial(_gaps, depths[HEAD]),
        "head_ladders": partial(_ladders, depths[HEAD], model),
    }
    texts = {name: _markdown(table()) for name, table in made.items()}
    texts["provenance"] = (
        f"Measured {stages['date']} on {stages['machine']['cpu']}, {stages['machine']['cores']} "
        f"cores, {commit_of(stages)}, by `{stages['command']}`."
    )
    of_appeal = appeal_tables(json.loads((quality / "appeal.json").read_text()))
    features, more = (
        json.loads((quality / f"appeal_{name}.json").read_text()) for name in ("features", "more")
    )
    of_appeal |= feature_tables(features, more)
    for name, run in (("features", features), ("more", more)):
        texts[f"appeal_{name}_made"] = (
            f"`{run['command']}`, {run['date']}, {run['machine']['cpu']}, commit {run['commit']} "
            f"(`benchmarks/quality/appeal_{name}.json`)."
        )
    return texts | {name: _markdown(table) for name, table in of_appeal.items()}


def filled(page: str, texts: Mapping[str, str]) -> str:
    """The page with every table in its place; one that is not recorded stays as it is."""

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        body = texts.get(name)
        if body is None:
            return match[0]
        return f"<!-- table: {name} -->\n\n{body}\n\n<!-- end -->"

    pattern = r"<!-- table: (?P<name>\w+) -->\n.*?<!-- end -->"
    return re.sub(pattern, replaced, page, flags=re.DOTALL)


def main() -> None:
    """Write page and plots."""
    PAGE.write_text(filled(PAGE.read_text(), tables()))
    stages = json.loads((HERE / "siamese_stage.json").read_text())
    PLOTS.mkdir(exist_ok=True)
    draw_differences(stages["depths"][HEAD], PLOTS / "siamese-differences.png")
    draw_ladders(stages["depths"][HEAD], PLOTS / "ladder-steps.png")


def draw_differences(arms: Mapping[str, Any], path: Path) -> None:
    """What each objective adds to the control, with intervals, one panel per figure."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in ARMS if "minus_control" in arms.get(name, {}) and name != "nima"]
    panels = {
        "srcc": "SRCC, all photos",
        "srcc_within": "SRCC, mean of the subsets",
        "pairs": "share of pairs in order",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 3.4), sharey=True)
    for axis, (key, title) in zip(axes, panels.items(), strict=True):
        for row, name in enumerate(names):
            found = arms[name]["minus_control"][key]
            colour = "tab:blue" if _clear(found) else "tab:gray"
            axis.plot([found["low"], found["high"]], [row, row], color=colour, lw=2)
            axis.plot(found["value"], row, "o", color=colour)
            axis.plot(found["seeds"], [row] * len(found["seeds"]), "|", color="black", ms=7)
        axis.axvline(0, color="black", lw=0.8)
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), [ARMS[name] for name in names], fontsize=9)
    axes[0].invert_yaxis()
    figure.supxlabel("difference to the control, same number of epochs", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_ladders(arms: Mapping[str, Any], path: Path) -> None:
    """Share of ladder steps in order per distortion, without and with ladders in training."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [n for n in ("nima", "preference+emd", *LADDER_ARMS) if n in arms]
    figure, axis = plt.subplots(figsize=(8, 3.4))
    for place, name in enumerate(shown):
        shares = [100 * arms[name]["ladders"][f"steps_{kind}"]["value"] for kind in DISTORTIONS]
        places = [i + (place - (len(shown) - 1) / 2) * 0.21 for i in range(len(DISTORTIONS))]
        axis.bar(places, shares, width=0.2, label=ARMS[name])
    axis.set_ylim(0, 100)
    axis.set_ylabel("steps in order, %", fontsize=9)
    axis.set_xticks(range(len(DISTORTIONS)), DISTORTIONS, fontsize=9)
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _arms(arms: Mapping[str, Any]) -> Table:
    heads = ("SRCC", "ss01", "ss02", "ss03", "same-scene pairs", "all pairs", "EMD", "RMSE (0..1)")
    rows = [["second stage", "seeds", *heads, "spread"]]
    for name, arm in _present(arms):
        test = arm["test"]
        keys = ("srcc_ss01", "srcc_ss02", "srcc_ss03", "same_scene_pairs", "pairs", "emd", "rmse")
        figures = [_interval(test["srcc"]), *(_short(test[key]) for key in keys)]
        rows.append([ARMS[name], str(len(arm["seeds"])), *figures, _short(test["spread_ratio"])])
    return rows


def _differences(arms: Mapping[str, Any]) -> Table:
    keys = {
        "srcc": "SRCC",
        "srcc_within": "SRCC within subsets",
        "pairs": "all pairs",
        "emd": "EMD",
    }
    rows = [["less the control", *keys.values(), "ladder steps"]]
    for name, arm in _present(arms):
        if "minus_control" in arm:
            found = [arm["minus_control"][key] for key in keys]
            found.append(arm["ladders_minus_control"]["steps"])
            rows.append([ARMS[name], *(_difference(figure) for figure in found)])
    return rows


def _gaps(arms: Mapping[str, Any]) -> Table:
    keys = [key for key in arms["control"]["test"] if re.match(r"pairs_[\d.]", key)]
    heads = [key.removeprefix("pairs_").replace("_", " to ") for key in keys]
    rows = [["second stage", *heads]]
    for name, arm in _present(arms):
        rows.append([ARMS[name], *(_short(arm["test"][key]) for key in keys)])
    return rows


def _ladders(arms: Mapping[str, Any], model: Mapping[str, Any]) -> Table:
    rows = [["second stage", *DISTORTIONS, "all steps", "all pairs of rungs"]]
    for name, arm in _present(arms):
        found = arm["ladders"]
        keys = [*(f"steps_{kind}" for kind in DISTORTIONS), "steps", "pairs"]
        rows.append([ARMS[name], *(_percent(found[key]["value"]) for key in keys)])
    own = model["ladders"]
    rows.append(
        ["the model `quality`"]
        + [_percent(own["steps_by_distortion"][kind]) for kind in DISTORTIONS]
        + [_percent(own["steps"]), _percent(own["pairs"])]
    )
    return rows


def _depths(depths: Mapping[str, Any]) -> Table:
    rows = [["free to learn", "second stage", "seeds", "SRCC", "ss01", "ss02", "ss03", "pairs"]]
    for depth, arms in ((depth, depths[depth]) for depth in FREE if depth in depths):
        for name in ("nima", "control", "preference+emd", "preference+emd, doubt", *LADDER_ARMS):
            if name in arms:
                test = arms[name]["test"]
                keys = ("srcc_ss01", "srcc_ss02", "srcc_ss03", "pairs")
                figures = [_interval(test["srcc"]), *(_short(test[key]) for key in keys)]
                rows.append([FREE[depth], ARMS[name], str(len(arms[name]["seeds"])), *figures])
    return rows


def _shares(stages: Mapping[str, Any]) -> Table:
    """The NIMA stage by number of training photos, as many steps with each."""
    rows = [
        ["free to learn", "photos", "seeds", "SRCC", "ss01", "ss02", "ss03", "same-scene pairs"]
    ]
    depths, photos = stages["depths"], stages["photos"]["train"]
    for depth in (HEAD, LAST_BLOCK):
        shares = {float(name.split("@")[1]): name for name in depths if f"{depth}@0" in name}
        if not shares:
            continue
        for share, name in [*sorted(shares.items()), (1.0, depth)]:
            arm = depths[name]["nima"]
            keys = ("srcc_ss01", "srcc_ss02", "srcc_ss03", "same_scene_pairs")
            figures = [_interval(arm["test"]["srcc"]), *(_short(arm["test"][key]) for key in keys)]
            count = f"{round(share * photos):,}"
            rows.append([FREE[depth], count, str(len(arm["seeds"])), *figures])
    return rows


def _bars(model: Mapping[str, Any]) -> Table:
    test = model["test"]
    reached = {
        "SRCC, all photos": (test["all"]["srcc"], 0.885),
        "SRCC, ss02 (test shots indoors)": (test["ss02"]["srcc"], 0.45),
        "SRCC, ss03 (Unsplash)": (test["ss03"]["srcc"], 0.82),
        "same-scene pairs": (test["all"]["pair_accuracy"], 0.98),
    }
    rows = [["figure of `quality` on test", "found", "aim"]]
    rows += [[name, _interval(found), f"{aim:.3g}"] for name, (found, aim) in reached.items()]
    rows.append(["ladder steps in order", _percent(model["ladders"]["steps"]), "99.0 %"])
    rows.append(
        ["spread of scores to that of labels", f"{model['spread_ratio']:.2f}", "0.9 to 1.1"]
    )
    return rows


def _models(recipe: Path) -> Table:
    """The embedded model, earlier ones and tries, as their files score the test photos."""
    rows = [["model", "views", "val", *FIGURES]]
    for file, (name, views) in MODELS.items():
        found = json.loads((recipe / file).read_text())
        test = {part: found["test"][part]["srcc"] for part in found["test"]}
        figures = test | {
            "pair_accuracy": found["test"]["all"]["pair_accuracy"],
            "spread_ratio": found["spread_ratio"],
        }
        val = f"{found['calibration']['srcc_after']:.3f}"
        rows.append([name, f"`{views}`", val, *_figures(figures, found["ladders"])])
    return rows


def _exposure_found(exposure: Mapping[str, Any]) -> Table:
    """How people rated photos of BIQ2021 with much blown-out area."""
    found = exposure["found"]
    shares = [row["from"] for row in next(iter(found.values()))]
    rows = [["subset", *(f"from {100 * share:g} %" for share in shares)]]
    for subset, classes in found.items():
        rows.append([subset, *(f"{row['percentile']:.0f} % ({row['photos']})" for row in classes)])
    return rows


def _exposure_kadid(exposure: Mapping[str, Any]) -> Table:
    """Mean opinion scores of KADID-10k by distortion and level."""
    rows = [["distortion", *(f"level {number}" for number in range(1, 6))]]
    for name, scores in exposure["kadid"].items():
        rows.append([name, *(f"{score:.2f}" for score in scores)])
    stops = (f"{value:.1f}" for value in exposure["brightened_stops"])
    return [*rows, ["stops of middle grey, brightened", *stops]]


def _exposure_quality(found: Mapping[str, Any]) -> Table:
    """Mean percentiles of val photos, clean and distorted."""
    rows = [["distortion", "clean", *(f"rung {number}" for number in range(1, 6))]]
    for kind in ("overexposure", "underexposure", "blur"):
        rows.append([kind, *(f"{place:.0f} %" for place in found[kind]["percentiles"])])
    return rows


def _exposure_heads(found: Mapping[str, Any]) -> Table:
    """What heads that learnt exposure reach on val photos, and where exposed ones stand."""
    names = {None: "(version 4)", "itself": "the head's own", "people": "people's"}
    rows = [["ratings of photos", "weight of rungs", *EXPOSURE]]
    for head in found["heads"]:
        weight = f"{head['weight']:g}" if head["teacher"] else ""
        rows.append([names[head["teacher"]], weight, *_on_exposure(head)])
    return rows


def _exposure_statistics(found: Mapping[str, Any]) -> Table:
    """The same of heads that read statistics of the pixels, too."""
    rows = [["hidden units", "weight of rungs", *EXPOSURE]]
    for head in found["heads"]:
        hidden = str(head["hidden"] or "none")
        rows.append([hidden, f"{head['weight']:g}", *_on_exposure(head)])
    return rows


def _exposure_blocks(found: Mapping[str, Any]) -> Table:
    """The same of mixtures of version 4 and what its blocks learnt."""
    rows = [["share of what was learnt", *EXPOSURE]]
    for mixture in found["mixtures"]:
        share = f"{100 * mixture['share']:.0f} %" if mixture["share"] else "0 (version 4)"
        rows.append([share, *_on_exposure(mixture)])
    return rows


def _on_exposure(found: Mapping[str, Any]) -> list[str]:
    over = found["overexposure"]["percentiles"]
    return [
        *(f"{found[key]:.3f}" for key in ("srcc", "ss01", "ss02", "ss03", "same_scene_pairs")),
        *(f"{over[rung]:.0f} %" for rung in (3, 5)),
        *(_percent(found[kind]["steps"]) for kind in ("overexposure", "underexposure")),
        *(f"{found['examples'][name]} %" for name in ("chelsea-bright", "coffee-bright")),
    ]


def _model_stages(model: Mapping[str, Any]) -> Table:
    """Version 3 after each stage of its training, before its head is scaled."""
    rows = [["after the", "val", *FIGURES]]
    for name, stage in model["stages"].items():
        val = _short(stage["val"]["all"])
        rows.append([STAGES[name], val, *_figures(stage["test"], stage["ladders"])])
    return rows


def _figures(test: Mapping[str, Any], ladders: Mapping[str, Any]) -> list[str]:
    return [
        _interval(test["all"]),
        *(_short(test[part]) for part in ("ss01", "ss02", "ss03", "pair_accuracy")),
        _percent(ladders["steps"]),
        f"{test['spread_ratio']:.2f}",
    ]


def _views(found: Mapping[str, Any]) -> Table:
    rows = [["backbone", "view policy", "all", "ss01", "ss02", "ss03", "same-scene pairs"]]
    for row in found["rows"]:
        keys = ("srcc", "ss01", "ss02", "ss03", "pair_accuracy")
        names = BACKBONES[row["backbone"]], f"`{row['view']}`"
        rows.append([*names, *(f"{row[key]:.3f}" for key in keys)])
    return rows


def _sizes(found: Mapping[str, Any]) -> Table:
    heads = ("all", "gain on Lite0", "ss01", "ss02", "ss03", "same-scene pairs", "ms a photo")
    rows = [["network", "features", "channels", *heads]]
    for row in found["rows"]:
        figures = [row[key] for key in ("srcc", "ss01", "ss02", "ss03", "pair_accuracy")]
        first, *others = (f"{one:.3f}" for one in figures)
        value, low, high = row["gain"]
        gain = f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" if any(row["gain"]) else "-"
        name = f"EfficientNet-{row['network'].capitalize()}"
        cells = [name, row["features"], f"{row['channels']:,}", first, gain, *others]
        rows.append([*cells, f"{row['network_ms']:.0f}"])
    return rows


def _ss02(found: Mapping[str, Any]) -> Table:
    version = found["model"].partition("@")[0].rpartition("-")[2]
    rows = [["subset", "statistics", f"version {version}", "mean of both ranks"]]
    for name, subset in found["subsets"].items():
        rows.append([name, *(_interval(subset[key]) for key in ("statistics", "network", "both"))])
    return rows


def _scene_pairs(found: Mapping[str, Any]) -> Table:
    rows = [["gaps of scores", "pairs", "labels in the scores' order", "predicted"]]
    for name, classes in found["calibration"].items():
        for row in classes:
            share = f"{row['right']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
            gaps = f"{name}: {row['from']:g} to {row['to']:g}"
            rows.append([gaps, str(row["pairs"]), share, f"{row['predicted']:.2f}"])
    return rows


def _present(arms: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, arms[name]) for name in ARMS if name in arms)


def _markdown(table: Table) -> str:
    head, *body = table
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _interval(figure: Figure) -> str:
    value = figure.get("value", figure.get("srcc"))
    return f"{value:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _short(figure: Figure) -> str:
    return f"{figure['value']:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _difference(figure: Figure) -> str:
    text = f"{figure['value']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"
    return f"**{text}**" if _clear(figure) else text


def _clear(figure: Figure) -> bool:
    """Whether the interval leaves out 0 and every seed is on that side."""
    above = [figure["low"] > 0, *(seed > 0 for seed in figure["seeds"])]
    below = [figure["high"] < 0, *(seed < 0 for seed in figure["seeds"])]
    return all(above) or all(below)


if __name__ == "__main__":
    main()
