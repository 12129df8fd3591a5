"""From results to a page on disk."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from siamese_nima.atomic_write import write_whole
from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.curation.bursts import Burst
from siamese_nima.curation.report.entries import Entry, make_entries
from siamese_nima.curation.report.page import Shown, inline_picture, page
from siamese_nima.errors import PhotoError
from siamese_nima.photos.names import printable
from siamese_nima.photos.thumbnails import shrunk, thumbnail
from siamese_nima.scoring.scored_photo import ScoredPhoto


class ThumbnailReader:
    """Makes thumbnails of photos while they are scored, and of those that were not later.

    Hand `look` to `Scorer.score` as `on_photo`: a photo is then decoded once for both.
    """

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    def look(self, path: str, photo: Image.Image) -> None:
        """Take the thumbnail of a photo that is decoded; may be called by many threads."""
        self._seen[path] = shrunk(photo)

    def read(self, path: str) -> bytes:
        """The thumbnail of a photo.

        Raises:
            PhotoError: It was not seen and cannot be read.
        """
        found = self._seen.get(path)
        return thumbnail(path) if found is None else found


def write_report(
    path: str | os.PathLike[str],
    results: Iterable[ScoredPhoto],
    card: ModelCard,
    *,
    bursts: Sequence[Burst] = (),
    thumbnails: ThumbnailReader | None = None,
    title: str = "Photos by score",
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Write one HTML page that shows scored photos, and needs nothing but a browser.

    Thumbnails are inside the page, about 9 kB a photo; originals are linked by their path relative
    to the page. It replaces an older page only when it is complete.

    Args:
        path: The page to write.
        results: Results of one model, in the order given; each path once.
        card: Of that model; with a pair error, the page marks what is too close to call.
        bursts: As `group_bursts` finds them.
        thumbnails: Has seen photos while they were scored; those it has not are read again.
        title: Heading of the page.
        report: Called with thumbnails made and photos in all.

    Returns:
        The page.

    Raises:
        NimaError: The page cannot be written.
    """
    target = Path(path)
    entries = make_entries(list(results), bursts=bursts, pair_error=card.pair_error)
    shown = []
    for item in _shown(entries, target.parent, thumbnails or ThumbnailReader()):
        shown.append(item)
        if report:
            report(len(shown), len(entries))
    text = page(printable(title), summary(entries, card), shown, card)
    write_whole(target, text.encode())
    return target


def _shown(entries: Sequence[Entry], folder: Path, thumbnails: ThumbnailReader) -> Iterator[Shown]:
    """Entries with their thumbnails, which are made in parallel and a few ahead."""
    workers = usable_cores()
    with ThreadPoolExecutor(workers, thread_name_prefix="nima-report") as pool:
        waiting: deque[Future[Shown]] = deque()
        for entry in entries:
            waiting.append(pool.submit(_show, entry, folder, thumbnails))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _show(entry: Entry, folder: Path, thumbnails: ThumbnailReader) -> Shown:
    path = Path(entry.result.path)
    link = _link(path, folder) if path.is_file() else None
    if entry.result.error is not None:
        return Shown(entry=entry, link=link, thumbnail=None)
    try:
        picture = inline_picture(thumbnails.read(entry.result.path))
        return Shown(entry=entry, link=link, thumbnail=picture)
    except PhotoError as error:
        return Shown(entry=entry, link=link, thumbnail=None, note=str(error))


def _link(path: Path, folder: Path) -> str:
    """Address of a file from a page in `folder`; its bytes are escaped, whatever they are."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return path.absolute().as_uri()
    # "./" so that no name can be taken for a scheme such as "javascript:".
    return "./" + quote(os.fsencode(Path(relative).as_posix()))


def summary(entries: Sequence[Entry], card: ModelCard) -> str:
    """What the page is about, in a few sentences."""
    failed = sum(entry.result.error is not None for entry in entries)
    text = f"{len(entries) - failed} photos scored by {card.name}"
    if failed:
        text += f", {failed} could not be read"
    text += f". Scores are on a scale of {card.scale}, higher is better."
    if card.pair_error is None:
        return text + " The model does not say which scores are too close to call."
    gap = card.pair_error.closest_call()
    if gap is None:
        return text + " All orders are too close to call."
    return text + f" Less than {gap:.2f} points apart, an order is too close to call."
