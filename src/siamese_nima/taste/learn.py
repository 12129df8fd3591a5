"""A model of one's own, learnt from answers to 'which of these two is better?'."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima.atomic_write import write_whole
from siamese_nima.card import PAIR_ERROR, ModelCard, Population
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.contamination import PHOTO_PRINTS, record_of
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
    self_agreement,
)
from siamese_nima.taste.answers import Answer
from siamese_nima.taste.features import FeatureExtractor, Report, extract_features
from siamese_nima.taste.preference import PhotoFeatures, PreferenceModel, learn_preference
from siamese_nima.taste.strengths import Comparisons

LEAST_ANSWERS = 40  # below it a gain is hardly ever told from chance (docs/results.md)
GOOD_ANSWERS = 200
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
    model: str = "quality"
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
        comparisons: The answers that were used.
        photos: How many photos they are about.
        left_out: Answers that were not used, by the reason.
        held_out: How both models do on answers they have not learnt from.
        self_agreement: How often the same answer was given again.
        by_photo: Whether the answers follow from ratings.
        model: The file that was written; None where the personal model is not better.
        card: Its card; None likewise.
    """

    config: LearnConfig
    general: str
    people: tuple[str, ...]
    comparisons: Comparisons
    photos: int
    left_out: dict[str, int]
    held_out: HeldOut
    self_agreement: Share
    by_photo: bool = False
    model: Path | None = None
    card: ModelCard | None = None

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
            "answers": len(self.comparisons),
            "ties": int(np.sum(self.comparisons.outcome == 0.5)),
            "photos": self.photos,
            "left_out": self.left_out,
            "agreement": {
                "general": found.general.to_json(),
                "personal": found.personal.to_json(),
                "difference": found.difference.to_json(),
                "self": self.self_agreement.to_json(),
            },
            "verdict": found.verdict,
            "held_out": {"folds": FOLDS, "new_photos": self.held_out.new_photos},
            "seed": self.config.seed,
        }


def learn(
    folder: Path,
    answers: Sequence[Answer],
    config: LearnConfig,
    *,
    by_photo: bool = False,
    workers: int | None = None,
    report: Report | None = None,
) -> Learnt:
    """Learn a taste from answers, judge it on held-out ones, and write its model if it is better.

    Args:
        folder: Where the photos are.
        answers: About its photos; of one person, or of several to be pooled.
        config: What the model is called and made from.
        by_photo: Whether the answers follow from ratings; see `ratings.answers_of_ratings`.
        workers: Threads; one per usable core by default.
        report: Called with photos looked at and photos in all.

    Raises:
        AnswerError: Too few answers about photos that can be read.
        WeightsError: The general model cannot take a taste, or the file cannot be written.
        ConfigError: The name is taken by another model.
    """
    path = find_model(config.model)
    target = _target(config.name)
    opened = FeatureExtractor(path)
    here = [a for a in answers if (folder / a.left).is_file() and (folder / a.right).is_file()]
    _check_enough(here, len(answers) - len(here), folder)
    asked = sorted({name for answer in here for name in answer.pair})
    more = _others(folder, asked, POPULATION_PHOTOS - len(asked), config.seed)
    names = [*asked, *more]
    rows = extract_features(folder, names, opened, workers=workers or usable_cores(), report=report)
    used = [a for a in here if a.left in rows and a.right in rows]
    _check_enough(used, len(answers) - len(used), folder)
    names = sorted({name for answer in used for name in answer.pair})
    rated = opened.features(np.stack([rows[name] for name in names]))
    comparisons = Comparisons.from_answers(
        used, {name: number for number, name in enumerate(names)}
    )
    people = tuple(dict.fromkeys(answer.person for answer in used))
    whose = np.array([people.index(answer.person) for answer in used])
    learnt = Learnt(
        config=config,
        general=opened.model_id,
        people=people,
        comparisons=comparisons,
        photos=len(names),
        left_out={
            "photos are not there": len(answers) - len(here),
            "photos cannot be read": len(here) - len(used),
        },
        held_out=judge_held_out(rated, comparisons, by_photo=by_photo, seed=config.seed),
        self_agreement=self_agreement(comparisons, whose, seed=config.seed),
        by_photo=by_photo,
    )
    if not (learnt.better or config.keep):
        return learnt
    preference = learn_preference(rated, comparisons)
    prints = [_hash(folder / name) for name in names]
    everything = opened.features(np.stack(list(rows.values())))
    card = _card(learnt, opened, prints, preference, _population(everything, preference, folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    card = opened.write(preference, card, target)
    text = json.dumps(learnt.to_json() | {"model": target.name}, indent=1, ensure_ascii=False)
    write_whole(target.with_suffix(".json"), text.encode() + b"\n", WeightsError)
    return replace(learnt, model=target, card=card)


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


def _check_enough(answers: Sequence[Answer], left_out: int, folder: Path) -> None:
    decided = sum(answer.choice != "tie" for answer in answers)
    if decided < LEAST_ANSWERS:
        but = f" ({left_out} more are about photos that are not there or cannot be read)"
        raise AnswerError(
            f"{folder}: {decided} answers that name the better photo{but if left_out else ''}; "
            f"a taste is learnt from {LEAST_ANSWERS} or more, {GOOD_ANSWERS} are a good number. "
            f"'nima pick {folder}' asks for more."
        )


def _others(folder: Path, asked: Collection[str], count: int, seed: int) -> list[str]:
    """Names of some more photos of the folder, any of them."""
    found = [Path(path).relative_to(folder).as_posix() for path in find_photos([str(folder)]).names]
    rest = sorted(set(found) - set(asked))
    order = np.random.default_rng(seed).permutation(len(rest))[: max(count, 0)]
    return [rest[place] for place in sorted(order)]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    people = " and ".join(learnt.people)
    return replace(
        parent,
        name=learnt.config.name,
        version="1",
        description=f"What {people} would choose: {parent.name}, tilted by the answers to "
        f"{len(learnt.comparisons)} pairs; {parent.scale}, higher is better.",
        licence=f"that of {parent.name} ({parent.licence})",
        training={
            "by": _MADE_BY,
            "data": f"{len(learnt.comparisons)} answers about {learnt.photos} photos",
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
