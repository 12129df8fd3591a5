"""Results as notebooks show them: a small table with thumbnails."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence

from siamese_nima.errors import PhotoError
from siamese_nima.photos.names import printable
from siamese_nima.photos.read import read_photo
from siamese_nima.scoring.results import ScoredPhoto

_ROWS = 50
_THUMBNAIL_PX = 96


def html_table(results: Sequence[ScoredPhoto]) -> str:
    """A table of the first 50 results, their pictures inside it.

    Photos that were no files, or are not there any more, have no picture.
    """
    rows = "".join(_row(result) for result in results[:_ROWS])
    more = len(results) - _ROWS
    rest = f"<p>... and {more} more</p>" if more > 0 else ""
    head = "<tr><th></th><th>photo</th><th>score</th><th>percentile</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{rest}"


def _row(result: ScoredPhoto) -> str:
    name = html.escape(printable(result.path))
    if result.score is None:
        said = f'<td colspan="2">{html.escape(printable(result.error or ""))}</td>'
    else:
        share = "" if result.percentile is None else f"{result.percentile:.0f} %"
        said = f"<td>{result.score:.2f} <small>of {result.scale}</small></td><td>{share}</td>"
    return f"<tr><td>{_thumbnail(result)}</td><td>{name}</td>{said}</tr>"


def _thumbnail(result: ScoredPhoto) -> str:
    if result.score is None or not os.path.isfile(result.path):  # noqa: PTH113
        return ""
    try:
        picture = read_photo(result.path, min_short_side_px=_THUMBNAIL_PX)
    except PhotoError:  # it has changed since
        return ""
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
