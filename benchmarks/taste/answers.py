"""How much a personal model gains by the number of answers, and by how the pairs are chosen.

    python benchmarks/taste/answers.py --biq2021 BIQ2021 --appeal sophoappeal --work WORK \
        --out benchmarks/taste/answers.json

Simulated people (`siamese_nima.taste.pickers`) answer pairs of one half of a set's photos, divided
by scene. After 25, 50, ... answers a taste is learnt as `nima learn` does, and judged on pairs of
the other half, whose photos and scenes it has not seen, by what the person prefers without noise.
Every seed is another person, other halves, other answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from picked_photos import Photos, read_photos

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance
from siamese_nima.networks.taste_file import OpenedModel
from siamese_nima.ratings import Floats
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.taste.choosing import Asked, ChoosingRule, Way, choose_pair
from siamese_nima.taste.held_out import judge_held_out, tilt_of_answers
from siamese_nima.taste.pickers import Picker, opinions
from siamese_nima.taste.strengths import (
    Comparisons,
    StrengthPrior,
    Strengths,
    estimate_strengths,
)

COUNTS = (25, 50, 100, 200, 400, 800)
JUDGED = (50, 100, 200, 400)  # numbers of answers at which the report of `nima learn` is made too
WAYS: tuple[Way, ...] = ("random", "active")
NOISE, TIE = 0.5, 0.2  # rating points
PAIRS = 20_000  # drawn to judge by
TASTES = {
    "BIQ2021: the raters' taste": ("biq2021", None, 0.0),
    "BIQ2021: likes colour": ("biq2021", "colour", 0.5),
    "BIQ2021: likes light": ("biq2021", "light", 0.5),
    "appeal study: the voters' taste": ("appeal", None, 0.0),
}
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A simulated person, the photos they are asked about, and pairs to judge by."""

    photos: Photos
    picker: Picker
    asked: Indices
    pairs: dict[str, tuple[Indices, Indices]]

    def agreement(self, scores: Floats) -> dict[str, float]:
        """Share of pairs that scores order as the person does, by kind of pair."""
        found = {}
        for kind, (left, right) in self.pairs.items():
            wanted = self.picker.strengths[left] - self.picker.strengths[right]
            right_order = (scores[left] - scores[right]) * wanted > 0
            found[kind] = round(float(right_order.mean()), 4)
        return found


def main() -> None:
    """Simulate and write the JSON; what is there already is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--biq2021", type=Path, required=True)
    parser.add_argument("--appeal", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="quality")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = OpenedModel(find_model(options.model))
    folders = {"biq2021": options.biq2021, "appeal": options.appeal}
    sets = {name: read_photos(folder, model, options.work) for name, folder in folders.items()}
    result: dict[str, Any] = {**provenance(), "model": model.model_id, "noise": NOISE, "tie": TIE}
    result["tastes"] = {name: [] for name in TASTES}
    if options.out.exists():
        known = json.loads(options.out.read_text())
        if known["model"] == model.model_id:
            result["tastes"] |= known["tastes"]
    for seed in range(options.seeds):
        for name, runs in result["tastes"].items():
            if len(runs) > seed:
                continue
            started = time.perf_counter()
            runs.append(one_person(sets, name, seed))
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            print(name, seed, f"{time.perf_counter() - started:.0f} s", flush=True)


def one_person(sets: dict[str, Photos], taste: str, seed: int) -> dict[str, Any]:
    """Every figure of one simulated person."""
    name, attribute, weight = TASTES[taste]
    person = draw_person(sets[name], attribute, weight, seed)
    rated = person.photos.rated
    ways = {way: list(learnt(person, way, seed)) for way in WAYS}
    return {"seed": seed, "general": person.agreement(rated.scores()), "ways": ways}


def draw_person(photos: Photos, attribute: str | None, weight: float, seed: int) -> Person:
    """A person with a taste, and halves of the photos divided by scene."""
    draw = np.random.default_rng(seed)
    strengths = opinions(
        photos.labels,
        photos.errors,
        draw,
        attribute=None if attribute is None else photos.attributes[attribute],
        weight=weight,
    )
    half = draw.random(photos.scenes.max() + 1) < 0.5
    asked = np.flatnonzero(half[photos.scenes])
    rest = np.flatnonzero(~half[photos.scenes])
    left, right = (draw.choice(rest, PAIRS) for _ in range(2))
    pairs = {"new photos": (left[left != right], right[left != right])}
    first, second = np.triu_indices(rest.size, 1)
    same = photos.scenes[rest[first]] == photos.scenes[rest[second]]
    if same.any():
        pairs["new photos, same scene"] = (rest[first[same]], rest[second[same]])
    left, right = (draw.choice(asked, PAIRS) for _ in range(2))
    pairs["photos asked among"] = (left[left != right], right[left != right])
    return Person(photos, Picker(strengths, NOISE, TIE), asked, pairs)


def learnt(person: Person, way: Way, seed: int) -> Iterator[dict[str, Any]]:
    """What is learnt after some numbers of answers."""
    rated = person.photos.rated
    scores = rated.scores()
    for count, comparisons, strengths in answered(person, scores, way, seed):
        tilt = tilt_of_answers(rated, comparisons)
        found: dict[str, Any] = {
            "answers": count,
            "photos": int(np.unique(np.r_[comparisons.left, comparisons.right]).size),
            "ties": int(np.sum(comparisons.outcome == 0.5)),
            "spread": tilt.prior.spread,
            "agreement": person.agreement(rated.scores(tilt.of(rated.features))),
        }
        own = scores.copy()
        own[person.asked] = strengths.values
        found["strengths"] = person.agreement(own)["photos asked among"]
        if count in JUDGED:
            judged = judge_held_out(rated, comparisons, seed=seed)
            found["held out"] = {
                "general": judged.agreement.general.to_json(),
                "personal": judged.agreement.personal.to_json(),
                "difference": judged.agreement.difference.to_json(),
                "verdict": judged.agreement.verdict,
                "new photos": judged.new_photos,
            }
        yield found


def answered(
    person: Person, scores: Floats, way: Way, seed: int
) -> Iterator[tuple[int, Comparisons, Strengths]]:
    """Answers so far, by numbers of photos of the whole set, and the strengths they give."""
    draw = np.random.default_rng([seed, 1])
    rule = ChoosingRule(way=way, repeats=0, seed=seed)
    mine = scores[person.asked]
    prior = StrengthPrior.on(person.photos.rated.scale)
    asked: list[Asked] = []
    outcomes: list[float] = []
    strengths = estimate_strengths(mine, Comparisons.of([], [], []), prior=prior)
    for count in range(1, COUNTS[-1] + 1):
        chosen = choose_pair(strengths, asked, rule)
        if chosen is None:
            return
        pair = person.asked[[chosen.left]], person.asked[[chosen.right]]
        asked.append(Asked(chosen.left, chosen.right))
        outcomes.append(float(person.picker.answers(*pair, draw)[0]))
        left, right = ([getattr(a, side) for a in asked] for side in ("left", "right"))
        if way == "active" or count in COUNTS:
            within = Comparisons.of(left, right, outcomes)
            strengths = estimate_strengths(mine, within, prior=prior, start=strengths)
        if count in COUNTS:
            places = Comparisons.of(person.asked[left], person.asked[right], outcomes)
            yield count, places, strengths


if __name__ == "__main__":
    main()
