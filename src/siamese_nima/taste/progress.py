"""How far a person is with answering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siamese_nima.taste.answer import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one person is.

    Attributes:
        answers: What they said of pairs of these photos, in all sessions; flags left out.
        flags: Pairs they set aside.
        goal: Answers that are asked for, or as many pairs as there are.
        can_undo: Whether anything of this session can be taken back.
        wrong_before: Share of pairs for which the model's scores alone would guess wrong what they
            choose, as far as can be told; 0 to .5.
        wrong_now: The same after the answers.
        repeated: Pairs that were answered a second time.
        same: How many of these got the same answer.
        decided: Answers that were no tie.
        as_model: How many of these preferred the photo with the higher score.
    """

    answers: int
    flags: int
    goal: int
    can_undo: bool
    wrong_before: float
    wrong_now: float
    repeated: int
    same: int
    decided: int
    as_model: int


def repeats(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many pairs were answered a second time, and how many of these in the same way."""
    first: dict[tuple[str, str], Answer] = {}
    second: dict[tuple[str, str], Answer] = {}
    for answer in answers:
        if answer.pair in first:
            second.setdefault(answer.pair, answer)
        else:
            first[answer.pair] = answer
    same = sum(answer.better == first[pair].better for pair, answer in second.items())
    return len(second), same
