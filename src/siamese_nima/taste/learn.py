"""A model of one's own, learnt from answers to 'which of these two is better?'."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima.atomic_write import check_output, write_whole
from siamese_nima.card import PAIR_ERROR, ModelCard, Population
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.contamination import PHOTO_PRINTS, record_of
from siamese_nima.datasets.rating_table import file_hash
from siamese_nima.errors import AnswerError, ConfigError, WeightsError
from siamese_nima.evaluation.pairs import LEAST_PAIRS, pair_error_of_answers
from siamese_nima.photos.find import find_photos
from siamese_nima.scoring.catalogue import embedded_models, find_model, models_folder
from siamese_nima.scoring.model import read_card
from siamese_nima.taste.agreement import (
    FOLDS,
    HeldOut,
    Share,
    agreements,
    judge_held_out,
    judge_ratings,
    self_agreement,
)
from siamese_nima.taste.answers import SOMEBODY, Answer, in_words
from siamese_nima.taste.features import FeatureExtractor, Report, extract_features
from siamese_nima.taste.preference import (
    PhotoFeatures,
    PreferenceModel,
    fit_ratings,
    learn_preference,
)
from siamese_nima.taste.session import TASTE_MODEL
from siamese_nima.taste.strengths import Comparisons

LEAST_ANSWERS = 40  # below it a gain is hardly ever told from chance (docs/taste.md)
GOOD_ANSWERS = 200
LEAST_RATINGS = 20
_LEAST_UNUSUAL = FOLDS  # ratings unlike most: each part that is held out has one
POPULATION_PHOTOS = 300
_LEAST_POPULATION = 100  # below it percentiles would be of single photos
_MADE_BY = "nima learn"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnConfig:
    """What is learnt from, and what the result is called.

    Attributes:
        name: Of the model; the file is NAME.onnx in the models folder.
        model: The general model that the taste is put on.
        keep: Write the model even where it is not better than the general one.
        seed: Of what is held out when, of intervals, and of photos for percentiles.
    """

    name: str
    model: str | os.PathLike[str] = TASTE_MODEL
    keep: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ConfigError(f"the name of a model is a file name, got {self.name!r}")
        if "," in self.name or Path(self.name).suffix:
            raise ConfigError(
                f"the name of a model has no comma and no ending such as .onnx, got {self.name!r}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What came of it.

    Attributes:
        config: What was asked for.
        general: Name of the general model.
        people: Whose answers.
        photos: How many photos they are about.
        left_out: Answers or ratings that were not used, by the reason.
        held_out: How both models do on answers they have not learnt from.
        self_agreement: How often the same answer was given again; None of ratings.
        model: The file that was written; None where the personal model is not better.
        card: Its card; None likewise.
    """

    config: LearnConfig
    general: str
    people: tuple[str, ...]
    photos: int
    left_out: dict[str, int]
    held_out: HeldOut
    self_agreement: Share | None
    model: Path | None = None
    card: ModelCard | None = None

    @property
    def comparisons(self) -> Comparisons:
        """The answers that were used; of ratings, pairs of photos to judge by."""
        return self.held_out.comparisons

    @property
    def source(self) -> str:
        """What was learnt from, in words."""
        if self.self_agreement is None:
            return f"ratings of {self.photos} photos"
        return f"answers to {len(self.comparisons)} pairs"

    @property
    def better(self) -> bool:
        """Whether the personal model agrees more often, and not by chance."""
        return self.held_out.agreement.verdict == "better"

    def to_json(self) -> dict[str, Any]:
        """The report."""
        found = self.held_out.agreement
        return {
            "name": self.config.name,
            "general": self.general,
            "people": list(self.people),
            "from": "ratings" if self.self_agreement is None else "answers",
            "answers": len(self.comparisons),
            "ties": int(np.sum(self.comparisons.outcome == 0.5)),
            "photos": self.photos,
            "left_out": self.left_out,
            "agreement": {
                "general": found.general.to_json(),
                "personal": found.personal.to_json(),
                "difference": found.difference.to_json(),
                "self": self.self_agreement.to_json() if self.self_agreement else None,
            },
            "verdict": found.verdict,
            "held_out": {"folds": FOLDS, "new_photos": self.held_out.new_photos},
            "seed": self.config.seed,
        }


