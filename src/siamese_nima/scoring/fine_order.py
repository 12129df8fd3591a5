"""The fine order: which of two photos of one scene is better, by score and detail together.

The score tells photos of different scenes apart; within one scene much is equal, and detail at
100 % tells what is left. Both are added up with weights that were learnt from pairs: same-scene
pairs that people rated, and photos at native resolution made worse step by step (recipes/detail).
The sum is stated in units of its own error, so that its difference is a probability.

A slight blur takes away most of a photo's fine grain and hides traces of compression, and a photo
must not win by that. So noise and compression count only as far as they are not lower because a
photo is more blurred than the sharpest of its scene.
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
# Below these, in grey levels and as a share, no difference is seen.
_NOISE_UNSEEN = 1.0
_NOISE_HALF_SEEN = 2.0
_COMPRESSION_UNSEEN = 0.07
# What a little blur takes away: noise falls by this power of the blur, compression by so much per
# unit of ln(blur). Grain above so many grey levels makes a photo read sharper than it is, so the
# difference in blur says nothing there.
_NOISE_POWER = 4.0
_BLURRED_NOISE = 3.0
_COMPRESSION_HIDDEN = 0.4
_LEAST_NOISE = 0.5  # the network's readings of less mean nothing

Reading = tuple[float | None, float, float]  # blur, noise and compression of a `Detail`


@dataclass(frozen=True, slots=True, kw_only=True)
class FineOrder:
    """Weights of a difference between two photos of one scene, in units of its error.

    Attributes:
        model: Name of the model whose scores they are for.
        version: Of that model; another version's points mean something else.
        score: Per point of score.
        blur: Per unit of ln(blur), taken away.
        noise: Per unit of noise as `terms` has it, taken away.
        compression: Per unit of compression as `terms` has it, taken away.
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
        readings = [(detail.blur, detail.noise, detail.compression) for detail in details]
        return [
            self.score * score
            - self.blur * blur
            - self.noise * noise
            - self.compression * compression
            for score, (blur, noise, compression) in zip(scores, terms(readings), strict=True)
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


def terms(readings: Sequence[Reading]) -> list[tuple[float, float, float]]:
    """What is taken away for blur, noise and compression in photos of one scene, before weights.

    ln(blur), 0 for all where one photo has nothing to judge it by; noise on a logarithmic scale and
    compression, both even where no difference is seen, and without what blur took of them.
    """
    blurs = [blur for blur, _, _ in readings if blur is not None]
    if len(blurs) < len(readings):
        return [(0.0, _seen(noise), max(c, _COMPRESSION_UNSEEN)) for _, noise, c in readings]
    sharpest = min(range(len(readings)), key=blurs.__getitem__, default=0)
    found = []
    for blur, (_, noise, compression) in zip(blurs, readings, strict=True):
        more = math.log(blur / blurs[sharpest])
        _, its_noise, its_compression = readings[sharpest]
        before = max(noise, _LEAST_NOISE) * math.exp(min(_NOISE_POWER * more, 50.0))
        noise = max(noise, min(before, its_noise, _BLURRED_NOISE))
        compression = max(
            compression, min(compression + _COMPRESSION_HIDDEN * more, its_compression)
        )
        found.append((math.log(blur), _seen(noise), max(compression, _COMPRESSION_UNSEEN)))
    return found


def _seen(noise: float) -> float:
    return 0.5 * math.log(max(noise, _NOISE_UNSEEN) ** 2 + _NOISE_HALF_SEEN**2)


def fine_order(model: str, version: str) -> FineOrder | None:
    """The embedded fine order for a model's scores; None where none was learnt for this version."""
    order = _embedded()
    return order if (order.model, order.version) == (model, version) else None


@cache
def _embedded() -> FineOrder:
    return FineOrder.from_json(detail_metadata().get(METADATA_KEY, "{}"))
