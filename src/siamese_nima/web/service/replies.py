"""What the service answers, as OpenAPI describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from siamese_nima.card import ModelCard
from siamese_nima.curation.bursts import as_burst
from siamese_nima.pair_error import PairError
from siamese_nima.printable import printable
from siamese_nima.ratings import Floats
from siamese_nima.scoring.model import Model
from siamese_nima.scoring.ranking import (
    RankPlace,
    describe_order,
    describe_ranking,
    rank_photos,
    rank_places,
)
from siamese_nima.scoring.results import ScoredPhoto, rounded
from siamese_nima.web.http import Problem

_FEW = 100  # values of a list that a brief card still has
_LEFT_OUT = object()
_PROBLEM_EXAMPLE: dict[str, Any] = {
    "type": "urn:siamese-nima:problem:photo-error",
    "title": "A photo cannot be read or scored",
    "status": 422,
    "detail": "beach.jpg: not a readable photo (truncated JPEG).",
}
_MODEL_EXAMPLE: dict[str, Any] = {
    "score": 6.1213,
    "mean": 6.1213,
    "spread": 1.4021,
    "percentile": 71.2,
    "distribution": [0.004, 0.011, 0.03, 0.081, 0.194, 0.27, 0.23, 0.121, 0.045, 0.014],
    "scale": [1.0, 10.0],
    "model": "quality-4@e00f12b640c0",
    "problem": None,
}
_SCORE_EXAMPLE: dict[str, Any] = {"name": "beach.jpg", **_MODEL_EXAMPLE, "others": {}}


class ProblemReply(BaseModel):
    """Why something has no result; RFC 9457."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM_EXAMPLE]})

    type: str = Field(description="Kind of the problem: urn:siamese-nima:problem:...")
    title: str
    status: int
    detail: str = Field(description="A sentence for people.")


class ModelScore(BaseModel):
    """What one model says of a photo: `score` or `problem` is null."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MODEL_EXAMPLE]})

    score: float | None = Field(description="On `scale`; higher is better.")
    mean: float | None = Field(description="The score, by its earlier name.")
    spread: float | None = Field(
        description="How much people would disagree, in rating points; not the model's doubt."
    )
    percentile: float | None = Field(
        description="Share of the model's reference population that scores lower, 0 to 100."
    )
    distribution: list[float] | None = Field(description="A probability for every grade.")
    scale: tuple[float, float] = Field(description="Lowest and highest grade.")
    model: str = Field(description="Name, version and start of the model file's SHA-256.")
    problem: ProblemReply | None

    @classmethod
    def of(cls, result: ScoredPhoto) -> ModelScore:
        """What the first model says."""
        return cls(**_values(result))


class _Named(BaseModel):
    name: str = Field(description="File name that came with the photo.")


# The base class whose fields come first stands last.
class PhotoScore(ModelScore, _Named):
    """What the first model says of a photo, and what the others say."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SCORE_EXAMPLE]})

    others: dict[str, ModelScore] = Field(description="Results of further models by name.")

    @classmethod
    def of(cls, result: ScoredPhoto) -> PhotoScore:
        """All of a result."""
        others = {name: ModelScore.of(other) for name, other in result.others.items()}
        return cls(name=result.path, others=others, **_values(result))


class Scores(BaseModel):
    """A result for every photo, in the order sent."""

    scores: list[PhotoScore]


class Comparison(BaseModel):
    """Which of two photos is better, and how sure that is."""

    better: int = Field(description="0 if the first photo has the higher score, else 1.")
    gap: float = Field(description="Difference of the scores, 0 or more.", ge=0)
    too_close: bool | None = Field(
        description="Whether the order is too close to call; null if the model was not measured."
    )
    probability: float | None = Field(
        description="Probability that people put them in this order, .5 to 1; null if unknown."
    )
    lower: float | None = Field(description="Lower end of its interval of 95 %.")
    sentence: str = Field(description="The same in words.")
    scores: list[PhotoScore] = Field(description="The two photos in the order sent.")

    @classmethod
    def of(
        cls, results: Sequence[ScoredPhoto], by: str, pair_error: PairError | None
    ) -> Comparison:
        """Compare two photos with scores as the model `by` sees them."""
        seen = [_seen_by(result, by) for result in results]
        means = [float(one.mean or 0) for one in seen]
        better = int(means[1] > means[0])
        gap = means[better] - means[1 - better]
        return cls(
            better=better,
            gap=round(gap, 4),
            too_close=None if pair_error is None else pair_error.too_close(gap),
            probability=None if pair_error is None else _share(pair_error.accuracy_at(gap)),
            lower=None if pair_error is None else _share(pair_error.lower_at(gap)),
            sentence=describe_order(seen[better], seen[1 - better], pair_error),
            scores=[PhotoScore.of(result) for result in results],
        )


