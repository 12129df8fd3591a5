"""A taste judged on answers that it was not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siamese_nima.ratings import Floats
from siamese_nima.taste.agreement import Agreement, compare_agreement, held_out_folds
from siamese_nima.taste.coupling import Indices
from siamese_nima.taste.strengths import Comparisons
from siamese_nima.taste.tilt import Rated, Tilt, TiltPrior, learn_tilt

FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What models say of answers that they have not learnt from.

    Attributes:
        agreement: Of the general model and of the person's, and which is better.
        gaps: Shape (M,), score of the left photo less that of the right one by the personal model
            that did not learn from this answer.
        new_photos: Whether the photos of the answers were new to it as well.
    """

    agreement: Agreement
    gaps: Floats
    new_photos: bool


def judge_held_out(
    rated: Rated, comparisons: Comparisons, *, folds: int = FOLDS, seed: int = 0
) -> HeldOut:
    """Judge what is learnt from answers by cross-validation: each is held out once.

    Args:
        rated: The photos, numbered as the answers have them.
        comparisons: Answers, at least as many as folds, one of them decided.
        folds: Times that a taste is learnt, from all answers but those of one fold.
        seed: Of the folds and the intervals.

    Raises:
        RatingError: No answer names the better photo.
    """
    fold = held_out_folds(comparisons, folds, seed=seed)
    general = rated.scores()
    personal = np.zeros(len(comparisons))
    new_photos = True
    for number in np.unique(fold):
        out = fold == number
        tilt = tilt_of_answers(rated, comparisons.select(~out))
        scores = rated.scores(tilt.of(rated.features))
        left, right = comparisons.left[out], comparisons.right[out]
        personal[out] = scores[left] - scores[right]
        shown = _photos(comparisons.select(~out))
        new_photos &= not np.isin(_photos(comparisons.select(out)), shown).any()
    before = general[comparisons.left] - general[comparisons.right]
    agreement = compare_agreement(before, personal, comparisons, seed=seed)
    return HeldOut(agreement, personal, bool(new_photos))


def tilt_of_answers(
    rated: Rated, comparisons: Comparisons, priors: Sequence[TiltPrior] | None = None
) -> Tilt:
    """The taste that answers about some of the photos show; see `learn_tilt`."""
    photos = _photos(comparisons)
    place = np.full(len(rated.features), -1, dtype=np.intp)
    place[photos] = np.arange(photos.size)
    left, right = place[comparisons.left], place[comparisons.right]
    return learn_tilt(rated.select(photos), Comparisons(left, right, comparisons.outcome), priors)


def _photos(comparisons: Comparisons) -> Indices:
    return np.unique(np.concatenate([comparisons.left, comparisons.right]))
