"""Write the page of the model `quality` from its card and the recorded results.

python recipes/quality/write_page.py > docs/models/quality.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from siamese_nima.scoring.model_file import read_card

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "src" / "siamese_nima" / "models" / "quality.onnx"
SUBSETS = {
    "all": "all",
    "ss01": "ss01, snapshots of many cameras",
    "ss02": "ss02, test shots indoors",
    "ss03": "ss03, Unsplash",
}


def main() -> None:
    """Print the page."""
    card = read_card(MODEL)
    result = json.loads((HERE / "result.json").read_text())
    parts = [
        f"# The model `{card.name}`, version {card.version}",
        "<!-- Made by recipes/quality/write_page.py from the model card and result.json. -->",
        card.description,
        f"MobileNet v1 (`{card.backbone}`), {MODEL.stat().st_size / 1e6:.1f} MB; views "
        f"`{card.view}`; ratings {card.scale}. SHA-256 `{result['model_sha256']}`.",
        "## How well it agrees with people",
        f"On the test split of BIQ2021, {result['test']['all']['photos']:,} photos of scenes that "
        "were not trained on. SRCC and PLCC with 95 % intervals (scenes drawn again); pairs: "
        "share of pairs of one scene, at least .1 of the range 0..1 apart in mean opinion score, "
        "that are ranked as people rank them.",
        _figures(result["test"]),
        _near_copies(),
        "## What it is shown",
        _views(),
        f"Trained, val SRCC: {_tried(result['view_on_val'])}. Chosen: "
        f"`{result['view_on_val']['chosen']}`.",
        "## Training",
        f"{card.training['photos']:,} photos, {card.training['data']}; labels: "
        f"{card.training['labels']}. Fingerprint of the photos: "
        f"`{card.training['fingerprint']}`. {_machine(result)}",
        _curve(result["history"]),
        _blends(result["blends"]),
        f"Recipe: [{card.training['recipe']}](../../{card.training['recipe']}/README.md), "
        f"`{result['command']}`, {result['date'][:10]}.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in card.limits),
        "## Licence and credits",
        card.licence,
        "\n".join(f"- {credit}" for credit in card.credits),
    ]
    print("\n\n".join(part for part in parts if part))


def _figures(test: dict[str, Any]) -> str:
    rows = [
        "| photos | | SRCC | PLCC | KRCC | RMSE (0..1) | same-scene pairs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, part in test.items():
        accuracy, pairs = part["pair_accuracy"], part["pairs"]
        ranked = f"{_interval(accuracy)} ({pairs})" if accuracy else "none"
        rows.append(
            f"| {SUBSETS.get(name, name)} | {part['photos']} | {_interval(part['srcc'])} "
            f"| {_interval(part['plcc'])} | {part['krcc']:.3f} | {part['rmse']:.3f} "
            f"| {ranked} |"
        )
    return "\n".join(rows)


def _near_copies() -> str:
    found = json.loads((HERE / "near_copies.json").read_text())
    left = found["test"]["unlinked"]["all"]
    return (
        "Knowing only which subset a photo is from already gives an SRCC of "
        f"{found['subset_alone_test_srcc']:.2f} over all, so the rows of the subsets say more than "
        "the first one. In ss02, test shots indoors, agreement is weak.\n\n"
        f"An exact search (`recipes/quality/near_copies.py`) finds {found['linked_test_photos']} "
        "test photos that a chain of near-copies still connects with train or val. Without them: "
        f"{left['photos']:,} photos, SRCC {_interval(left['srcc'])}, pairs "
        f"{_interval(left['pair_accuracy'])} ({left['pairs']})."
    )


def _views() -> str:
    path = HERE / "views.json"
    if not path.exists():
        return ""
    table = json.loads(path.read_text())
    rows = [
        f"Frozen ImageNet features and ridge regression, fitted on {table['train_photos']} train "
        f"photos, SRCC on {table['val_photos']} val photos:",
        "",
        "| view policy | all | ss01 | ss02 | ss03 | same-scene pairs |",
        "|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        rows.append(
            f"| `{row['view']}` | {row['srcc']:.3f} | {row['ss01']:.3f} "
            f"| {row['ss02']:.3f} | {row['ss03']:.3f} | {row['pair_accuracy']:.3f} |"
        )
    return "\n".join(rows)


def _curve(history: list[dict[str, float]]) -> str:
    rows = [
        "| stage | epoch | EMD train | EMD val | SRCC val | PLCC val |",
        "|---|---|---|---|---|---|",
    ]
    for epoch in history:
        rows.append(
            f"| {epoch['stage']:.0f} | {epoch['epoch'] + 1:.0f} | {epoch['train_emd']:.4f} "
            f"| {epoch['val_emd']:.4f} | {epoch['val_srcc']:.4f} | {epoch['val_plcc']:.4f} |"
        )
    return "\n".join(rows)


def _blends(blends: list[dict[str, Any]]) -> str:
    rows = [
        "Share of the second stage's weights in a blend with those before it, and val SRCC. Chosen "
        "by the mean over the subsets: over all photos, SRCC mostly tells the subsets apart.",
        "",
        "| stage | share | all | ss01 | ss02 | ss03 | |",
        "|---|---|---|---|---|---|---|",
    ]
    for blend in blends:
        for share, figures in blend["val_srcc"].items():
            mark = "chosen" if float(share) == blend["chosen"] else ""
            numbers = " | ".join(f"{value:.3f}" for value in figures.values())
            rows.append(f"| {blend['stage']} | {share} | {numbers} | {mark} |")
    other = json.loads((HERE / "result_both_stages.json").read_text())["test"]
    figures = ", ".join(f"{name} {part['srcc']['value']:.3f}" for name, part in other.items())
    rows += [
        "",
        "So the test split was looked at twice. First came the weights after both stages, chosen "
        f"by val SRCC over all photos; their test SRCC: {figures} (`result_both_stages.json`). "
        "That they rank ss03 worse was seen there, then found on val, and led to the choice above.",
    ]
    return "\n".join(rows)


def _tried(view: dict[str, Any]) -> str:
    return ", ".join(f"`{text}` {value:.4f}" for text, value in view["val_srcc"].items())


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    what = machine["accelerator"] or f"{machine['cpu']}, {machine['cores']} cores"
    return f"Machine: {what}."


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


if __name__ == "__main__":
    main()
