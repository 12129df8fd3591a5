"""`nima cull`, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from siamese_nima.curation.bursts import Burst
from siamese_nima.photos.find import find_photos
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.gallery import Gallery, ServedFolder
from siamese_nima.web.http import open_port
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service


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
        served = ServedFolder(folder, find_photos([folder]).paths)
        results = list(scorer.score([str(path) for path in served.photos.values()]))
        gallery = Gallery(served, results, scorer.card, bursts=bursts(results), title="shoot")
        self._listener = open_port("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        app = guarded(api(Service(scorer), gallery=gallery), HostRules())
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._listener.close()
