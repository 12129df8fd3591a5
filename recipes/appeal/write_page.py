"""Write the page of the model `appeal` from its card and the recorded results.

python recipes/appeal/write_page.py > docs/models/appeal.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from siamese_nima.card import ModelCard
from siamese_nima.scoring.model import read_card

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "quality"))
from appeal_tables import appeal_tables

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODEL = ROOT / "src" / "siamese_nima" / "models" / "appeal.onnx"
EVIDENCE = ROOT / "benchmarks" / "quality" / "appeal.json"


def main() -> None:
    """Print the page."""
    evidence = json.loads(EVIDENCE.read_text())
    print(page(read_card(MODEL), json.loads((HERE / "result.json").read_text()), evidence))


def page(card: ModelCard, result: dict[str, Any], evidence: dict[str, Any]) -> str:
    """docs/models/appeal.md."""
    close = card.pair_error.closest_call() if card.pair_error else None
    parts = [
        f"# The model `{card.name}`, version {card.version}",
        "<!-- Made by recipes/appeal/write_page.py from the model card and recorded results. -->",
        card.description,
        "EfficientNet-Lite0 and the larger part of EfficientNet-Lite2 side by side, "
        f"{MODEL.stat().st_size / 1e6:.1f} MB with a weight in a byte; view `{card.view}`, the "
        f"whole photo; ratings {card.scale}: {card.training['scale']}. SHA-256 "
        f"`{result['model_sha256']}`.",
        "    nima score --model appeal PHOTOS",
        "## How well it agrees with people",
        results(evidence),
        f"Row `{result['arm']}` is how the model is made.",
        _close(close),
        "## `appeal` or `quality`?",
        "`quality` judges how well a photo is made: sharp, clean, well exposed, whatever is in "
        "it. `appeal` judges whether people like the picture, whatever its sharpness. To clear "
        "out a folder take `quality`; to find the pictures worth showing take both: keep the "
        "sharp ones, order them by appeal.",
        "    nima rank holiday/ --top 60% --columns path --quiet --out - | "
        "nima rank - --model appeal\n"
        "    nima rank holiday/ --model appeal,quality --order-by appeal",
        "The first keeps the better 60 % by `quality` and orders these by `appeal`. The second "
        "orders all by `appeal` and shows both scores. Both are on 1..10, but 5 of one is not 5 of "
        "the other. For a taste of your own see [teach it your taste](../taste.md).",
        "## Training",
        f"{card.training['data']}; labels: {card.training['labels']}. The backbones keep their "
        f"ImageNet weights; the head alone is trained. Chosen: `{result['chosen']}`. The file "
        f"also holds {card.training['taste_prior']}, which `nima learn` begins from. Fingerprint "
        f"of the photos: `{card.training['fingerprint']}`.",
        f"Recipe: [{card.training['recipe']}](../../{card.training['recipe']}/README.md), "
        f"{_made(result['provenance'])}.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in card.limits),
        "## Licence and credits",
        card.licence,
        "\n".join(f"- {credit}" for credit in card.credits),
    ]
    return "\n\n".join(part for part in parts if part)


def results(evidence: dict[str, Any]) -> str:
    """The tables, and what they are of."""
    tables = {name: _markdown(table) for name, table in appeal_tables(evidence).items()}
    themes, photos = evidence["draws"]
    return "\n\n".join(
        [
            "SRCC with people's means on photos of OASIS whose theme was held out (five folds; "
            "what there is to choose is chosen inside the others), over all and by category. "
            "`decisions`: of the pairs to which single people gave different ratings, the share "
            "in which the photo with the higher score was preferred. `spread`: of the scores, "
            "people's means having 1. Means of three seeds; in brackets 95 %, themes drawn again.",
            tables["appeal_themes"],
            "The study, one source held out, SRCC with 95 %. All rows but the first see "
            "80 x 80 pixels.",
            tables["appeal_sources"],
            "Each set by a model that saw none of it: what a stranger's photos can expect. The "
            "study has no single people, so nothing but votes teaches OASIS.",
            tables["appeal_sets"],
            "What is held out decides more than how the head is trained. Ridge regression, another "
            f"fifth of the themes of OASIS held out {themes['draws']} times: SRCC "
            f"{themes['mean']:.2f} on average, from {themes['lowest']:.2f} to "
            f"{themes['highest']:.2f}; a fifth of the photos, so that themes are known: "
            f"{photos['mean']:.2f}, from {photos['lowest']:.2f} to {photos['highest']:.2f}.",
            f"{_made(evidence['provenance'])}, {evidence['photos']} photos "
            "(`benchmarks/quality/appeal.json`).",
        ]
    )


def _made(by: dict[str, Any]) -> str:
    return f"`{by['command']}`, {by['date']}, {by['machine']['cpu']}, commit {by['commit']}"


def _markdown(table: list[list[str]]) -> str:
    head, *body = table
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def _close(gap: float | None) -> str:
    if gap is None:
        return (
            "At no gap of scores is the order of two photos right in four of five cases for sure: "
            "all pairs are too close to call."
        )
    return (
        f"Two photos less than {gap:.2f} points apart are too close to call: below that, people's "
        "order is met in fewer than four of five cases (lower bound)."
    )


if __name__ == "__main__":
    main()