def learn(
    folder: str | os.PathLike[str],
    said: Sequence[Answer] | Mapping[str, float],
    config: LearnConfig,
    *,
    person: str = SOMEBODY,
    workers: int | None = None,
    report: Report | None = None,
) -> Learnt:
    """Learn a taste, judge it on what is held out, and write its model if it is better.

    Args:
        folder: Where the photos are.
        said: Answers about pairs of its photos, of one person or of several to be pooled; or one
            person's ratings by name of photo, on any scale, more being better.
        config: What the model is called and made from.
        person: Whose ratings they are; answers say it themselves.
        workers: Threads; one per usable core by default.
        report: Called with photos looked at and photos in all.

    Raises:
        AnswerError: Too few answers or ratings of photos that can be read.
        WeightsError: The general model cannot take a taste, or the file cannot be written.
        ConfigError: The name is taken by another model.
    """
    folder, path = Path(folder), find_model(config.model)
    target = _target(config.name)
    for written in (target, target.with_suffix(".json")):
        if written.exists():
            check_output(written, "a model", ())
    opened = FeatureExtractor(path)
    there = _about(said, lambda name: (folder / name).is_file())
    _check_enough(there, len(said) - len(there), folder)
    asked = _photos(there)
    more = _others(folder, asked, POPULATION_PHOTOS - len(asked), config.seed)
    workers = workers or usable_cores()
    rows = extract_features(folder, [*asked, *more], opened, workers=workers, report=report)
    used = _about(there, rows.__contains__)
    _check_enough(used, len(said) - len(used), folder)
    names = _photos(used)
    rated = opened.features(np.stack([rows[name] for name in names]))
    judged, same, preference, people = _taste(used, names, rated, config.seed, person)
    learnt = Learnt(
        config=config,
        general=opened.model_id,
        people=people,
        photos=len(names),
        left_out={
            "photos are not there": len(said) - len(there),
            "photos cannot be read": len(there) - len(used),
        },
        held_out=judged,
        self_agreement=same,
    )
    if not (learnt.better or config.keep):
        return learnt
    prints = [file_hash(folder / name) for name in names]
    everything = opened.features(np.stack(list(rows.values())))
    card = _card(learnt, opened, prints, preference, _population(everything, preference, folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    card = opened.write(preference, card, target)
    text = json.dumps(learnt.to_json() | {"model": target.name}, indent=1, ensure_ascii=False)
    write_whole(target.with_suffix(".json"), text.encode() + b"\n", WeightsError)
    return replace(learnt, model=target, card=card)


def _taste(
    said: Sequence[Answer] | Mapping[str, float],
    names: Sequence[str],
    rated: PhotoFeatures,
    seed: int,
    person: str,
) -> tuple[HeldOut, Share | None, PreferenceModel, tuple[str, ...]]:
    """What is learnt from all, how it does held out, and whose it is."""
    if isinstance(said, Mapping):
        values = np.array([said[name] for name in names])
        return judge_ratings(rated, values, seed=seed), None, fit_ratings(rated, values), (person,)
    people = tuple(dict.fromkeys(answer.person for answer in said))
    whose = np.array([people.index(answer.person) for answer in said])
    numbers = {name: number for number, name in enumerate(names)}
    comparisons = Comparisons.from_answers(said, numbers)
    return (
        judge_held_out(rated, comparisons, seed=seed),
        self_agreement(comparisons, whose, seed=seed),
        learn_preference(rated, comparisons),
        people,
    )


def _about(
    said: Sequence[Answer] | Mapping[str, float], there: Callable[[str], bool]
) -> Sequence[Answer] | Mapping[str, float]:
    """What was said of photos that are there."""
    if isinstance(said, Mapping):
        return {name: value for name, value in said.items() if there(name)}
    return [answer for answer in said if there(answer.left) and there(answer.right)]


def _photos(said: Sequence[Answer] | Mapping[str, float]) -> list[str]:
    if isinstance(said, Mapping):
        return sorted(said)
    return sorted({name for answer in said for name in answer.pair})


def _target(name: str) -> Path:
    """Where the model goes.

    Raises:
        ConfigError: Another model has the name.
    """
    target = models_folder() / f"{name}.onnx"
    if name in embedded_models():
        raise ConfigError(f"--name {name}: an embedded model has this name; take another")
    if target.exists() and read_card(target).training.get("by") != _MADE_BY:
        raise ConfigError(f"--name {name}: {target} is another kind of model; take another name")
    return target


def _check_enough(
    said: Sequence[Answer] | Mapping[str, float], left_out: int, folder: Path
) -> None:
    but = f" ({left_out} more are about photos that are not there or cannot be read)"
    but = but if left_out else ""
    if isinstance(said, Mapping):
        unusual = len(said) - max(Counter(said.values()).values(), default=0)
        if len(said) < LEAST_RATINGS or unusual < _LEAST_UNUSUAL:
            raise AnswerError(
                f"{folder}: {len(said)} rated photos{but}, {unusual} of them with another rating "
                f"than most; a taste is learnt from {LEAST_RATINGS} or more with {_LEAST_UNUSUAL} "
                f"or more others. 'nima pick {folder}' asks about pairs instead."
            )
        return
    decided = sum(answer.choice != "tie" for answer in said)
    if decided < LEAST_ANSWERS:
        raise AnswerError(
            f"{folder}: {decided} answers that name the better photo{but}; "
            f"a taste is learnt from {LEAST_ANSWERS} or more, {GOOD_ANSWERS} are a good number. "
            f"'nima pick {folder}' asks for more."
        )


def _others(folder: Path, asked: Collection[str], count: int, seed: int) -> list[str]:
    """Names of some more photos of the folder, any of them."""
    found = [Path(path).relative_to(folder).as_posix() for path in find_photos([str(folder)]).names]
    rest = sorted(set(found) - set(asked))
    order = np.random.default_rng(seed).permutation(len(rest))[: max(count, 0)]
    return [rest[place] for place in sorted(order)]


def _population(
    everything: PhotoFeatures, preference: PreferenceModel, folder: Path
) -> Population | None:
    scores = everything.scores(preference.tilts(everything.features))
    if scores.size < _LEAST_POPULATION:
        return None
    means = tuple(float(score) for score in np.sort(np.round(scores, 3)))
    return Population(f"photos of the folder {folder.resolve().name!r}", means)


def _card(
    learnt: Learnt,
    opened: FeatureExtractor,
    prints: Sequence[str],
    preference: PreferenceModel,
    population: Population | None,
) -> ModelCard:
    parent = opened.card
    record = learnt.to_json()
    metrics: dict[str, Any] = {
        "held-out answers": {k: record[k] for k in ("agreement", "verdict", "held_out")}
    }
    decided = learnt.comparisons.outcome != 0.5
    gaps = learnt.held_out.gaps
    if decided.sum() >= LEAST_PAIRS and np.ptp(np.abs(gaps[decided])) > 0:
        right = agreements(gaps, learnt.comparisons)[decided]
        error = pair_error_of_answers(gaps[decided], right, seed=learnt.config.seed)
        metrics[PAIR_ERROR] = error.to_json()
    people = " and ".join(in_words(person) for person in learnt.people)
    return replace(
        parent,
        name=learnt.config.name,
        version="1",
        description=f"What {people} would choose: {parent.name}, tilted by the "
        f"{learnt.source}; {parent.scale}, higher is better.",
        licence=f"that of {parent.name} ({parent.licence})",
        training={
            "by": _MADE_BY,
            "data": f"{learnt.source}, {learnt.photos} photos in all",
            **record_of(prints, parent),
            "start": learnt.general,
            "prior": {"spread": preference.prior.spread, "noise": preference.prior.noise},
            "seed": learnt.config.seed,
            "before": {k: v for k, v in parent.training.items() if k != PHOTO_PRINTS},
        },
        metrics=metrics,
        population=population,
        limits=(*parent.limits, "Made from one folder's photos: on others it may mean less."),
        golden=None,
        parent=opened.digest,
    )