class Ranked(BaseModel):
    """A photo and its place."""

    rank: int = Field(description="1 for the best.")
    rank_best: int | None = Field(description="Best rank it could have; null if unknown.")
    rank_worst: int | None = Field(description="Worst rank it could have; null if unknown.")
    over_next: float | None = Field(
        description="Probability that people put it before the next photo; null for the last."
    )
    position: int = Field(description="Place among the photos sent, from 0.")
    score: PhotoScore

    @classmethod
    def of(cls, result: ScoredPhoto, place: RankPlace, position: int) -> Ranked:
        """A row of a ranking."""
        return cls(
            rank=place.rank,
            rank_best=place.best,
            rank_worst=place.worst,
            over_next=rounded(place.over_next, 4),
            position=position,
            score=PhotoScore.of(result),
        )


class Ranking(BaseModel):
    """Photos with a score, best first, then those without in the order sent."""

    ranking: list[Ranked]
    failed: list[PhotoScore]
    sentence: str = Field(description="How sure the order is.")

    @classmethod
    def of(cls, results: Sequence[ScoredPhoto], by: str, pair_error: PairError | None) -> Ranking:
        """Rank photos as the model `by` sees them."""
        seen = [_seen_by(result, by) for result in results]
        positions = {id(one): position for position, one in enumerate(seen)}
        ranked = rank_photos(seen)
        places = rank_places(ranked, pair_error)
        order = [positions[id(one)] for one in ranked]
        return cls(
            ranking=[
                Ranked.of(results[position], place, position)
                for position, place in zip(order, places, strict=False)
            ],
            failed=[PhotoScore.of(results[position]) for position in order[len(places) :]],
            sentence=describe_ranking(ranked, pair_error),
        )


class BurstPhoto(BaseModel):
    """A photo of a burst and how it stands against the best of it."""

    position: int = Field(description="Place among the photos sent, from 0.")
    too_close: bool | None = Field(
        description="Whether it and the best (for the best: the second) are too close to call."
    )
    reason: str = Field(description="What speaks against it beside the best; empty for the best.")
    score: PhotoScore


class BurstReply(BaseModel):
    """Photos of the same thing, best first, by score and detail at 100 % together."""

    photos: list[BurstPhoto]
    verdict: str = Field(description="How sure it is that the best is the best, in words.")

    @classmethod
    def of(cls, results: Sequence[ScoredPhoto], card: ModelCard) -> BurstReply:
        """The order of results whose `about` has their detail."""
        burst = as_burst(results, [result.about.get("detail") for result in results], card)
        positions = {id(result): position for position, result in enumerate(results)}
        unknown: tuple[bool | None, ...] = (burst.too_close, *[None] * (len(results) - 1))
        close = burst.close or unknown
        return cls(
            verdict=burst.verdict,
            photos=[
                BurstPhoto(
                    position=positions[id(photo)],
                    too_close=close[place],
                    reason=burst.reason(place),
                    score=PhotoScore.of(photo),
                )
                for place, photo in enumerate(burst.photos)
            ],
        )


class ModelReply(BaseModel):
    """A model that rates here."""

    name: str = Field(description="What `by` and `others` call it.")
    model: str = Field(description="Name, version and start of the model file's SHA-256.")
    card: dict[str, Any] = Field(description="The model card.")

    @classmethod
    def of(cls, name: str, model: Model) -> ModelReply:
        """A model with its card."""
        return cls(name=name, model=model.model_id, card=json.loads(model.card.to_json()))

    @classmethod
    def brief(cls, name: str, model: Model) -> ModelReply:
        """The same without long lists: fingerprints of training photos, scores of a population."""
        reply = cls.of(name, model)
        return reply.model_copy(update={"card": _without_lists(reply.card)})


class Models(BaseModel):
    """The models that rate here, the first one first."""

    models: list[ModelReply]


class Health(BaseModel):
    """Whether the service works."""

    status: str = Field(description='"ok", or "stopping".')


def _without_lists(value: Any) -> Any:
    """A part of a card, lists of more than a few values left out."""
    if isinstance(value, dict):
        kept = {key: _without_lists(part) for key, part in value.items()}
        return {key: part for key, part in kept.items() if part is not _LEFT_OUT}
    if isinstance(value, list | str):
        return _LEFT_OUT if len(value) > (_FEW if isinstance(value, list) else _FEW**2) else value
    return value


def problem_reply(problem: Problem) -> ProblemReply:
    """A problem as part of an answer."""
    return ProblemReply(**problem.to_json())


def _seen_by(result: ScoredPhoto, by: str) -> ScoredPhoto:
    return result.others.get(by, result)


def _values(result: ScoredPhoto) -> dict[str, Any]:
    values = result.to_dict()
    del values["path"]
    error = values.pop("error")
    problem = error and problem_reply(Problem(kind="photo-error", detail=printable(error)))
    return values | {"mean": values["score"], "problem": problem}


def _share(value: Floats) -> float:
    return round(float(value), 4)
