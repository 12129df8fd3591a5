"""How much a personal model gains by the number of answers, and by how the pairs are chosen.

    python benchmarks/taste/answers.py --biq2021 BIQ2021 --appeal sophoappeal --work WORK \
        --out benchmarks/taste/answers.json
    python benchmarks/taste/answers.py --biq2021 BIQ2021 --appeal sophoappeal --work WORK \
        --first 50 --people 8 --brief --ways random seen --out benchmarks/taste/new_people.json

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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from picked_photos import Photos, read_photos

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance
from siamese_nima.ratings import Floats
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.taste.agreement import judge_held_out
from siamese_nima.taste.choosing import Asked, ChoosingRule, choose_pair
from siamese_nima.taste.features import FeatureExtractor
from siamese_nima.taste.pickers import Picker, opinions
from siamese_nima.taste.preference import Posterior, learn_preference
from siamese_nima.taste.session import REFIT
from siamese_nima.taste.strengths import (
    Comparisons,
    Strengths,
    TastePrior,
    estimate_strengths,
)

COUNTS = (25, 50, 100, 120, 200, 400, 800)
JUDGED = (50, 100, 200, 400)  # numbers of answers at which the report of `nima learn` is made too
WAYS = {
    "random": "random pairs",
    "active": "pairs that tell most by scores and answers",
    "picked": "every second pair random, as nima pick asks before it has looked",
    "seen": "pairs that tell most by what the network sees, as nima pick asks",
}
LAST = {"random": 800, "active": 800, "picked": 400, "seen": 200}
BRIEF = 200
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
    parser.add_argument("--first", type=int, default=0, help="seed of the first person")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument(
        "--brief", action="store_true", help="200 answers, without the report of nima learn"
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = FeatureExtractor(find_model(options.model))
    folders = {"biq2021": options.biq2021, "appeal": options.appeal}
    sets = {name: read_photos(folder, model, options.work) for name, folder in folders.items()}
    result: dict[str, Any] = {**provenance(), "model": model.model_id, "noise": NOISE, "tie": TIE}
    result["tastes"] = {name: [] for name in TASTES}
    if options.out.exists():
        known = json.loads(options.out.read_text())
        if known["model"] == model.model_id:
            result["tastes"] |= known["tastes"]
    for place in range(options.people):
        for name, runs in result["tastes"].items():
            known = runs[place] if len(runs) > place else None
            if known and not set(options.ways) - set(known["ways"]):
                continue
            started = time.perf_counter()
            seed = options.first + place
            found = one_person(sets, name, seed, options.ways, known, brief=options.brief)
            runs[place:] = [found, *runs[place + 1 :]]
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            print(name, seed, f"{time.perf_counter() - started:.0f} s", flush=True)


def one_person(
    sets: dict[str, Photos],
    taste: str,
    seed: int,
    wanted: Sequence[str],
    known: dict[str, Any] | None,
    *,
    brief: bool,
) -> dict[str, Any]:
    """Every figure of one simulated person; ways that are known already are taken over."""
    name, attribute, weight = TASTES[taste]
    person = draw_person(sets[name], attribute, weight, seed)
    rated = person.photos.rated
    before = known["ways"] if known else {}
    new = {way: list(learnt(person, way, seed, brief)) for way in wanted if way not in before}
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


def learnt(person: Person, way: str, seed: int, brief: bool) -> Iterator[dict[str, Any]]:
    """What is learnt after some numbers of answers."""
    rated = person.photos.rated
    scores = rated.scores()
    for count, comparisons, strengths in answered(person, scores, way, seed):
        tilt = learn_preference(rated, comparisons)
        found: dict[str, Any] = {
            "answers": count,
            "photos": int(np.unique(np.r_[comparisons.left, comparisons.right]).size),
            "ties": int(np.sum(comparisons.outcome == 0.5)),
            "spread": tilt.prior.spread,
            "agreement": person.agreement(rated.scores(tilt.tilts(rated.features))),
        }
        own = scores.copy()
        own[person.asked] = strengths.values
        found["strengths"] = person.agreement(own)["photos asked among"]
        if count in JUDGED and not brief:
            judged = judge_held_out(rated, comparisons, seed=seed)
            found["held out"] = {
                "general": judged.agreement.general.to_json(),
                "personal": judged.agreement.personal.to_json(),
                "difference": judged.agreement.difference.to_json(),
                "verdict": judged.agreement.verdict,
                "new photos": judged.new_photos,
            }
        yield found
        if brief and count == BRIEF:
            return


def answered(
    person: Person, scores: Floats, way: str, seed: int
) -> Iterator[tuple[int, Comparisons, Strengths]]:
    """Answers so far, by numbers of photos of the whole set, and the strengths they give."""
    draw = np.random.default_rng([seed, 1])
    rules = {
        "random": ChoosingRule(way="random", repeats=0, seed=seed),
        "active": ChoosingRule(random_share=0, repeats=0, seed=seed),
        "picked": ChoosingRule(repeats=0, seed=seed),
        "seen": ChoosingRule(repeats=0, seed=seed),
    }
    rule = rules[way]
    mine = scores[person.asked]
    prior = TastePrior.on(person.photos.rated.scale)
    asked: list[Asked] = []
    outcomes: list[float] = []
    within = Comparisons.of([], [], [])
    strengths = estimate_strengths(mine, within, prior=prior)
    rated, photos = person.photos.rated.select(person.asked), np.arange(len(person.asked))
    sight = Posterior(rated, photos, within) if way == "seen" else None
    for count in range(1, LAST[way] + 1):
        chosen = choose_pair(strengths, asked, rule, posterior=sight)
        if chosen is None:
            return
        pair = person.asked[[chosen.left]], person.asked[[chosen.right]]
        asked.append(Asked(chosen.left, chosen.right))
        outcomes.append(float(person.picker.answers(*pair, draw)[0]))
        left, right = ([getattr(a, side) for a in asked] for side in ("left", "right"))
        within = Comparisons.of(left, right, outcomes)
        if way in ("active", "picked") or count in COUNTS:
            strengths = estimate_strengths(mine, within, prior=prior, start=strengths)
        if sight and count % REFIT == 0:
            sight = Posterior(rated, photos, within)
        if count in COUNTS:
            places = Comparisons.of(person.asked[left], person.asked[right], outcomes)
            yield count, places, strengths


if __name__ == "__main__":
    main()
