"""What a person's own ratings and answers are worth, on people whom nothing has learnt from.

    python benchmarks/taste/people.py --oasis oasis --study sophoappeal --lite0 F.pth \
        --lite2 F.pth --out benchmarks/taste/people.json

Single ratings of beauty of OASIS (recipes/appeal/README.md). A third of the people is new: how
tastes differ is learnt from the others. Photos are new too: in turn a fifth of the themes is left
out of the general model and of the tastes. A new person's ratings of one half of these photos are
held out; of their other ratings, 10, 20, 50 or 100 are learnt from. So the person has rated other
photos of the same subjects, as in a folder. `other subjects`: they have not.

Ways: `ratings`, what `nima learn` does; `no prior`, the same where nothing is known of tastes;
`nothing`, ridge regression without the general model; answers to `random pairs` and to `chosen
pairs`, as `nima pick` chooses, taken from the ratings of both photos.

With `--beliefs` 60 other people judge other beliefs of how much tastes differ, and other features.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "appeal"))
import torch
from evaluate import FOLDS, options_parser
from features import BLOCKS, Features, ImageNet, read_features
from heads import Coordinates, Targets, ridge_directions, train_emd
from people import SCALE, Floats, Rated, Rows, decided_pairs, read_people
from scipy.stats import rankdata
from seen import Seen
from tastes import Belief, people_who_choose, population_tastes
from try_features import LAST, THREE

from machine import provenance, report
from siamese_nima.taste.choosing import Asked, most_informative_pair, random_pairs
from siamese_nima.taste.posterior import Posterior
from siamese_nima.taste.preference import PhotoFeatures, Tastes, fit_ratings, learn_preference
from siamese_nima.taste.session import REFIT
from siamese_nima.taste.strengths import Comparisons

COUNTS = (10, 20, 50, 100)
RIDGE, EMD = 4.0, 1.0  # as chosen for the model
PEOPLE_PARTS, HALVES = 3, 2
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
DRAWS = 1000
OTHER_PEOPLE = 60  # by whom beliefs are judged
Way = Callable[[PhotoFeatures, Floats, Rows, Rows, np.random.Generator], dict[int, Floats]]


def main() -> None:
    """Measure and write the figures."""
    parser = options_parser(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--beliefs", type=Path, help="write what other beliefs are worth, only that"
    )
    parser.add_argument("--lite1", type=Path, help="weights of EfficientNet-Lite1, for --beliefs")
    parser.add_argument("--people", type=int, default=120, help="who rate, of all")
    parser.add_argument("--pickers", type=int, default=24, help="of them, who answer pairs too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rated = read_people(options.oasis, options.study)
    features = read_features(rated, ImageNet(options.lite0, options.lite2), options.work)
    if options.beliefs:
        report({**provenance(), "rows": beliefs(rated, features, options)}, options.beliefs)
        return
    world = World.of(rated, features)
    found: dict[str, dict[str, list[tuple[int, float, float]]]] = {
        protocol: defaultdict(list) for protocol in ("same subjects", "other subjects")
    }
    people = np.random.default_rng(0).permutation(people_who_choose(rated.ratings))
    people = people[: options.people]
    parts = np.arange(len(people)) % PEOPLE_PARTS
    for part in range(PEOPLE_PARTS):
        others = world.others(np.setdiff1d(np.arange(len(rated.ratings)), people[parts == part]))
        for number in np.flatnonzero(parts == part).tolist():
            ways = RATING_WAYS | (PAIR_WAYS if number < options.pickers else {})
            for protocol, kept in found.items():
                here = ways if protocol == "same subjects" else RATING_WAYS
                for name, figures in others.judged(int(people[number]), here, protocol):
                    kept[name].append((number, *figures))
        print(f"part {part} of the people done", file=sys.stderr, flush=True)
    report(
        {
            **provenance(),
            "photos": int(rated.of_oasis.sum()),
            "people": len(people),
            "pickers": min(options.pickers, len(people)),
            "protocols": {protocol: summary(kept) for protocol, kept in found.items()},
        },
        options.out,
    )


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Photos of OASIS, and what a general model says that has seen none of their theme."""

    rated: Rated
    coordinates: Coordinates
    photos: PhotoFeatures
    fold: Rows

    @classmethod
    def of(
        cls, rated: Rated, features: Features, blocks: Sequence[int] = tuple(BLOCKS.values())
    ) -> World:
        """Train a general model for each fifth of the themes, by the others."""
        here = Coordinates(features, blocks)
        fold, count = rated.folds(FOLDS, seed=0), int(rated.of_oasis.sum())
        logits = np.zeros((count, SCALE.size))
        pairs = decided_pairs(rated.ratings)
        for number in range(FOLDS):
            held = np.flatnonzero(fold == number)
            rows = np.setdiff1d(np.arange(len(rated.means)), held)
            (direction,) = ridge_directions(here, rated, rows, (RIDGE,))
            head = train_emd(here.trained[rows], Targets.of(rated, rows, pairs), direction, EMD)
            weight, bias = (value.detach().numpy() for value in (head.weight, head.bias))
            logits[held] = here.plain[held] @ weight.T + bias
        seen = features.plain[:count]
        return cls(rated, here, PhotoFeatures(seen, logits, SCALE, (seen.shape[1],)), fold[:count])

    def others(self, known: Rows, belief: Belief | None = None) -> Others:
        """What some people's ratings teach of tastes, once for each fifth of the themes."""
        ratings = self.rated.ratings[known]
        told = [
            replace(
                self.photos,
                tastes=population_tastes(
                    self.coordinates, ratings, np.flatnonzero(self.fold != number), belief
                ),
            )
            for number in range(FOLDS)
        ]
        spread = np.maximum(np.nanstd(ratings, axis=1, keepdims=True), 0.3)
        crowd = np.nanmean((ratings - np.nanmean(ratings, axis=1, keepdims=True)) / spread, axis=0)
        return Others(self, told, crowd)


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """What is known from other people.

    Attributes:
        world: The photos.
        told: For each fifth of the themes, photos with the tastes learnt without it.
        crowd: Shape (photos,), the others' mean.
    """

    world: World
    told: list[PhotoFeatures]
    crowd: Floats

    def judged(
        self, person: int, ways: dict[str, Way], protocol: str
    ) -> Iterator[tuple[str, tuple[float, float]]]:
        """SRCC and pair agreement of a new person's held-out ratings, by way and count."""
        ratings, fold = self.world.rated.ratings[person], self.world.fold
        have = np.flatnonzero(~np.isnan(ratings))
        scores: dict[str, Floats] = defaultdict(lambda: np.full(len(ratings), np.nan))
        general = self.world.photos.scores()
        scores["general model"][have] = general[have]
        scores["crowd"][have] = self.crowd[have]
        for number, told in enumerate(self.told):
            here = np.random.default_rng([person, number]).permutation(have[fold[have] == number])
            for half, held in enumerate(np.array_split(here, HALVES)):
                draw = np.random.default_rng([person, number, half])
                other = np.setdiff1d(have, held if protocol == "same subjects" else here)
                learnt = draw.permutation(other)
                for name, way in ways.items():
                    for count, values in way(told, ratings, learnt, held, draw).items():
                        scores[f"{name}, {count}"][held] = values
        for name, values in scores.items():
            yield name, (_srcc(values[have], ratings[have]), _agreed(values[have], ratings[have]))


