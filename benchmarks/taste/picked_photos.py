"""Photos that simulated people choose between: what a model sees in them, and published labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_nima.datasets.own_table import read_table_csv
from siamese_nima.datasets.published import read_biq2021
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.photos.read import read_photo
from siamese_nima.ratings import Floats, map_mean
from siamese_nima.taste.features import FeatureExtractor
from siamese_nima.taste.pickers import brightness, colourfulness
from siamese_nima.taste.preference import PhotoFeatures

SPLITS = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
ERROR_SHARE = 0.03  # of the scale: of a BIQ2021 label, see training.pairs
_BATCH = 8


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """Photos of one data set.

    Attributes:
        rated: What the model sees.
        labels: Shape (N,), mean opinion scores on the model's scale.
        errors: Shape (N,), their standard errors.
        scenes: Shape (N,), a number per scene.
        attributes: What can be measured on them, shape (N,) each.
    """

    rated: PhotoFeatures
    labels: Floats
    errors: Floats
    scenes: NDArray[np.intp]
    attributes: dict[str, Floats]


def read_photos(data: Path, model: FeatureExtractor, work: Path) -> Photos:
    """The test photos of BIQ2021, or all of the appeal study where `data` is its folder."""
    votes = data / "votes.csv"
    table = read_table_csv(votes) if votes.exists() else read_biq2021(data, SPLITS).split("test")
    scale = model.card.scale
    seen = _seen(table, model, work / f"{data.name}-{model.digest[:12]}.npz")
    _, scenes = np.unique(table.scenes, return_inverse=True)
    errors = table.standard_errors(scale)
    if errors is None:
        errors = np.full(len(table), ERROR_SHARE * (scale.high - scale.low))
    return Photos(
        model.rated(seen["rows"]),
        map_mean(table.mos, table.scale, scale),
        errors,
        scenes.astype(np.intp),
        {name: seen[name] for name in ("colour", "light")},
    )


def _seen(
    table: RatingTable, model: FeatureExtractor, kept: Path
) -> dict[str, NDArray[np.float32]]:
    if not kept.exists():
        parts = [_look(table.paths[i : i + _BATCH], model) for i in range(0, len(table), _BATCH)]
        kept.parent.mkdir(parents=True, exist_ok=True)
        names = ("rows", "colour", "light")
        joined = (np.concatenate(column) for column in zip(*parts, strict=True))
        np.savez(kept, **dict(zip(names, joined, strict=True)))
    with np.load(kept) as seen:
        return dict(seen)


def _look(
    paths: Sequence[Path], model: FeatureExtractor
) -> tuple[NDArray[np.float32], Floats, Floats]:
    policy = model.card.view
    photos = [read_photo(path, min_short_side_px=2 * (policy.short_side_px or 0)) for path in paths]
    rows = model.rate(np.stack([policy.views(photo) for photo in photos]))
    colour = np.array([colourfulness(photo) for photo in photos])
    light = np.array([brightness(photo) for photo in photos])
    return rows, colour, light
