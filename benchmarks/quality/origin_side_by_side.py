"""The same program by ryanfwy/image-quality on its own stack and by ours, on the same photos.

    python benchmarks/quality/origin_side_by_side.py --work FOLDER --keras2 PYTHON --origin FOLDER \
        --out benchmarks/quality/origin_side_by_side.json

Photos are those of the origin's demo, as they are and as PNG, whose pixels every decoder reads
alike. Networks have equal random weights, which the folder --work keeps. Environment: --keras2 as
benchmarks/speed/peers.py names it; --origin with a clone of ryanfwy/image-quality.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
sys.path.insert(0, str(Path(__file__).parents[1]))
from equal_networks import equal_network

from machine import provenance, report

# Arguments by position, as the origin's users may give them.
PROGRAM = """
import json, sys
from {module} import SiameseNIMA
folder, table, size, weights, answer = sys.argv[1:]
siamese = SiameseNIMA()
raw = siamese.load_data(folder, table, " ", ["file_name"])
size = None if size == "native" else (int(size), int(size))
found = siamese.predict(raw, 1, size, weights, verbose=0)
with open(answer, "w") as file:
    json.dump([[float(value) for value in found[column]] for column in ("mean", "std")], file)
"""


def answered(python: str, where: Path, module: str, *arguments: str | Path) -> np.ndarray:
    """Means and spreads of the photos, shape (2, photos), by a process of its own.

    Raises:
        CalledProcessError: The program failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        program = [python, "-c", PROGRAM.format(module=module), *map(str, arguments), str(answer)]
        subprocess.run(program, cwd=where, check=True, stdout=subprocess.DEVNULL)
        return np.array(json.loads(answer.read_text()))


def as_png(photos: list[Path], folder: Path) -> list[Path]:
    """The photos as PNG of the pixels that are read here, without profile or orientation."""
    folder.mkdir()
    copies = [folder / f"{photo.stem}.png" for photo in photos]
    for photo, copy in zip(photos, copies, strict=True):
        Image.fromarray(np.asarray(Image.open(photo).convert("RGB"))).save(copy)
    return copies


def main() -> None:
    """Compare and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="keeps the networks")
    parser.add_argument("--keras2", required=True, help="Python 3.6 with the origin's packages")
    parser.add_argument("--origin", type=Path, required=True, help="the origin's code")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    weights = equal_network("inception_resnet_v2", options.work.resolve()).keras
    stored = sorted((options.origin / "assets/demo/predict_images").resolve().glob("*.jpg"))
    kinds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as kept:
        for kind, photos in {"JPEG": stored, "PNG": as_png(stored, Path(kept) / "png")}.items():
            table = Path(kept) / f"{kind}.csv"
            table.write_text("\n".join(["file_name", *(photo.name for photo in photos)]))
            for size in ("224", "native"):
                said = (photos[0].parent, table, size, weights)
                theirs = answered(options.keras2, options.origin, "model.siamese_nima", *said)
                ours = answered(sys.executable, Path.cwd(), "siamese_nima", *said)
                mean, spread = np.abs(ours - theirs)
                kinds[f"{kind}, {size}"] = {
                    "mean_off_by": dict(
                        zip((photo.stem for photo in photos), mean.round(6).tolist(), strict=True)
                    ),
                    "most": {"mean": float(mean.max()), "std": float(spread.max())},
                    "within_1e-4": int((mean < 1e-4).sum()),
                }
    report(
        {
            **provenance(),
            "reference": "ryanfwy/image-quality, Keras 2.2.4, TensorFlow 1.12.0",
            "photos": len(stored),
            "kinds": kinds,
        },
        options.out,
    )


if __name__ == "__main__":
    main()