def _of_ratings(*tastes: Callable[[Tastes], Tastes | None]) -> Way:
    """From what is known of tastes so changed; of several, what the ratings speak for."""

    def way(
        told: PhotoFeatures, ratings: Floats, learnt: Rows, held: Rows, _draw: Any
    ) -> dict[int, Floats]:
        assert told.tastes is not None
        known, new, found = told.tastes, told.select(held), {}
        for count in COUNTS:
            rows = learnt[:count]
            if not np.ptp(ratings[rows]):
                found[count] = new.scores()
                continue
            here = told.select(rows)
            fits = [fit_ratings(replace(here, tastes=of(known)), ratings[rows]) for of in tastes]
            taste = max(fits, key=lambda fit: fit.evidence)
            found[count] = new.scores(taste.tilts(new.features))
        return found

    return way


def _times(factor: float) -> Callable[[Tastes], Tastes]:
    """Tastes so many times as strong."""
    root = np.sqrt(factor)
    return lambda known: replace(
        known, directions=root * known.directions, alone=root * known.alone
    )


def _nothing(
    told: PhotoFeatures, ratings: Floats, learnt: Rows, held: Rows, _draw: Any
) -> dict[int, Floats]:
    """Ridge regression on the features; the penalty by leaving one out."""
    found = {}
    assert told.tastes is not None
    for count in COUNTS:
        rows = learnt[:count]
        centre = told.features[rows].mean(axis=0)
        inputs, new = ((told.features[i] - centre) * told.tastes.alone for i in (rows, held))
        values, vectors = np.linalg.eigh(inputs @ inputs.T)
        targets = ratings[rows] - ratings[rows].mean()
        best, dual = np.inf, np.zeros(len(rows))
        for penalty in PENALTIES:
            inverse = (vectors / (values.clip(0) + penalty)) @ vectors.T
            tried = inverse @ targets
            missed = float(np.mean((tried / np.diag(inverse)) ** 2))
            if missed < best:
                best, dual = missed, tried
        found[count] = new @ (inputs.T @ dual)
    return found


def _of_pairs(*, chosen: bool) -> Way:
    def way(
        told: PhotoFeatures, ratings: Floats, learnt: Rows, held: Rows, draw: np.random.Generator
    ) -> dict[int, Floats]:
        rated, values = told.select(learnt), ratings[learnt]
        at_random = random_pairs(len(learnt), max(COUNTS), draw)
        numbers = np.arange(len(learnt))
        asked: list[Asked] = []
        found, new = {}, told.select(held)
        for answered in range(max(COUNTS) + 1):
            left, right = (np.array([getattr(a, s) for a in asked], np.intp) for s in SIDES)
            given = Comparisons(left, right, (np.sign(values[left] - values[right]) + 1) / 2)
            if answered in COUNTS:
                taste = learn_preference(rated, given)
                found[answered] = new.scores(taste.tilts(new.features))
            if answered == max(COUNTS):
                return found
            if chosen and answered % REFIT == 0:
                posterior = Posterior(rated, numbers, given)
            pair = most_informative_pair(posterior, asked, draw) if chosen else None
            first, second = pair or at_random[answered].tolist()
            asked.append(Asked(first, second, answered=True))
        return found

    return way


