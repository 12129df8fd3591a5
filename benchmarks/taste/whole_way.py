"""From answers to a model, as a user does it: `nima learn` on a folder, timed.

    python benchmarks/taste/whole_way.py --biq2021 BIQ2021 --out benchmarks/taste/whole_way.json

A folder of 400 test photos of BIQ2021; a simulated person who likes light photos answers 200 pairs,
chosen as `nima pick` does before it has looked at the photos, and 20 of them twice. Then
`nima learn` and `nima rank` are run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.photos.read import read_photo
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.taste.answers import Answer, AnswerStore, Choice, answers_path
from siamese_nima.taste.choosing import Asked, ChoosingRule, choose_pair
from siamese_nima.taste.pickers import Picker, brightness, opinions
from siamese_nima.taste.strengths import Comparisons, Strengths, estimate_strengths

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
PHOTOS, ANSWERS, WEIGHT, NOISE, TIE = 400, 220, 0.5, 0.5, 0.2
PERSON = "Ana"
CHOICES: dict[float, Choice] = {1.0: "left", 0.0: "right", 0.5: "tie"}


def main() -> None:
    """Answer, learn, rank, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--biq2021", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "holiday"
        os.environ["SIAMESE_NIMA_MODELS"] = str(Path(work) / "models")
        picker, names = fill(folder, options.biq2021)
        answer(folder, picker, names)
        seconds, learnt = timed("learn", folder.name, "--name", "my-taste", cwd=folder.parent)
        _, ranked = timed(
            "rank", folder.name, "--model", "my-taste", "--top", "5", cwd=folder.parent
        )
        result = {
            **provenance(),
            "photos": PHOTOS,
            "answers": ANSWERS,
            "seconds": round(seconds, 1),
            "learn": learnt.replace(work, "~"),
            "rank": ranked.replace(work, "~"),
        }
    report(result, options.out)


def fill(folder: Path, data: Path) -> tuple[Picker, list[str]]:
    """Copy photos there, and say who looks at them."""
    table = read_biq2021(data, SPLITS).split("test")
    table = table.select(np.random.default_rng(0).permutation(len(table))[:PHOTOS])
    folder.mkdir()
    names = [re.sub(r"[ ()]+", "-", path.stem).strip("-") + ".jpg" for path in table.paths]
    for path, name in zip(table.paths, names, strict=True):
        shutil.copyfile(path, folder / name)
    light = [brightness(read_photo(path)) for path in table.paths]
    draw = np.random.default_rng(1)
    labels = table.means(AVA_SCALE)
    strengths = opinions(labels, 0.27, draw, attribute=light, weight=WEIGHT)
    return Picker(strengths, NOISE, TIE), names


def answer(folder: Path, picker: Picker, names: list[str]) -> None:
    """Answer pairs of photos that have scores alone, as a person does."""
    scores = [photo.mean or 0.0 for photo in Scorer().score([folder / name for name in names])]
    draw, start = np.random.default_rng(2), datetime.now(UTC) - timedelta(hours=1)
    asked: list[Asked] = []
    outcomes: list[float] = []
    strengths: Strengths | None = None
    with AnswerStore(answers_path(folder)) as store:
        for number in range(ANSWERS):
            left, right = [a.left for a in asked], [a.right for a in asked]
            comparisons = Comparisons.of(left, right, outcomes)
            strengths = estimate_strengths(scores, comparisons, start=strengths)
            chosen = choose_pair(strengths, asked, ChoosingRule())
            if chosen is None:
                return
            asked.append(Asked(chosen.left, chosen.right))
            outcomes.append(float(picker.answers([chosen.left], [chosen.right], draw)[0]))
            store.add(
                Answer(
                    left=names[chosen.left],
                    right=names[chosen.right],
                    choice=CHOICES[outcomes[-1]],
                    person=PERSON,
                    at=(start + timedelta(seconds=4 * number)).isoformat(),
                    seconds=4.0,
                )
            )


def timed(*command: str, cwd: Path) -> tuple[float, str]:
    """Seconds and output of a `nima` command."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "siamese_nima", *command, "--workers", "2"],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - started, done.stdout + (done.stderr if done.returncode else "")


if __name__ == "__main__":
    main()
