"""Too close to call: how sure the order of two photos is at a given gap of their scores.

A small value that a model card can carry; `evaluation.pair_error` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from siamese_nima.errors import CardError
from siamese_nima.ratings import Floats

WANTED = 0.8


@dataclass(frozen=True, slots=True)
class PairError:
    """Measured probability that two photos are in the order people give them, by score gap.

    Attributes:
        gaps: Ascending score gaps in points of the model's scale, from 0.
        accuracy: Probability of the right order at each gap, .5 at gap 0 and rising.
        lower: Its lower bound at each gap, which holds with 95 %.
        pairs: How many pairs it was measured on.
    """

    gaps: tuple[float, ...]
    accuracy: tuple[float, ...]
    lower: tuple[float, ...]
    pairs: int

    def __post_init__(self) -> None:
        if not len(self.gaps) == len(self.accuracy) == len(self.lower) or len(self.gaps) < 2:
            raise CardError("a pair error needs a probability and a bound per gap, at least two")
        if any(b <= a for a, b in zip(self.gaps, self.gaps[1:], strict=False)):
            raise CardError(f"the gaps of a pair error must ascend, got {self.gaps}")

    def accuracy_at(self, gap: ArrayLike) -> Floats:
        """Probability of the right order at score gaps of either sign, .5 to 1.

        Straight between the measured gaps, constant beyond the last.
        """
        return np.interp(np.abs(np.asarray(gap, dtype=np.float64)), self.gaps, self.accuracy)

    def lower_at(self, gap: ArrayLike) -> Floats:
        """The lower bound of `accuracy_at`."""
        return np.interp(np.abs(np.asarray(gap, dtype=np.float64)), self.gaps, self.lower)

    def too_close(self, gap: float, *, wanted: float = WANTED) -> bool:
        """Whether the order of two photos with this score gap is too close to call.

        It is, unless the order is right with a probability of at least `wanted` by its lower
        bound. People's own doubt is part of it: where they too would disagree, no gap of scores
        makes the order sure.
        """
        return bool(self.lower_at(gap) < wanted)

    def closest_call(self, *, wanted: float = WANTED) -> float | None:
        """The smallest gap that is not too close; None where every measured gap is."""
        reached = [i for i, bound in enumerate(self.lower) if bound >= wanted]
        if not reached or reached[0] == 0:
            return None if not reached else self.gaps[0]
        last = reached[0] - 1
        ends = slice(last, last + 2)
        return float(np.interp(wanted, self.lower[ends], self.gaps[ends]))

    def to_json(self) -> dict[str, Any]:
        """A small value for a model card; `from_json` reads it back."""
        return {
            "gaps": [round(gap, 4) for gap in self.gaps],
            "accuracy": [round(share, 4) for share in self.accuracy],
            "lower": [round(share, 4) for share in self.lower],
            "pairs": self.pairs,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PairError:
        """Read what `to_json` wrote.

        Raises:
            CardError: The value is malformed.
        """
        try:
            columns = [tuple(float(x) for x in value[n]) for n in ("gaps", "accuracy", "lower")]
            return cls(columns[0], columns[1], columns[2], int(value["pairs"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CardError(f"malformed pair error ({type(error).__name__}: {error})") from error


def describe_closest_call(pair_error: PairError | None) -> str:
    """From which gap of scores on an order is sure, in a sentence."""
    if pair_error is None:
        return "The model does not say which scores are too close to call."
    closest, wanted = pair_error.closest_call(), f"{100 * WANTED:.0f} %"
    if closest is None:
        return (
            f"No gap of scores makes the order of two photos right in {wanted} of the cases: all "
            "pairs are too close to call."
        )
    return (
        f"Two photos whose scores differ by less than {closest:.2f} points are too close to call: "
        f"below that the order is not sure to be right in {wanted} of the cases."
    )
