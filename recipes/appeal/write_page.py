"""Write the page of the model `appeal` from its card and the recorded results.

python recipes/appeal/write_page.py > docs/models/appeal.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from siamese_nima.card import ModelCard
from siamese_nima.scoring.model import read_card

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODEL = ROOT / "src" / "siamese_nima" / "models" / "appeal.onnx"
EVIDENCE_ONE = ROOT / "benchmarks" / "quality" / "appeal_one_backbone.json"
EVIDENCE = ROOT / "benchmarks" / "quality" / "appeal_sources.json"


def main() -> None:
    """Print the page."""
    card = read_card(MODEL)
    result = json.loads((HERE / "result.json").read_text())
    evidence = json.loads(EVIDENCE.read_text())
    whole = result["figures"]["all"]
    close = card.pair_error.closest_call() if card.pair_error else None
    parts = [
        f"# The model `{card.name}`, version {card.version}",
        "<!-- Made by recipes/appeal/write_page.py from the model card and recorded results. -->",
        card.description,
        f"MobileNet v1 (`{card.backbone}`){_beside(card)}, features of several depths, "
        f"{MODEL.stat().st_size / 1e6:.1f} MB; view `{card.view}`, enlarged "
        f"{card.backbone_options['enlarge']} times inside the network; ratings {card.scale}. "
        f"SHA-256 `{result['model_sha256']}`.",
        "    nima score --model appeal PHOTOS",
        "## How well it agrees with people",
        "One source is left out, the others train the head, the photos of the source left out are "
        "scored. What there is to choose is chosen within the four sources trained on. SRCC with "
        "95 % intervals.",
        sources_table(evidence),
        f"Row `{result['arm']}` is how the model is made. idealo's model was given the photos in "
        "full size; all other rows see 80 x 80 pixels of them.",
        _before(result["arm"], evidence),
        f"Over all {whole['photos']} photos, each scored without its source: SRCC "
        f"{_interval(whole['srcc'])}, PLCC {_interval(whole['plcc'])}, RMSE {whole['rmse']:.2f} "
        "rating points.",
        _close(close),
        "## Training",
        f"{card.training['data']}; labels: {card.training['labels']}. The backbones keep their "
        "ImageNet weights; only the head is trained. Chosen on all sources: "
        + _chosen(result["chosen"])
        + f" Fingerprint of the photos: `{card.training['fingerprint']}`.",
        f"Recipe: [{card.training['recipe']}](../../{card.training['recipe']}/README.md), "
        f"`{result['command']}`, {result['date'][:10]}, {result['machine']['cpu']}.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in card.limits),
        "## Licence and credits",
        card.licence,
        "\n".join(f"- {credit}" for credit in card.credits),
    ]
    print("\n\n".join(part for part in parts if part))


def _beside(card: ModelCard) -> str:
    beside = card.backbone_options.get("beside")
    return f" and EfficientNet-Lite2 (`{beside['name']}`) side by side" if beside else ""


def _before(arm: str, evidence: dict[str, Any]) -> str:
    """What the second backbone adds."""
    one = json.loads(EVIDENCE_ONE.read_text())
    earlier, now = (_row(arm, found) for found in (one, evidence))
    theirs = evidence["rows"][0]
    sure = [
        name
        for name, part in now["sources"].items()
        if part["low"] > theirs["sources"][name]["srcc"]
    ]
    return (
        f"It is above idealo's on {now['above_idealo']} of the five sources (by more than the "
        f"interval on {' and '.join(sure) or 'none'}), {now['mean']:.3f} against "
        f"{theirs['mean']:.3f} in the mean. With MobileNet alone, as in version 1, the mean is "
        f"{earlier['mean']:.3f}, above on {earlier['above_idealo']} "
        "(`benchmarks/quality/appeal_one_backbone.json`)."
    )


def _row(name: str, evidence: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in evidence["rows"] if row["name"] == name)


def sources_table(evidence: dict[str, Any]) -> str:
    """SRCC by source left out, one row per way to train."""
    names = list(evidence["rows"][0]["sources"])
    rows = [
        "| | " + " | ".join(names) + " | mean |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for row in evidence["rows"]:
        cells = [_cell(row["sources"][name]) for name in names]
        rows.append(f"| {row['name']} | " + " | ".join(cells) + f" | {row['mean']:.3f} |")
    return "\n".join(rows)


def _cell(part: dict[str, float]) -> str:
    if "low" not in part:
        return f"{part['srcc']:.3f}"
    return f"{part['srcc']:.3f} [{part['low']:.2f}, {part['high']:.2f}]"


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _chosen(choice: dict[str, Any]) -> str:
    levels = ", ".join(f"`{level}`" for level in choice["levels"]) or "none"
    prior = f"with weight {choice['prior']}" if choice["prior"] else "not used"
    return (
        f"blocks read beside the pooled features {levels}; what BIQ2021 teaches {prior}; penalty "
        f"{choice['penalty']}."
    )


def _close(gap: float | None) -> str:
    if gap is None:
        return (
            "At no gap of scores is the order of two photos of one source right in four of five "
            "cases for sure: all pairs are too close to call."
        )
    return (
        f"Two photos of one source less than {gap:.2f} points apart are too close to call: below "
        "that, people's order is met in fewer than four of five cases (lower bound)."
    )


if __name__ == "__main__":
    main()
