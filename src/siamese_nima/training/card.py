"""What a trained network is said to be: its card, with figures on photos it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima.card import PAIR_ERROR, ModelCard, Population
from siamese_nima.datasets.contamination import PHOTO_PRINTS, training_record
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import CardError, TableError
from siamese_nima.evaluation.metrics import measure_agreement
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import Floats
from siamese_nima.training.config import TrainConfig
from siamese_nima.training.start import Start

POPULATION_PHOTOS = 100  # below it percentiles would be of single photos
VAL_FIGURES = "val photos"
TEST_FIGURES = "test photos"
_COLLAPSED = 0.002  # of the scale's width, the spread of scores that tell nothing apart


def problem_of(scores: Floats, after: dict[str, Any], before: Any, card: ModelCard) -> str | None:
    """Why a trained network should not be used, as a sentence; None where nothing says so.

    Args:
        scores: Shape (N,), what it gives val photos.
        after: Its figures on them; see `agreement`.
        before: Those of the network that training started from; None for a new head.
        card: For its scale.
    """
    spread = float(np.std(scores)) / (card.scale.high - card.scale.low)
    found = float(after["srcc"]["value"])
    if spread < _COLLAPSED:
        return f"all val photos get nearly the same score, {float(np.mean(scores)):.2f}"
    if not found > 0:
        return f"its order of the val photos is no better than chance (SRCC {found:.3f})"
    if before is not None and not found > float(before["srcc"]["value"]):
        return "it ranks the val photos no better than the model that training started from"
    return None


def agreement(scores: Floats, table: RatingTable, card: ModelCard) -> dict[str, Any]:
    """Figures of scores on rated photos; RMSE as a share of the scale's width."""
    low, width = card.scale.low, card.scale.high - card.scale.low
    labels = table.means(card.scale)
    found = measure_agreement((scores - low) / width, (labels - low) / width, table.scenes)
    return dict(found.to_json())


def trained_card(
    start: Start, train: RatingTable, config: TrainConfig, more: Mapping[str, Any]
) -> ModelCard:
    """The card of the network that a run has trained, as yet without figures.

    Beside what a start, its training photos and a configuration say of it, `more` tells how it was
    made.
    """
    parent = start.parent
    training: dict[str, Any] = {
        "by": "nima train",
        "data": config.data.source,
        **training_record(train, parent),
        "start": config.start,
        "stages": [stage.entries() for stage in config.stage],
        "seed": config.seed,
    }
    if parent is not None:
        training["before"] = {k: v for k, v in parent.training.items() if k != PHOTO_PRINTS}
    training |= more
    of_parent = "" if parent is None else f" ({parent.licence})"
    said: dict[str, Any] = {
        "version": "1",
        "description": f"Rating of a photo as in {config.data.source}, {start.card.scale}; "
        "higher is better.",
        "licence": f"that of the weights it started from{of_parent}",
    }
    return replace(
        start.card,
        name=config.name,
        **said | {name: value for name, value in config.card.items() if value},
        training=training,
        metrics={},
        # Measured on the scores of another network.
        population=None,
        golden=None,
        parent=start.digest,
    )


def with_figures(
    card: ModelCard,
    val: RatingTable,
    scores: Floats,
    before: Any,
    test: tuple[RatingTable, Floats] | None,
) -> ModelCard:
    """The card with figures on val photos, by which the epoch was chosen, and on test photos.

    The error of pairs is measured within subsets, on test photos where there are any.

    Args:
        card: See `trained_card`.
        val: Photos.
        scores: Shape (N,), what the network gives them.
        before: `agreement` of what it was before; None for a new head.
        test: The same of test photos: these, and their scores.
    """
    metrics: dict[str, Any] = {VAL_FIGURES: agreement(scores, val, card)}
    if before is not None:
        metrics["the same before training"] = before
    if test is not None:
        metrics[TEST_FIGURES] = agreement(test[1], test[0], card)
    table, judged = (val, scores) if test is None else test
    with suppress(TableError, CardError):  # too few pairs, or scores that are all but equal
        labels = table.means(card.scale)
        error = measure_pair_error(judged, labels, table.scenes, groups=table.subsets).to_json()
        PairError.from_json(error)
        metrics[PAIR_ERROR] = error
    population = None
    if len(val) >= POPULATION_PHOTOS:
        means = tuple(float(score) for score in np.sort(np.round(scores, 3)))
        source = Path(card.training["data"].rpartition(":")[2]).name
        population = Population(f"val photos of {source} (not trained on)", means)
    return replace(card, metrics=metrics, population=population)
