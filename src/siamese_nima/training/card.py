"""What a trained network is said to be: its card, with figures on photos it did not learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from siamese_nima.card import ModelCard, Population
from siamese_nima.datasets.contamination import PHOTO_PRINTS, training_record
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import TableError
from siamese_nima.evaluation.metrics import measure_agreement
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.networks.nima import NIMA, PhotoNIMA
from siamese_nima.ratings import Floats, mean
from siamese_nima.training.config import TrainConfig
from siamese_nima.training.data import SplitViews
from siamese_nima.training.start import Start

POPULATION_PHOTOS = 100  # below it percentiles would be of single photos
VAL_FIGURES = "val photos"
_BATCH = 16


def rate(nima: NIMA, card: ModelCard, pixels: NDArray[np.uint8]) -> Floats:
    """Mean scores, shape (N,), of cut views of shape (N, V, H, W, 3)."""
    network = PhotoNIMA(nima, card.normalisation).eval()
    rated = []
    with torch.inference_mode():
        for start in range(0, len(pixels), _BATCH):
            batch = torch.from_numpy(np.array(pixels[start : start + _BATCH]))
            rated.append(network(batch).numpy())
    return mean(np.concatenate(rated).astype(np.float64), card.scale)


def agreement(scores: Floats, table: RatingTable, card: ModelCard) -> dict[str, Any]:
    """Figures of scores on rated photos; RMSE as a share of the scale's width."""
    low, width = card.scale.low, card.scale.high - card.scale.low
    labels = table.means(card.scale)
    found = measure_agreement((scores - low) / width, (labels - low) / width, table.scenes)
    return dict(found.to_json())


def trained_card(start: Start, train: RatingTable, config: TrainConfig) -> ModelCard:
    """The card of the network that a run trains, as yet without figures."""
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
    licence = "that of the weights it started from"
    if parent is not None:
        licence += f" ({parent.licence})"
    return replace(
        start.card,
        name=config.name,
        version="1",
        description=f"Rating of a photo as in {config.data.source}, {start.card.scale}; higher is "
        "better.",
        licence=licence,
        training=training,
        metrics={},
        # Measured on the scores of another network.
        population=None,
        golden=None,
        parent=start.digest,
    )


def with_figures(card: ModelCard, val: SplitViews, scores: Floats, before: Any) -> ModelCard:
    """The card with figures on val photos, by which the epoch was chosen.

    Args:
        card: See `trained_card`.
        val: The photos.
        scores: Shape (N,), what the network gives them.
        before: The figures of the network that training started from; None for a new head.
    """
    table = val.table
    metrics: dict[str, Any] = {VAL_FIGURES: agreement(scores, table, card)}
    if before is not None:
        metrics["the same before training"] = before
    try:
        error = measure_pair_error(
            scores, table.means(card.scale), table.scenes, groups=table.subsets
        )
        metrics["pair_error"] = error.to_json()
    except TableError:
        pass  # too few pairs to measure it on
    population = None
    if len(table) >= POPULATION_PHOTOS:
        means = tuple(float(score) for score in np.sort(np.round(scores, 3)))
        population = Population(f"val photos of {card.training['data']}", means)
    return replace(card, metrics=metrics, population=population)
