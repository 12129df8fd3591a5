"""What a network sees in photos of a folder: at once, or while their pairs are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_nima.errors import PhotoError, WeightsError
from siamese_nima.networks.taste_file import OpenedModel
from siamese_nima.ordered_pool import in_order
from siamese_nima.scoring.model_set import Member, ModelSet, WorkItem
from siamese_nima.taste.session import PickSession

Rows = dict[str, NDArray[np.float32]]
Report = Callable[[int, int], None]

MEANWHILE_PHOTOS = 500  # of a larger folder, some: a person answers about fewer
_BATCH = 4


def look(
    folder: Path,
    names: Sequence[str],
    opened: OpenedModel,
    *,
    workers: int,
    report: Report | None = None,
) -> Rows:
    """What `OpenedModel.rate` gives of photos, by their names; those that cannot be read are left
    out.

    Args:
        folder: Where the photos are.
        names: Of photos, by their path inside the folder.
        opened: The model.
        workers: Threads.
        report: Called with photos looked at and photos in all.
    """
    models = ModelSet([Member(opened.card.name, opened, opened.card.view)], exact=False)
    rows: Rows = {}

    def rate(photos: Sequence[WorkItem]) -> Sequence[WorkItem]:
        models.rate(photos)
        return photos

    photos = [WorkItem(name, folder / name) for name in names]
    done = in_order(rate, photos, batch_size=_BATCH, workers=workers)
    for number, photo in enumerate(done, start=1):
        outcome = photo.outcomes[0]
        if not isinstance(outcome, PhotoError):
            rows[photo.name] = outcome
        if report:
            report(number, len(photos))
    return rows


@contextmanager
def looking_meanwhile(
    session: PickSession, folder: Path, model: Path, tell: Callable[[str], None]
) -> Iterator[None]:
    """While the body runs, look at up to 500 photos and have the session choose pairs by them.

    One thread: the others are left to the page. It ends with the body, within one batch.

    Args:
        session: Is told when all are seen; those asked about by then are among them.
        folder: Where its photos are.
        model: The model file, the same as of the session's scores.
        tell: Called with a sentence where the model does not tell what it sees; the session then
            goes on by scores and answers.
    """
    stop = threading.Event()

    def work() -> None:
        try:
            opened = OpenedModel(model)
        except WeightsError as error:
            tell(f"pairs are chosen by scores and answers alone. {error}")
            return
        _show(session, folder, opened, stop)

    thread = threading.Thread(target=work, name="nima-look")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _show(session: PickSession, folder: Path, opened: OpenedModel, stop: threading.Event) -> None:
    rows: Rows = {}
    wanted = _some(session.photos, session.asked)
    tried: set[str] = set()
    while wanted:
        batch, wanted = wanted[:_BATCH], wanted[_BATCH:]
        if stop.is_set():
            return
        rows |= look(folder, batch, opened, workers=1)
        tried.update(batch)
        # Those of pairs that came up meanwhile.
        wanted = wanted or sorted(session.asked - tried)
    if len(rows) > 1:
        session.see(list(rows), opened.rated(np.stack(list(rows.values()))))


def _some(photos: Sequence[str], asked: set[str]) -> list[str]:
    """Those asked about, and others, any of them, up to the number that is looked at."""
    rest = [photo for photo in photos if photo not in asked]
    order = np.random.default_rng(0).permutation(len(rest))
    return sorted(asked) + [rest[place] for place in order[: max(MEANWHILE_PHOTOS - len(asked), 0)]]
