"""Write the page of the detail network from its recorded results.

python recipes/detail/write_page.py > docs/models/detail.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks" / "quality"
MODEL = HERE.parents[1] / "src" / "siamese_nima" / "scoring" / "detail.onnx"
KINDS = {"blur": "Gaussian blur, 0 to 4 px by .5", "motion": "motion, 4 to 20 px by 4"}
KINDS |= {"noise": "noise, 2 to 16 grey levels", "jpeg": "JPEG, quality 90 to 30"}
OTHERS = {
    "detail alone": "blur by this network",
    "score": "score of `quality`",
    "laplacian": "variance of the Laplacian",
    "tenengrad": "Tenengrad",
    "cleanvision": "cleanvision's blurriness",
}


def main() -> None:
    """Print the page."""
    result = json.loads((HERE / "result.json").read_text())
    sweep = json.loads((BENCHMARKS / "focus_sweep.json").read_text())
    print("\n\n".join(page(result, sweep)))


def page(result: dict[str, Any], sweep: dict[str, Any]) -> list[str]:
    """The parts of the page."""
    training, figures, order = result["training"], result["figures"], result["order"]
    judged, rated, val = figures["judged_on"], figures["biq2021_test"], training["val"]
    return [
        "# Detail at 100 %: blur, shake, noise and compression",
        "<!-- Made by recipes/detail/write_page.py from recorded results. -->",
        f"A network of {training['parameters']:,} parameters ({MODEL.stat().st_size / 1e6:.2f} MB, "
        "embedded) sees up to 64 tiles of 96 pixels at native resolution and says of each how "
        "blurred, shaken, noisy and compressed it is, and how sure it is of the blur. A photo is "
        "as sharp as its sharpest textured region: a blurred background or a plain sky does not "
        "count. `nima bursts` and `nima report` use it by default (`--no-detail` leaves it out), "
        "`nima explain` names flaws by it, `--detail` adds its columns to `nima score` and "
        "`nima rank`; from Python it is `siamese_nima.scoring.detail.read_detail`.",
        "Blur is the standard deviation, in pixels, of the Gaussian with the second moment of all "
        "blur together; of a disc of defocus of radius r it is r / 2. Shake is the length of the "
        "even motion that explains by how much the blur is longer than wide; which of its two ways "
        "the camera went cannot be seen. Noise is in grey levels of 255. Compression is about 100 "
        "less the JPEG quality.",
        "## How it was trained",
        f"On {training['tiles']:,} tiles of the best-rated training photos of BIQ2021, shrunk to "
        "be sharp and then degraded as cameras do: defocus, motion, noise, demosaicing, noise "
        "reduction, sharpening, resizing, JPEG ([the recipe](../../recipes/detail/README.md)). On "
        f"tiles of validation photos the blur of a tile is off by {val['blur_error']:.0%} "
        f"(median); of the {val['sure']:.0%} that it is sure of by {val['blur_error_sure']:.0%}; "
        f"the direction of motion by {val['direction_error_degrees']:.0f} degrees.",
        "## The order within a scene",
        "Within a burst score and detail are added up: "
        f"{order['score']:.2f} per point of score, {order['blur']:.2f} per unit of ln(blur), "
        f"{order['noise']:.2f} per unit of visible noise (logarithm), "
        f"{order['compression']:.2f} per unit of compression, in units of the order's own "
        "error, so that a difference is a probability "
        f"(Thurstone, case V). Learnt from {order['pairs']:,} pairs: ladders of photos at native "
        "resolution, frames cropped and saved anew, and the same-scene pairs of BIQ2021's "
        "validation split. It holds for photos of one scene that differ in sharpness, shake, "
        "noise, compression or what `quality` judges; not for expressions, poses or composition.",
        f"Judged on {judged['photos']} photos of 7 cameras, 8 to 16 megapixels, that it was not "
        "learnt from (learnt from: 10 photos of 8 other cameras):",
        _table(
            ["ladder", "steps in order"],
            [[KINDS[kind], f"{share:.1%}"] for kind, share in judged["steps_in_order"].items()],
        ),
        f"Of pairs that differ by 1 px of blur or more {judged['blur_1px_called']:.1%} are called; "
        f"of equal frames, cropped and saved anew, {judged['equal_too_close']:.1%} are too close "
        "to call.",
        _table(
            ["blur steps of half a pixel, by", "in order"],
            [[OTHERS[n], f"{share:.1%}"] for n, share in judged["blur_steps_by_others"].items()],
        ),
        "Blur read over blur made (with the photo's own):",
        _table(
            ["blur made", "median", "least", "most"],
            [
                [f"{level} px", *(f"{value:.2f}" for value in ratios)]
                for level, ratios in judged["blur_read"].items()
            ],
        ),
        f"On the same-scene pairs of BIQ2021's test split with clearly different ratings "
        f"({rated['clear_pairs']}) the order is right in {rated['accuracy']:.1%}; by score alone "
        f"in {rated['accuracy_by_score_alone']:.1%}. Its probabilities beside what people said, "
        "over all pairs:",
        _table(
            ["probability", "right", "pairs"],
            [[f"{b['chance']:.2f}", f"{b['right']:.2f}", b["pairs"]] for b in rated["calibration"]],
        ),
        f"Through a focus sweep ({sweep['frames']} frames of a circuit board, `examples/depthmap` "
        "of PetteriAimonen/focus-stack) the map follows the focal plane: in "
        f"{sweep['same_frame']:.0%} of the {sweep['cells']} cells with texture the frame with the "
        "least blur is the one with the largest variance of the Laplacian, by which focus stacking "
        "chooses (`benchmarks/quality/focus_sweep.py`).",
        f"Measured {result['date']}, {result['machine']['cpu']}, `{result['command']}`.",
        "## Limits",
        "- Steps of the ladders are made from sound photos; a burst of a moving subject has flaws "
        "that no ladder has.\n"
        "- Noise is meant for cameras' noise; even grain of another kind is read within a factor "
        "of two.\n"
        "- Photos below 96 pixels, and regions without texture, have no blur to read.",
    ]


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
