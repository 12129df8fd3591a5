"""`nima cull`, and any other page, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from siamese_nima.curation.bursts import Burst
from siamese_nima.photos.find import find_photos
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.gallery import Gallery, ServedFolder
from siamese_nima.web.http import App, open_port
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service


@contextmanager
def served(app: App) -> Iterator[str]:
    """Where an application answers, as long as it is wanted."""
    listener = open_port("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    options = {"sockets": [listener]}
    thread = threading.Thread(target=server.run, kwargs=options, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join(20)
    listener.close()


class ServedGallery:
    """The page of a folder, until it is closed.

    Attributes:
        folder: The folder.
        address: Where the page is.
    """

    def __init__(
        self,
        folder: Path,
        model: Path,
        *,
        bursts: Callable[[Sequence[ScoredPhoto]], Sequence[Burst]] = lambda _: (),
    ) -> None:
        self.folder = folder
        scorer = Scorer(model, workers=1)
        photos = ServedFolder(folder, find_photos([folder]).paths)
        results = list(scorer.score([str(path) for path in photos.photos.values()]))
        gallery = Gallery(photos, results, scorer.card, bursts=bursts(results), title="shoot")
        app = guarded(api(Service(scorer), gallery=gallery), HostRules())
        self._served = served(app)
        self.address = self._served.__enter__()

    def close(self) -> None:
        self._served.__exit__(None, None, None)
