"""Simulated people who choose between photos, from published labels: to measure without a person.

A picker has a strength for each photo, on the rating scale, and looks at each photo of a pair with
an error of its own every time (Thurstone's model). Which strengths, that is taste: those of a panel
of raters, or these mixed with something that can be measured on the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import Floats

_MEASURED_PX = 256  # long side that attributes are measured at: they are of the whole picture


@dataclass(frozen=True, slots=True, eq=False)
class Picker:
    """A simulated person.

    Attributes:
        strengths: Shape (N,), how good each photo is to this person, in rating points.
        noise: Standard deviation of one look at one photo, in rating points; above 0.
        tie: Photos that seem less than this apart are too close to call; 0 for never.
    """

    strengths: Floats
    noise: float
    tie: float = 0.0

    def __post_init__(self) -> None:
        if not (self.noise > 0 and self.tie >= 0):
            raise ConfigError(
                "a picker's noise is above 0 and what it calls a tie not below, "
                f"got {self.noise} and {self.tie}"
            )

    def answers(self, left: ArrayLike, right: ArrayLike, generator: np.random.Generator) -> Floats:
        """Answers to pairs: 1 for the left photo, 0 for the right one, .5 for too close to call.

        Args:
            left: Shape (M,), numbers of photos.
            right: Shape (M,).
            generator: Of the looks; the same pair may get another answer the next time.
        """
        gaps = self.strengths[np.asarray(left)] - self.strengths[np.asarray(right)]
        seen = gaps + generator.normal(0, sqrt(2) * self.noise, gaps.shape)
        return np.where(np.abs(seen) < self.tie, 0.5, (seen > 0).astype(np.float64))


def opinions(
    labels: ArrayLike,
    standard_errors: ArrayLike,
    generator: np.random.Generator,
    *,
    attribute: ArrayLike | None = None,
    weight: float = 0.0,
) -> Floats:
    """How good each photo is to one person who has a taste.

    Args:
        labels: Shape (N,), mean opinion scores in rating points.
        standard_errors: Of the labels, a number or shape (N,): what they do not know of the panel.
        generator: Of the labels' errors.
        attribute: Shape (N,), something that this person likes; in any unit.
        weight: Its share of the variance of the person's opinions, 0 (the panel's taste) to 1
            (nothing else counts). The opinions' mean and spread stay those of the labels.

    Raises:
        ConfigError: An impossible weight, or a weight without an attribute.
    """
    if not 0 <= weight <= 1 or (weight > 0 and attribute is None):
        raise ConfigError(f"a taste is a share of 0 to 1 of an attribute, got {weight}")
    means = np.asarray(labels, dtype=np.float64)
    drawn = means + generator.normal(size=means.shape) * np.asarray(standard_errors)
    if attribute is None:
        return np.asarray(drawn)
    mixed = sqrt(1 - weight) * _standard(drawn) + sqrt(weight) * _standard(np.asarray(attribute))
    return np.asarray(means.mean() + means.std() * mixed)


def colourfulness(photo: Image.Image) -> float:
    """How colourful a photo is: 0 for greys, about 30 for common photos, above 80 for gaudy ones.

    Reference:
        Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003.
    """
    red, green, blue = np.moveaxis(_pixels(photo), -1, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    deviation, mean = opponents.std(axis=(1, 2)), opponents.mean(axis=(1, 2))
    return float(np.hypot(*deviation) + 0.3 * np.hypot(*mean))


def brightness(photo: Image.Image) -> float:
    """Mean luma, 0 (black) to 255 (white).

    Reference:
        ITU-R BT.601.
    """
    return float((_pixels(photo) @ [0.299, 0.587, 0.114]).mean())


def _pixels(photo: Image.Image) -> NDArray[np.float64]:
    small = photo.convert("RGB")
    small.thumbnail((_MEASURED_PX, _MEASURED_PX))
    return np.asarray(small, dtype=np.float64)


def _standard(values: Floats) -> Floats:
    spread = values.std()
    if spread == 0:
        raise ConfigError("a taste needs photos that differ, all are alike")
    return np.asarray((values - values.mean()) / spread)
