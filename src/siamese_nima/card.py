"""The model card: what a checkpoint or model file says about itself, carried inside the file."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from siamese_nima.errors import CardError, NimaError
from siamese_nima.pair_error import PairError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE, RatingScale

METADATA_KEY = "siamese_nima.card"
FORMAT = 1
PAIR_ERROR = "pair_error"
SCENE_PAIR_ERROR = "scene_pair_error"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(pixel - mean) / std per RGB channel, in pixel units of 0..255."""

    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)


@dataclass(frozen=True, slots=True)
class Population:
    """A named reference population: the mean scores this model gave its photos, ascending."""

    name: str
    means: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.means or any(b < a for a, b in zip(self.means, self.means[1:], strict=False)):
            raise CardError(f"population {self.name!r} needs ascending mean scores, at least one")

    def percentile(self, score: float) -> float:
        """Share of the population that scores strictly lower, in percent, 0 to 100."""
        return 100.0 * bisect_left(self.means, score) / len(self.means)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Everything needed to use, judge and rebuild a model.

    Attributes:
        name: Short name, as given to `nima score --model`.
        version: Version of this model, "1", "2", ...
        description: One sentence: what the score means.
        licence: Licence of the weights, with what it depends on.
        backbone: timm name of the backbone.
        backbone_options: What else the backbone was built with (padding, batch-norm epsilon).
        scale: The rating scale of the distribution.
        view: How a photo becomes network input.
        normalisation: From pixels to network input; applied inside the model file.
        training: Data, fingerprint of the training photos, stages, recipe; free form.
        metrics: Measured figures, each with its data set; free form but for "pair_error"
            and "scene_pair_error", see the properties.
        population: Reference population for percentiles, or None.
        credits: Sources of weights and data.
        limits: What the model must not be trusted with.
        parent: SHA-256 of the checkpoint this one was made from, or None.
        golden: Rating distribution of `golden_photo()`, the self-test checked at load, or None.
    """

    name: str
    version: str = "1"
    description: str = ""
    licence: str = "unknown"
    backbone: str
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    scale: RatingScale = AVA_SCALE
    view: ViewPolicy
    normalisation: Normalisation = Normalisation()
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    population: Population | None = None
    credits: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    parent: str | None = None
    golden: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.golden is not None and len(self.golden) != self.scale.size:
            raise CardError(
                f"model {self.name!r}: the golden distribution has {len(self.golden)} grades, "
                f"its scale {self.scale} has {self.scale.size}"
            )
        # A malformed one is found now, not in the middle of a run.
        _ = self.pair_error, self.scene_pair_error

    @property
    def pair_error(self) -> PairError | None:
        """How sure the order of two photos is, as measured; None where nobody has measured it.

        Raises:
            CardError: What `metrics` has under "pair_error" is malformed.
        """
        value = self.metrics.get(PAIR_ERROR)
        return None if value is None else PairError.from_json(value)

    @property
    def scene_pair_error(self) -> PairError | None:
        """The same for two photos of one scene, as in a burst; `pair_error` where that is unknown.

        Raises:
            CardError: What `metrics` has under "scene_pair_error" is malformed.
        """
        value = self.metrics.get(SCENE_PAIR_ERROR)
        return self.pair_error if value is None else PairError.from_json(value)

    def with_golden(self, distribution: np.ndarray[Any, np.dtype[Any]]) -> ModelCard:
        """The same card with `distribution`, shape (K,), as its self-test."""
        return replace(self, golden=tuple(float(p) for p in distribution))

    def to_json(self) -> str:
        """The card as JSON text; `from_json` reads it back unchanged."""
        population = self.population
        return json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "version": self.version,
                "description": self.description,
                "licence": self.licence,
                "backbone": self.backbone,
                "backbone_options": dict(self.backbone_options),
                "scale": [self.scale.low, self.scale.high],
                "view": self.view.to_json(),
                "normalisation": {
                    "mean": list(self.normalisation.mean),
                    "std": list(self.normalisation.std),
                },
                "training": dict(self.training),
                "metrics": dict(self.metrics),
                "population": population
                and {"name": population.name, "means": list(population.means)},
                "credits": list(self.credits),
                "limits": list(self.limits),
                "parent": self.parent,
                "golden": self.golden and list(self.golden),
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card.

        Raises:
            CardError: Not JSON, a field is missing or has the wrong shape, or the card was written
                by a newer version of this package.
        """
        try:
            values = json.loads(text)
            if values["format"] > FORMAT:
                raise CardError(
                    f"the model card has format {values['format']}, this version reads up to "
                    f"{FORMAT}; update siamese-nima"
                )
            population = values["population"]
            return cls(
                name=values["name"],
                version=values["version"],
                description=values["description"],
                licence=values["licence"],
                backbone=values["backbone"],
                backbone_options=values["backbone_options"],
                scale=RatingScale(*values["scale"]),
                view=ViewPolicy.from_json(values["view"]),
                normalisation=Normalisation(
                    mean=_three(values["normalisation"]["mean"]),
                    std=_three(values["normalisation"]["std"]),
                ),
                training=values["training"],
                metrics=values["metrics"],
                population=population
                and Population(population["name"], tuple(map(float, population["means"]))),
                credits=tuple(values["credits"]),
                limits=tuple(values["limits"]),
                parent=values["parent"],
                golden=values["golden"] and tuple(map(float, values["golden"])),
            )
        except NimaError as error:
            raise CardError(f"malformed model card: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CardError(f"malformed model card ({type(error).__name__}: {error})") from error


def _three(values: list[float]) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def golden_photo() -> Image.Image:
    """The 320 x 240 picture of the self-test: ramps, a disc and fine texture.

    Integer arithmetic only, so that it is the same to the bit on every machine.
    """
    y, x = np.mgrid[0:240, 0:320].astype(np.int64)
    red = x * 255 // 319
    green = y * 255 // 239
    blue = (x * y // 31 + (x * x + 3 * y * y) // 97) % 256
    disc = (x - 200) ** 2 + (y - 110) ** 2 < 70**2
    checker = ((x // 4 + y // 4) % 2) * 90
    pixels = np.stack(
        [
            np.where(disc, 255 - red, red),
            np.where(disc, (green + checker) % 256, green),
            np.where(disc, blue, (255 - blue) // 2 + checker // 2),
        ],
        axis=-1,
    )
    return Image.fromarray(pixels.astype(np.uint8), "RGB")
