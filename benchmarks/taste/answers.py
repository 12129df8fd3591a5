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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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
from siamese_nima.taste.choosing import Asked, ChoosingRule, choose_pair
from siamese_nima.taste.held_out import judge_held_out, tilt_of_answers
from siamese_nima.taste.pickers import Picker, opinions
from siamese_nima.taste.strengths import (
    Comparisons,
    StrengthPrior,
    Strengths,
    estimate_strengths,
)
from siamese_nima.taste.tilt import TiltPrior
from siamese_nima.taste.tilt_belief import TiltBeliefs

COUNTS = (25, 50, 100, 200, 400, 800)
JUDGED = (50, 100, 200, 400)  # numbers of answers at which the report of `nima learn` is made too
WAYS = {
    "random": "random pairs",
    "active": "pairs that tell most by scores and answers",
    "picked": "every second pair random, as nima pick asks",
    "seen": "pairs that tell most by what the network sees",
}
LAST = {"random": 800, "active": 800, "picked": 400, "seen": 400}
SEEN_AT_ONCE, SEEN_PAIRS = 10, 1500  # pairs chosen between two fits, out of so many
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
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
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
            known = runs[seed] if len(runs) > seed else None
            if known and not set(options.ways) - set(known["ways"]):
                continue
            started = time.perf_counter()
            runs[seed:] = [one_person(sets, name, seed, options.ways, known), *runs[seed + 1 :]]
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            print(name, seed, f"{time.perf_counter() - started:.0f} s", flush=True)


def one_person(
    sets: dict[str, Photos],
    taste: str,
    seed: int,
    wanted: Sequence[str],
    known: dict[str, Any] | None,
) -> dict[str, Any]:
    """Every figure of one simulated person; ways that are known already are taken over."""
    name, attribute, weight = TASTES[taste]
    person = draw_person(sets[name], attribute, weight, seed)
    rated = person.photos.rated
    before = known["ways"] if known else {}
    new = {way: list(learnt(person, way, seed)) for way in wanted if way not in before}
    ways = before | new
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


def learnt(person: Person, way: str, seed: int) -> Iterator[dict[str, Any]]:
    """What is learnt after some numbers of answers."""
    rated = person.photos.rated
    scores = rated.scores()
    steps = seen(person, seed) if way == "seen" else answered(person, scores, way, seed)
    for count, comparisons, strengths in steps:
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
    person: Person, scores: Floats, way: str, seed: int
) -> Iterator[tuple[int, Comparisons, Strengths]]:
    """Answers so far, by numbers of photos of the whole set, and the strengths they give."""
    draw = np.random.default_rng([seed, 1])
    rules = {
        "random": ChoosingRule(way="random", repeats=0, seed=seed),
        "active": ChoosingRule(random_share=0, repeats=0, seed=seed),
        "picked": ChoosingRule(repeats=0, seed=seed),
    }
    rule = rules[way]
    mine = scores[person.asked]
    prior = StrengthPrior.on(person.photos.rated.scale)
    asked: list[Asked] = []
    outcomes: list[float] = []
    strengths = estimate_strengths(mine, Comparisons.of([], [], []), prior=prior)
    for count in range(1, LAST[way] + 1):
        chosen = choose_pair(strengths, asked, rule)
        if chosen is None:
            return
        pair = person.asked[[chosen.left]], person.asked[[chosen.right]]
        asked.append(Asked(chosen.left, chosen.right))
        outcomes.append(float(person.picker.answers(*pair, draw)[0]))
        left, right = ([getattr(a, side) for a in asked] for side in ("left", "right"))
        if way != "random" or count in COUNTS:
            within = Comparisons.of(left, right, outcomes)
            strengths = estimate_strengths(mine, within, prior=prior, start=strengths)
        if count in COUNTS:
            places = Comparisons.of(person.asked[left], person.asked[right], outcomes)
            yield count, places, strengths


def seen(person: Person, seed: int) -> Iterator[tuple[int, Comparisons, Strengths]]:
    """As `answered`, each time with the ten pairs that tell most about what the network sees."""
    rated = person.photos.rated.select(person.asked)
    beliefs = TiltBeliefs(rated, TiltPrior(spread=1.0, noise=1.0))
    draw, pairs = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    comparisons = Comparisons.of([], [], [])
    photos = len(person.asked)
    while len(comparisons) < LAST["seen"]:
        left = pairs.integers(0, photos, SEEN_PAIRS)
        right = (left + pairs.integers(1, photos, SEEN_PAIRS)) % photos
        order = np.argsort(-beliefs.after(comparisons).information(left, right))
        new = list(islice(_fresh(left[order], right[order]), SEEN_AT_ONCE))
        for place, (first, second) in enumerate(new, start=len(comparisons) + 1):
            asked = person.asked[[first]], person.asked[[second]]
            outcome = float(person.picker.answers(*asked, draw)[0])
            comparisons = Comparisons.of(
                [*comparisons.left, first],
                [*comparisons.right, second],
                [*comparisons.outcome, outcome],
            )
            if place in COUNTS:
                places = Comparisons(
                    person.asked[comparisons.left],
                    person.asked[comparisons.right],
                    comparisons.outcome,
                )
                yield place, places, estimate_strengths(rated.scores(), comparisons)


def _fresh(left: Indices, right: Indices) -> Iterator[tuple[int, int]]:
    """Pairs of which none has a photo of an earlier one."""
    used: set[int] = set()
    for pair in zip(left.tolist(), right.tolist(), strict=True):
        if not used & set(pair):
            yield pair
            used |= set(pair)


if __name__ == "__main__":
    main()
