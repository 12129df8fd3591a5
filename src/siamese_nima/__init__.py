"""Score and rank photos by quality, on the owner's own machine.

>>> from siamese_nima import Scorer
>>> scorer = Scorer()
>>> scorer.card.name
'quality'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from siamese_nima.card import ModelCard
from siamese_nima.curation.bursts import Burst, BurstRule, group_bursts, keepers
from siamese_nima.curation.crops import CropRule, suggest_crops, write_crop
from siamese_nima.curation.explain import explain_photo
from siamese_nima.curation.frames import FrameReader
from siamese_nima.curation.report import ThumbnailReader, write_report
from siamese_nima.curation.star_plan import plan_stars
from siamese_nima.curation.stars import StarRule, give_stars
from siamese_nima.curation.undo_log import UndoLog, undo_stars
from siamese_nima.errors import (
    AnswerError,
    CardError,
    ConfigError,
    ContaminationError,
    MissingExtraError,
    NimaError,
    PhotoError,
    RatingError,
    SidecarError,
    TableError,
    ViewError,
    WeightsError,
)
from siamese_nima.pair_error import PairError
from siamese_nima.photos import ViewPolicy, find_photos, read_photo
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.ranking import RankPlace, describe_ranking, rank_photos, rank_places
from siamese_nima.scoring.result_cache import cache_path
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.taste.answer import Answer
from siamese_nima.taste.answers import AnswerStore, answers_path

if TYPE_CHECKING:
    from siamese_nima.siamese import SiameseNIMA
    from siamese_nima.training.run import train
    from siamese_nima.training.run_config import DataConfig, TrainConfig

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AnswerError",
    "AnswerStore",
    "Burst",
    "BurstRule",
    "CardError",
    "ConfigError",
    "ContaminationError",
    "CropRule",
    "DataConfig",
    "FrameReader",
    "MissingExtraError",
    "ModelCard",
    "NimaError",
    "PairError",
    "PhotoError",
    "RankPlace",
    "RatingError",
    "RatingScale",
    "ScoredPhoto",
    "Scorer",
    "SiameseNIMA",
    "SidecarError",
    "StarRule",
    "TableError",
    "ThumbnailReader",
    "TrainConfig",
    "UndoLog",
    "ViewError",
    "ViewPolicy",
    "WeightsError",
    "answers_path",
    "cache_path",
    "describe_ranking",
    "explain_photo",
    "find_photos",
    "give_stars",
    "group_bursts",
    "keepers",
    "plan_stars",
    "rank_photos",
    "rank_places",
    "read_photo",
    "suggest_crops",
    "train",
    "undo_stars",
    "write_crop",
    "write_report",
]

# What needs torch, and where it is; scoring must never wait for it.
_TRAINING = {
    "SiameseNIMA": "siamese_nima.siamese",
    "DataConfig": "siamese_nima.training.run_config",
    "TrainConfig": "siamese_nima.training.run_config",
    "train": "siamese_nima.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _TRAINING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_TRAINING[name]), name)
    except ImportError as error:
        raise MissingExtraError.of_import(error, name, "train") from error
