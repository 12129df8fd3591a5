"""Bursts as a table: a row per photo, those of a burst together."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from siamese_nima.atomic_write import write_whole
from siamese_nima.csv_rows import csv_writer
from siamese_nima.curation.bursts import Burst, keepers
from siamese_nima.errors import ConfigError
from siamese_nima.scoring.ranking import rank_photos
from siamese_nima.scoring.scored_photo import ScoredPhoto

FORMATS = (".csv", ".jsonl")
COLUMNS = (
    *("burst", "place", "of", "path", "mean", "spread", "percentile"),
    *("too_close", "over_next", "scale", "model", "error"),
)


def burst_rows(
    results: Sequence[ScoredPhoto], bursts: Sequence[Burst], *, best_only: bool = False
) -> Iterator[dict[str, Any]]:
    """Every photo once: bursts by number, best photo first; then photos in no burst, best first.

    Photos in no burst have no number, are the first of one, and come before those without a score.

    Args:
        results: All photos.
        bursts: As `group_bursts` finds them.
        best_only: Leave out all photos of a burst but its best, and photos without a score.
    """
    for number, burst in enumerate(bursts, start=1):
        for place, photo in enumerate(burst.photos[: 1 if best_only else None], start=1):
            sure = (burst.too_close, burst.over_next) if place == 1 else (None, None)
            yield _row(photo, number, place, len(burst.photos), *sure)
    grouped = {path for burst in bursts for path in burst.paths}
    single = [photo for photo in results if photo.path not in grouped]
    for photo in rank_photos(keepers(single, ()) if best_only else single):
        yield _row(photo, None, None if photo.mean is None else 1, 1, None, None)


def csv_text(rows: Iterable[dict[str, Any]]) -> str:
    """A CSV with a header; yes and no are "true" and "false"."""
    file = io.StringIO()
    table = csv_writer(file)
    table.writerow(COLUMNS)
    table.writerows([_cell(value) for value in row.values()] for row in rows)
    return file.getvalue()


def write_burst_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of `burst_rows` as CSV or JSON Lines.

    Raises:
        ConfigError: The name ends otherwise.
        NimaError: The file cannot be written.
    """
    check_format(path)
    if path.suffix == ".csv":
        text = csv_text(rows)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    # Names that are not valid UTF-8 keep their bytes.
    write_whole(path, text.encode("utf-8", "surrogateescape"))


def check_format(path: Path) -> None:
    """Raise `ConfigError` unless the name of a table ends in one of `FORMATS`."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: a table of bursts ends in {' or '.join(FORMATS)}")


def _row(
    photo: ScoredPhoto,
    burst: int | None,
    place: int | None,
    size: int,
    too_close: bool | None,
    over_next: float | None,
) -> dict[str, Any]:
    values = (
        *(burst, place, size, photo.path, _rounded(photo.mean, 4), _rounded(photo.spread, 4)),
        *(_rounded(photo.percentile, 2), too_close, _rounded(over_next, 4)),
        *(str(photo.scale), photo.model, photo.error),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
