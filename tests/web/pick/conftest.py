"""A folder of photos that `nima pick` asks about, served on a port of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from siamese_nima.taste.answers import AnswerStore, answers_path
from siamese_nima.taste.choosing import ChoosingRule
from siamese_nima.taste.session import PickSession

HOSTILE = "<img src=x onerror=alert(1)> 'é' & %2e.png"


@dataclass
class Shoot:
    folder: Path
    store: AnswerStore
    session: PickSession


@pytest.fixture
def shoot(tmp_path) -> Iterator[Shoot]:
    """Seven photos, upright and lying; one is turned by EXIF, one has an odd name."""
    folder = tmp_path / "shoot"
    (folder / "day 1").mkdir(parents=True)
    names = [f"photo{n}.jpg" for n in range(1, 6)] + [f"day 1/{HOSTILE}"]
    for number, name in enumerate(names):
        size = (900, 600) if number % 2 else (600, 900)
        Image.new("RGB", size, (number * 40, 120, 60)).save(folder / name)
    turned = Image.new("RGB", (900, 600), (0, 0, 0))
    turned.paste((255, 255, 255), (0, 0, 450, 600))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is left in the file is up
    turned.save(folder / "turned.jpg", exif=exif)
    scores = {name: 5 + 0.1 * number for number, name in enumerate([*names, "turned.jpg"])}
    with AnswerStore(answers_path(folder)) as store:
        session = PickSession(store, scores, person="me", rule=ChoosingRule(repeats=0), goal=6)
        yield Shoot(folder, store, session)


@pytest.fixture
def address(shoot) -> Iterator[str]:
    """Where the page is served."""
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    from served_gallery import served
    from siamese_nima.web.pick import pick_app

    unreadable = {"broken.jpg": "broken.jpg: empty"}
    with served(pick_app(shoot.session, shoot.folder, unreadable=unreadable)) as page:
        yield page
