"""Write the page of the model `quality` from its card and the recorded results.

python recipes/quality/write_page.py > docs/models/quality.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from siamese_nima.card import ModelCard
from siamese_nima.pair_error import PairError
from siamese_nima.scoring.model import read_card

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "src" / "siamese_nima" / "models" / "quality.onnx"
BACKBONES = {
    "mobilenetv1_100": "MobileNet v1",
    "tf_efficientnet_lite0": "EfficientNet-Lite0",
}
EARLIER = {"efficientnet.json": "version 3", "mobilenet.json": "version 2, on MobileNet v1,"}
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
    evidence = json.loads(
        (HERE.parents[1] / "benchmarks" / "quality" / "siamese_stage.json").read_text()
    )
    parts = [
        f"# The model `{card.name}`, version {card.version}",
        "<!-- Made by recipes/quality/write_page.py from the model card and result.json. -->",
        card.description,
        f"{BACKBONES[card.backbone]} (`{card.backbone}`), {MODEL.stat().st_size / 1e6:.1f} MB; "
        f"views `{card.view}`; ratings {card.scale}. SHA-256 `{result['model_sha256']}`.",
        "Where processors are fast in bytes it computes in 8 bits, which costs no agreement "
        "([speed](../speed.md#in-8-bits)); the figures here are of the network in float.",
        "## How well it agrees with people",
        f"On the test split of BIQ2021, {result['test']['all']['photos']:,} photos of scenes that "
        "were not trained on; no near-copy of them was either. SRCC and PLCC with 95 % intervals "
        "(scenes drawn again); pairs: share of pairs of one scene, at least .1 of the range 0..1 "
        "apart in mean opinion score, that are ranked as people rank them.",
        _figures(result["test"]),
        "Knowing only which subset a photo is from already gives an SRCC of "
        f"{evidence['subset_alone_srcc']:.2f} over all, so the rows of the subsets say more than "
        "the first one. In ss02, test shots indoors, agreement is weak.",
        _spread(result),
        _ladders(result["ladders"]),
        _pairs(card),
        _official(result["official_test"]),
        _earlier(),
        "## Training",
        "The network is version 3's ([recipe](../../recipes/quality/README.md#version-3)), learnt "
        f"from the same {card.training['photos']:,} photos; its head reads the channel means of "
        "its first five stages, too. A head of these means alone learns from the ratings, and the "
        f"two are mixed: {result['mixed']['stage 1']:.0%} of the one and "
        f"{1 - result['mixed']['stage 1']:.0%} of version 3's, the share that is best on val. "
        "Fingerprint of the photos: "
        f"`{card.training['fingerprint']}`. {_machine(result)} The head of means alone:",
        _curve(result["history"]["levels"]),
        "Recipe: [recipes/quality](../../recipes/quality/README.md), "
        f"`nima train recipes/quality/quality4.toml`; judged by `{result['command']}`, "
        f"{result['date']}.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in card.limits),
        "## Licence and credits",
        card.licence,
        "\n".join(f"- {credit}" for credit in card.credits),
    ]
    print("\n\n".join(parts))


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


def _official(found: dict[str, Any]) -> str:
    return (
        f"On the {found['photos']} official test photos of BIQ2021 that are in this test split "
        f"SRCC is {_interval(found['srcc'])} and PLCC {_interval(found['plcc'])}. The official "
        "split is what others publish figures on; of its other test photos many have a near-copy "
        "among the photos that this model learnt from ([data](../data.md))."
    )


def _earlier() -> str:
    told = [
        f"{name} {json.loads((HERE / file).read_text())['test']['all']['srcc']['value']:.3f}"
        for file, name in EARLIER.items()
    ]
    return (
        f"On the same test photos {' and '.join(told)} had as SRCC; version 1 was judged on "
        "another division of them. What each part of the training is worth, against controls: "
        "[docs/results.md](../results.md)."
    )


def _spread(result: dict[str, Any]) -> str:
    fitted = result["calibration"]
    return (
        f"Scores are spread {result['spread_ratio']:.2f} times as wide as the labels. As trained "
        f"it is {fitted['spread_ratio_before']:.2f} on val; the head is scaled to "
        f"{fitted['spread_ratio_after']:.2f}, which takes the RMSE on val from "
        f"{fitted['rmse_before']:.3f} to {fitted['rmse_after']:.3f} rating points."
    )


def _ladders(ladders: dict[str, Any]) -> str:
    kinds = ", ".join(
        f"{name} {share:.1%}" for name, share in ladders["steps_by_distortion"].items()
    )
    return (
        f"Made worse step by step, the {ladders['photos']} best-rated test photos lose score in "
        f"{ladders['steps']:.1%} of the steps ({kinds}), and of any two rungs the worse one scores "
        f"lower in {ladders['pairs']:.1%}. Version 3 was trained on ladders of training "
        "photos with the same distortions."
    )


def _pairs(card: ModelCard) -> str:
    general, scene = card.pair_error, card.scene_pair_error
    assert general is not None
    assert scene is not None
    return (
        "Two photos of one subset are in the order people give them with a probability of .8 or "
        f"more from a gap of {_sure(general)} points on (the lower bound; {general.pairs:,} pairs "
        "of test photos), two of one scene, as in a burst, from a gap of "
        f"{_sure(scene)} points on ({scene.pairs:,} pairs, the raters' own noise told apart). "
        "Closer ones are called too close to call. How both were measured, and for which kinds of "
        "difference they hold: [docs/results.md](../results.md#photos-of-one-scene)."
    )


def _sure(error: PairError) -> str:
    gap = error.closest_call()
    return "no" if gap is None else f"{gap:.2f}"


def _curve(epochs: list[dict[str, float]]) -> str:
    rows = [
        "| epoch | EMD train | EMD val | SRCC val |",
        "|---|---|---|---|",
    ]
    for epoch in epochs:
        rows.append(
            f"| {epoch['epoch'] + 1:.0f} | {epoch['train_emd']:.4f} "
            f"| {epoch['val_emd']:.4f} | {epoch['val_srcc']:.4f} |"
        )
    return "\n".join(rows)


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return f"Machine: {machine['cpu']}, {machine['cores']} cores."


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


if __name__ == "__main__":
    main()
