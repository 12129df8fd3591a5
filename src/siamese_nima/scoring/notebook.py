"""Results as notebooks show them: a small table with thumbnails."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence

from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.read import read_photo
from siamese_nima.printable import printable
from siamese_nima.scoring.results import ScoredPhoto

_ROWS = 50
_THUMBNAIL_PX = 96


def html_table(results: Sequence[ScoredPhoto], remarks: Sequence[str] = ()) -> str:
    """A table of the first 50 results, their pictures inside it.

    Photos that were no files, or are not there any more, have no picture.

    Args:
        results: What to show.
        remarks: Parallel to `results`, in a column of their own; empty for none.
    """
    said = remarks or [""] * len(results)
    rows = "".join(_row(*pair) for pair in zip(results[:_ROWS], said, strict=False))
    more = len(results) - _ROWS
    rest = f"<p>... and {more} more</p>" if more > 0 else ""
    titles = ("", "photo", "score", "percentile", *([""] if remarks else []))
    head = f"<tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{rest}"


def html_picture(picture: Image.Image) -> str:
    """A picture inside a page."""
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _row(result: ScoredPhoto, remark: str) -> str:
    name = html.escape(printable(result.path))
    if result.score is None:
        said = f'<td colspan="2">{html.escape(printable(result.error or ""))}</td>'
    else:
        share = "" if result.percentile is None else f"{result.percentile:.0f} %"
        said = f"<td>{result.score:.2f} <small>of {result.scale}</small></td><td>{share}</td>"
    if remark:
        said += f"<td>{html.escape(remark)}</td>"
    return f"<tr><td>{_thumbnail(result)}</td><td>{name}</td>{said}</tr>"


def _thumbnail(result: ScoredPhoto) -> str:
    if result.score is None or not os.path.isfile(result.path):  # noqa: PTH113
        return ""
    try:
        picture = read_photo(result.path, min_short_side_px=_THUMBNAIL_PX)
    except PhotoError:  # it has changed since
        return ""
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    return html_picture(picture)
