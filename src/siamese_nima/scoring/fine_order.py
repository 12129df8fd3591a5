"""The fine order: which of two photos of one scene is better, by score and detail together.

The score tells photos of different scenes apart; within one scene much is equal, and detail at
100 % tells what is left. Both are added up with weights that were learnt from pairs: same-scene
pairs that people rated, and photos at native resolution made worse step by step (recipes/detail).
The sum is stated in units of its own error, so that its difference is a probability.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from siamese_nima.errors import CardError
from siamese_nima.pair_error import WANTED
from siamese_nima.scoring.detail import Detail, detail_metadata

METADATA_KEY = "siamese_nima_fine_order"
# Below these, in grey levels and as a share, no difference is seen; a little blur even lowers both.
_NOISE_UNSEEN = 1.0
_NOISE_HALF_SEEN = 2.0
_COMPRESSION_UNSEEN = 0.07


@dataclass(frozen=True, slots=True, kw_only=True)
class FineOrder:
    """Weights of a difference between two photos of one scene, in units of its error.

    Attributes:
        model: Name of the model whose scores they are for.
        version: Of that model; another version's points mean something else.
        score: Per point of score.
        blur: Per unit of ln(blur), taken away.
        noise: Per unit of `seen_noise`, taken away.
        compression: Per unit of `seen_compression`, taken away.
        pairs: How many pairs they were learnt from.
    """

    model: str
    version: str
    score: float
    blur: float
    noise: float
    compression: float
    pairs: int

    def values(self, scores: Sequence[float], details: Sequence[Detail]) -> list[float]:
        """A value for each photo of one scene, higher is better; only differences mean something.

        Args:
            scores: The model's, in points.
            details: Parallel to `scores`. Where one photo has nothing to judge its blur by, that
                of none counts.
        """
        known = all(detail.blur is not None for detail in details)
        return [
            self.score * score
            - (self.blur * math.log(detail.blur) if known and detail.blur is not None else 0.0)
            - self.noise * seen_noise(detail.noise)
            - self.compression * seen_compression(detail.compression)
            for score, detail in zip(scores, details, strict=True)
        ]

    @staticmethod
    def chance(difference: float) -> float:
        """Probability, 0 to 1, that people put the first first, from the difference of two values.

        The standard normal distribution function (Thurstone, "A law of comparative judgment",
        Psychological Review 34, 1927, case V).
        """
        return 0.5 * math.erfc(-difference / math.sqrt(2))

    def too_close(self, difference: float, *, wanted: float = WANTED) -> bool:
        """Whether neither order of two photos is right with a probability of `wanted`."""
        return self.chance(abs(difference)) < wanted

    def to_json(self) -> str:
        """A text for a model file; `from_json` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> FineOrder:
        """Read what `to_json` wrote.

        Raises:
            CardError: The text is malformed.
        """
        try:
            value: Mapping[str, Any] = json.loads(text)
            weights = {
                name: float(value[name]) for name in ("score", "blur", "noise", "compression")
            }
            return cls(
                model=str(value["model"]),
                version=str(value["version"]),
                pairs=int(value["pairs"]),
                **weights,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CardError(f"malformed fine order ({type(error).__name__}: {error})") from error


def seen_noise(noise: float) -> float:
    """Noise, in grey levels of 255, on a logarithmic scale that is even where none is seen."""
    return 0.5 * math.log(max(noise, _NOISE_UNSEEN) ** 2 + _NOISE_HALF_SEEN**2)


def seen_compression(compression: float) -> float:
    """Compression, 0 to 1, even where none is seen."""
    return max(compression, _COMPRESSION_UNSEEN)


def fine_order(model: str, version: str) -> FineOrder | None:
    """The embedded fine order for a model's scores; None where none was learnt for this version."""
    order = _embedded()
    return order if (order.model, order.version) == (model, version) else None


@cache
def _embedded() -> FineOrder:
    return FineOrder.from_json(detail_metadata().get(METADATA_KEY, "{}"))
