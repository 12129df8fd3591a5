"""What fine-tuning on a few hundred photos brings, as docs/fine-tune.md has it.

    python benchmarks/quality/fine_tune.py biq2021 BIQ2021 --out ss02
    python benchmarks/quality/fine_tune.py appeal sophoappeal/votes.csv --out appeal
    cd ss02 && nima train --data ratings.csv --photos photos --scale 1..5 --out runs/mine
    nima evaluate quality runs/mine/model.onnx ... --out runs/mine/compared   # as on the page
    python benchmarks/quality/fine_tune.py record ss02 appeal --out fine_tune.json

The first two lay out photos and ratings as somebody has them who follows the page: photos of
BIQ2021's subset ss02 that the embedded model was not trained on, and 500 pictures of 80 x 80 pixels
that people gave votes of appeal.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.datasets.published import read_biq2021

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
APPEAL_PHOTOS = 500


def lay_out_biq2021(source: Path, out: Path) -> None:
    """Val and test photos of ss02, with scores on 1..5."""
    table = read_biq2021(source, SPLITS)
    lines = ["path,mos"]
    for path, mos, subset, split in zip(
        table.paths, table.mos, table.subsets, table.splits, strict=True
    ):
        if subset == "ss02" and split != "train":
            name = path.name.replace(" ", "").replace("(", "-").replace(")", "")
            shutil.copy(path, out / "photos" / name)
            lines.append(f"{name},{1 + 4 * mos:.2f}")
    (out / "ratings.csv").write_text("\n".join(lines) + "\n")


def lay_out_appeal(votes: Path, out: Path) -> None:
    """Some pictures of sophoappeal, with votes."""
    with votes.open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = random.Random(0).sample(rows, APPEAL_PHOTOS)
    grades = [f"v{grade}" for grade in range(1, 6)]
    lines = [",".join(["path", *grades])]
    for row in sorted(chosen, key=lambda row: row["tile"]):
        shutil.copy(votes.parent / row["tile"], out / "photos" / row["tile"])
        lines.append(",".join([row["tile"], *(row[grade] for grade in grades)]))
    (out / "ratings.csv").write_text("\n".join(lines) + "\n")


def recorded(folder: Path) -> dict[str, Any]:
    """What a run and its comparison with the model it started from have given."""
    run = folder / "runs" / "mine"
    compared = json.loads((run / "compared" / "figures.json").read_text())
    with (run / "log.csv").open(newline="") as file:
        log = list(csv.DictReader(file))
    return {
        "photos": len((folder / "ratings.csv").read_text().splitlines()) - 1,
        "config": tomllib.loads((run / "config.toml").read_text()),
        "models": compared["models"],
        "on_test": compared["differences"]["all"],
        "log": log,
    }


def main() -> None:
    """Lay out, or record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["biq2021", "appeal", "record"])
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.what == "record":
        runs = {folder.name: recorded(folder) for folder in options.sources}
        report({**provenance(), "runs": runs}, options.out)
        return
    (options.out / "photos").mkdir(parents=True)
    lay_out = lay_out_biq2021 if options.what == "biq2021" else lay_out_appeal
    lay_out(options.sources[0], options.out)


if __name__ == "__main__":
    main()