def beliefs(rated: Rated, features: Features, options: Any) -> list[dict[str, Any]]:
    """What other beliefs are worth to people by whom nothing is reported."""
    people = np.random.default_rng(0).permutation(people_who_choose(rated.ratings))
    people = people[options.people : options.people + OTHER_PEOPLE]
    known = np.setdiff1d(np.arange(len(rated.ratings)), people)
    world = World.of(rated, features)
    usual = world.others(known)
    ways: dict[str, tuple[Others, Way]] = {
        "as in the file": (usual, AS_KNOWN),
        "half as strong": (usual, _of_ratings(_times(0.5))),
        "twice as strong": (usual, _of_ratings(_times(2.0))),
        "of a quarter to four times, the most probable": (
            usual,
            _of_ratings(*map(_times, (0.25, 0.5, 1, 2, 4))),
        ),
        "8 directions": (world.others(known, Belief(directions=8)), AS_KNOWN),
        "32 directions": (world.others(known, Belief(directions=32)), AS_KNOWN),
        "half as smooth": (world.others(known, Belief(smoothing=1.5)), AS_KNOWN),
        "features twice as free": (world.others(known, Belief(alone=0.3)), AS_KNOWN),
    }
    more = {"Lite0, Lite1 and Lite2": THREE, "the three and `quality`": (*THREE, "quality")}
    for name, networks in more.items():
        blocks = _seen(rated, networks, options)
        plain = np.concatenate(blocks, axis=1).astype(np.float64)
        sizes = [block.shape[1] for block in blocks]
        other = World.of(rated, Features(plain, plain), sizes)
        ways[f"features of {name}"] = (other.others(known), AS_KNOWN)
    rows = []
    for name, (others, way) in ways.items():
        row: dict[str, Any] = {"name": name}
        for protocol in ("same subjects", "other subjects"):
            kept: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
            for number in people.tolist():
                for key, figures in others.judged(number, {"ratings": way}, protocol):
                    kept[key].append((number, *figures))
            row[protocol] = summary(kept)
        rows.append(row)
        print(name, "done", file=sys.stderr, flush=True)
    return rows


def _seen(rated: Rated, networks: Sequence[str], options: Any) -> list[Any]:
    weights = {name: getattr(options, name) for name in THREE}
    blocks = []
    for name in networks:
        parts = [
            Seen(name, "own" if name == "quality" else "warp:320").means(
                kept, paths, weights, options.work
            )
            for kept, paths in (("oasis", rated.oasis.paths), ("study", rated.study.paths))
        ]
        levels = ("b5",) if name == "quality" else LAST
        blocks += [np.concatenate([part[level] for part in parts]) for level in levels]
    return blocks


SIDES = ("left", "right")
AS_KNOWN = _of_ratings(lambda known: known)
RATING_WAYS: dict[str, Way] = {
    "ratings": AS_KNOWN,
    "no prior": _of_ratings(lambda _: None),
    "nothing": _nothing,
}
PAIR_WAYS = {"random pairs": _of_pairs(chosen=False), "chosen pairs": _of_pairs(chosen=True)}


def _srcc(scores: Floats, ratings: Floats) -> float:
    if not np.ptp(scores):
        return 0.0
    return float(np.corrcoef(rankdata(scores), rankdata(ratings))[0, 1])


def _agreed(scores: Floats, ratings: Floats) -> float:
    first, second = np.triu_indices(len(scores), 1)
    side = np.sign(ratings[first] - ratings[second])
    met = (np.sign(scores[first] - scores[second]) * side + 1) / 2
    return float(met[side != 0].mean())


def summary(kept: dict[str, list[tuple[int, float, float]]]) -> dict[str, Any]:
    """Medians over people, what they gain on the general model, and intervals of 95 %."""
    general = {number: srcc for number, srcc, _ in kept["general model"]}
    found = {}
    for name, figures in kept.items():
        values = np.array([figure[1:] for figure in figures])
        gain = values[:, 0] - [general[number] for number, *_ in figures]
        draws = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
        found[name] = {
            "people": len(values),
            "srcc": _interval(values[:, 0], draws),
            "agreement": _interval(values[:, 1], draws),
            "gain": _interval(gain, draws),
            "better": round(float(np.mean(gain > 0)), 3),
        }
    return found


def _interval(values: Floats, draws: Rows) -> dict[str, float]:
    low, high = np.quantile(np.median(values[draws], axis=1), (0.025, 0.975))
    shown = {"median": np.median(values), "low": low, "high": high}
    return {key: round(float(value), 4) for key, value in shown.items()}


if __name__ == "__main__":
    main()
