"""Write the page of the detail network from its recorded results, and draw its plot.

python recipes/detail/write_page.py --plot docs/images/fine-order.svg > docs/models/detail.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, help="draw the plot there")
    options = parser.parse_args()
    result = json.loads((HERE / "result.json").read_text())
    sweep = json.loads((BENCHMARKS / "focus_sweep.json").read_text())
    cost = json.loads((BENCHMARKS / "detail_cost.json").read_text())
    if options.plot:
        plot(result["figures"]["biq2021_test"]["calibration"], options.plot)
    print("\n\n".join(page(result, sweep, cost)))


def plot(bins: list[dict[str, Any]], out: Path) -> None:
    """How often people agreed, by the probability that the order stated, with 95 % intervals."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from siamese_nima.evaluation.plots import COLOURS, GREY, STYLE

    stated = np.array([row["chance"] for row in bins])
    right = np.array([row["right"] for row in bins])
    pairs = np.array([row["pairs"] for row in bins])
    # Wilson's interval, as if pairs were independent.
    centre = (right + 1.92 / pairs) / (1 + 3.84 / pairs)
    reach = 1.96 * np.sqrt(right * (1 - right) / pairs + 0.96 / pairs**2) / (1 + 3.84 / pairs)
    limits = 100 * np.clip([right - (centre - reach), (centre + reach) - right], 0, None)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.9), layout="constrained")
        axis = figure.subplots()
        axis.plot((50, 100), (50, 100), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axis.errorbar(100 * stated, 100 * right, yerr=limits, fmt="o", color=COLOURS[0], capsize=3)
        axis.set_xlabel("probability that the order states (%)")
        axis.set_ylabel("pairs that people rated in that order (%)")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})


def page(result: dict[str, Any], sweep: dict[str, Any], cost: dict[str, Any]) -> list[str]:
    """The parts of the page."""
    spent = cost["median"]
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
        "Half a pixel of blur takes away most of a photo's fine grain and hides traces of "
        "compression, and no photo may win by that. So noise and compression count only as far as "
        "they are not lower because of more blur: of a photo that is more blurred than the "
        "sharpest of its scene, noise is put back by the fourth power of how much more, up to 3 "
        "grey levels, and compression by .4 per unit of ln(blur), never above those of the "
        "sharpest. These numbers, and that a kind of ladder counts 1.25 times as much as the pairs "
        "of another, were chosen on the photos to learn from, each camera by weights of the "
        "others.",
        f"Judged on {judged['photos']} photos of 7 cameras, 8 to 16 megapixels, that it was not "
        "learnt from (learnt from: 10 photos of 8 other cameras):",
        _table(
            ["ladder", "steps in order"],
            [[KINDS[kind], f"{share:.1%}"] for kind, share in judged["steps_in_order"].items()],
        ),
        "The JPEG step that fails is one from a camera's own file to the same saved anew at "
        "quality 90, which hardly differ.",
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
        "Ratings have the raters' own noise, which these probabilities leave out, so fewer pairs "
        "are in the stated order where two photos are rated nearly alike.",
        "![Probabilities of the order beside what people said](../images/fine-order.svg)",
        f"Through a focus sweep ({sweep['frames']} frames of a circuit board, `examples/depthmap` "
        "of PetteriAimonen/focus-stack) the map follows the focal plane: in "
        f"{sweep['same_frame']:.0%} of the {sweep['cells']} cells with texture the frame with the "
        "least blur is the one with the largest variance of the Laplacian, by which focus stacking "
        "chooses (`benchmarks/quality/focus_sweep.py`).",
        f"Measured {result['date']}, {result['machine']['cpu']}, `{result['command']}`.",
        "## What it costs",
        f"Choosing and reading the tiles takes {spent['detail_ms']:.0f} ms of one core (median of "
        f"{cost['photos']} photos of {cost['megapixels'][0]:.0f} to {cost['megapixels'][1]:.0f} "
        f"megapixels; {cost['most']['detail_ms']:.0f} at most), beside decoding the photo in full, "
        f"{spent['luminance_of_colour_ms']:.0f} ms per 12 megapixels. Decoding a JPEG's luminance "
        f"alone would take {spent['decode_luminance_ms']:.0f} ms. It is not done: faces need the "
        "colours, and of some cameras the noise would then be read differently, so that two "
        "commands would say two things of one photo. "
        f"(`benchmarks/quality/detail_cost.py`, {cost['date']}, {cost['machine']['cpu']}.)",
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
