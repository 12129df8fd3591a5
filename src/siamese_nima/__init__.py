"""Score and rank photos by quality, on the owner's own machine.

>>> from siamese_nima import Scorer
>>> scorer = Scorer()
>>> scorer.card.name
'quality'
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from siamese_nima._version import __version__ as __version__

# Names that are to be had from here, but are none that people begin with, stand twice: `X as X`.
# isort: off
if TYPE_CHECKING:
    from siamese_nima.card import ModelCard as ModelCard
    from siamese_nima.curation.bursts import (
        Burst as Burst,
        BurstRule as BurstRule,
        Frame as Frame,
        FrameReader as FrameReader,
        find_bursts,
        group_bursts as group_bursts,
        keepers as keepers,
    )
    from siamese_nima.curation.copies import copy_ranked
    from siamese_nima.curation.crops import (
        Crop as Crop,
        CropRule as CropRule,
        CropSuggestion as CropSuggestion,
        suggest_crops,
        write_crop,
    )
    from siamese_nima.curation.explain import Explanation as Explanation, explain_photo
    from siamese_nima.curation.sidecars import UndoLog as UndoLog, Undone as Undone, undo_stars
    from siamese_nima.curation.stars import (
        SidecarChange as SidecarChange,
        StarRule as StarRule,
        give_stars,
        plan_stars,
        write_stars,
    )
    from siamese_nima.datasets.sources import RatedSource
    from siamese_nima.errors import (
        AnswerError as AnswerError,
        CardError as CardError,
        ConfigError as ConfigError,
        ContaminationError as ContaminationError,
        MissingExtraError as MissingExtraError,
        NimaError,
        PhotoError as PhotoError,
        RatingError as RatingError,
        SidecarError as SidecarError,
        TableError as TableError,
        ViewError as ViewError,
        WeightsError as WeightsError,
    )
    from siamese_nima.evaluation.judging import (
        Comparison as Comparison,
        Evaluation as Evaluation,
        compare,
        evaluate,
    )
    from siamese_nima.pair_error import PairError as PairError
    from siamese_nima.photos import ViewPolicy as ViewPolicy, read_photo
    from siamese_nima.photos.find import FoundPhotos as FoundPhotos, find_photos
    from siamese_nima.ratings import RatingScale
    from siamese_nima.scoring.cache import cache_path as cache_path
    from siamese_nima.scoring.features import PhotoVector as PhotoVector
    from siamese_nima.scoring.ranking import (
        RankPlace as RankPlace,
        describe_ranking as describe_ranking,
        rank_photos,
        rank_places as rank_places,
    )
    from siamese_nima.scoring.results import Results as Results, ScoredPhoto
    from siamese_nima.scoring.scorer import Scorer, ScorerOptions
    from siamese_nima.scoring.tables import read_table, write_table
    from siamese_nima.siamese import SiameseNIMA
    from siamese_nima.taste.answers import Answer as Answer, AnswerStore, answers_path
    from siamese_nima.taste.learn import LearnConfig as LearnConfig, Learnt as Learnt, learn
    from siamese_nima.training.config import DataConfig as DataConfig, TrainConfig
    from siamese_nima.training.run import TrainedRun as TrainedRun, train
    from siamese_nima.web.report import ThumbnailReader as ThumbnailReader, write_report

# isort: on

# ONNX Runtime reads this when it is first imported, so it stands before every import of it: its
# Linux wheels would otherwise write a device id into the user's cache and open a connection.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "AnswerStore",
    "NimaError",
    "RatedSource",
    "RatingScale",
    "ScoredPhoto",
    "Scorer",
    "ScorerOptions",
    "SiameseNIMA",
    "TrainConfig",
    "answers_path",
    "compare",
    "copy_ranked",
    "evaluate",
    "explain_photo",
    "find_bursts",
    "find_photos",
    "give_stars",
    "learn",
    "plan_stars",
    "rank_photos",
    "read_photo",
    "read_table",
    "suggest_crops",
    "train",
    "undo_stars",
    "write_crop",
    "write_report",
    "write_stars",
    "write_table",
]

# Where each name is; those that are not above are what functions return, what rules they follow and
# what they raise. Each is imported when it is first asked for: the package itself then loads in
# milliseconds, and nobody who scores waits for torch.
_HOMES = {
    "card": "ModelCard",
    "curation.bursts": "Burst BurstRule Frame FrameReader find_bursts group_bursts keepers",
    "curation.copies": "copy_ranked",
    "curation.crops": "Crop CropRule CropSuggestion suggest_crops write_crop",
    "curation.explain": "Explanation explain_photo",
    "web.report": "ThumbnailReader write_report",
    "curation.sidecars": "UndoLog Undone undo_stars",
    "curation.stars": "SidecarChange StarRule give_stars plan_stars write_stars",
    "datasets.sources": "RatedSource",
    "errors": (
        "AnswerError CardError ConfigError ContaminationError MissingExtraError "
        "NimaError PhotoError RatingError SidecarError TableError ViewError WeightsError"
    ),
    "evaluation.judging": "Comparison Evaluation compare evaluate",
    "pair_error": "PairError",
    "photos": "ViewPolicy read_photo",
    "photos.find": "FoundPhotos find_photos",
    "ratings": "RatingScale",
    "scoring.cache": "cache_path",
    "scoring.features": "PhotoVector",
    "scoring.ranking": "RankPlace describe_ranking rank_photos rank_places",
    "scoring.results": "Results ScoredPhoto",
    "scoring.scorer": "Scorer ScorerOptions",
    "scoring.tables": "read_table write_table",
    "siamese": "SiameseNIMA",
    "taste.answers": "Answer AnswerStore answers_path",
    "taste.learn": "LearnConfig Learnt learn",
    "training.run": "TrainedRun train",
    "training.config": "DataConfig TrainConfig",
}
_HOME_OF = {
    name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names.split()
}
_NEEDS_TRAIN = tuple(f"{__name__}.{part}" for part in ("evaluation", "siamese", "training"))


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME_OF[name]
    try:
        found = getattr(importlib.import_module(home), name)
    except ImportError as error:
        if not home.startswith(_NEEDS_TRAIN):
            raise
        from siamese_nima.errors import MissingExtraError

        raise MissingExtraError.of_import(error, name, "train") from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
