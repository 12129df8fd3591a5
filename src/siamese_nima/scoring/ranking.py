"""From results to a ranking, and copies of the best."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from siamese_nima.errors import NimaError
from siamese_nima.scoring.scored_photo import ScoredPhoto


def rank_photos(results: Iterable[ScoredPhoto]) -> list[ScoredPhoto]:
    """Results by score, best first; photos without a score come last, in their given order."""
    every = list(results)
    failed = [result for result in every if result.mean is None]
    rated = [(-result.mean, result.path, result) for result in every if result.mean is not None]
    return [result for *_, result in sorted(rated, key=lambda row: row[:2])] + failed


def copy_ranked(ranked: Iterable[ScoredPhoto], folder: str | os.PathLike[str]) -> list[Path]:
    """Copy ranked photos into a folder under names that begin with the rank, "0001-beach.jpg".

    Args:
        ranked: Best first; photos without a score are left out.
        folder: Made if missing. A copy that is there already is never overwritten.

    Returns:
        The copies, best first.

    Raises:
        NimaError: A copy exists already, or the folder cannot be written.
    """
    target = Path(folder)
    sources = [Path(result.path) for result in ranked if result.mean is not None]
    copies = [target / f"{rank:04d}-{path.name}" for rank, path in enumerate(sources, start=1)]
    for copy in copies:
        if copy.exists():
            raise NimaError(f"{copy}: exists already; give an empty or a new folder")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source, copy in zip(sources, copies, strict=True):
            part = copy.with_name(f".{copy.name}.part")
            shutil.copy2(source, part)
            part.replace(copy)
    except OSError as error:
        raise NimaError(f"{target}: the copies cannot be written ({error})") from error
    return copies
