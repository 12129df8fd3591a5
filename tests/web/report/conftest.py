"""A report on photos with names that try to get out of it, open in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from siamese_nima.curation.bursts import Burst
from siamese_nima.pair_error import PairError
from siamese_nima.scoring.results import ScoredPhoto, scored
from siamese_nima.web.report import write_report
from tiny_model import rate_tiny

HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    "\"quoted\" 'twice' & more.png",
    "two\nlines.png",
    "</script><script>alert(2)<",
    "100%25 #1?.png",
    "日本 👍 é.png",
    "\u202egnp.exe.png",
    "javascript:alert(3)",
)


@pytest.fixture(scope="session")
def ranked_card(tiny_card):
    sure_from_1 = PairError((0.0, 1.0, 9.0), (0.5, 0.85, 1.0), (0.5, 0.8, 1.0), pairs=100)
    return replace(tiny_card, metrics={"pair_error": sure_from_1.to_json()})


@pytest.fixture(scope="session")
def shoot(tmp_path_factory, ranked_card) -> list[ScoredPhoto]:
    """Twelve greys, brighter is better, the last eight with hostile names; and a broken photo."""
    folder = tmp_path_factory.mktemp("shoot")
    names = [f"photo{n}.png" for n in (1, 2, 10, 11)] + list(HOSTILE)
    results = []
    for number, name in enumerate(names):
        # A name with "/" in it is a path of two parts.
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.new("RGB", (60, 40), (number * 20,) * 3)
        photo.save(path, format="PNG")
        results.append(scored(str(path), rate_tiny(ranked_card, photo), ranked_card, "tiny-1@0"))
    (folder / "broken.jpg").write_bytes(b"no photo")
    broken = ScoredPhoto(
        path=str(folder / "broken.jpg"),
        model="tiny-1@0",
        scale=ranked_card.scale,
        error=f"{folder}/broken.jpg: not a photo <b>at all</b>",
    )
    return [*results, broken]


@pytest.fixture(scope="session")
def report(shoot, ranked_card) -> Path:
    path = Path(shoot[0].path).parent / "report.html"
    bursts = [Burst(tuple(shoot[2::-1]), too_close=True), Burst((shoot[5], shoot[4]))]
    return write_report(path, shoot, ranked_card, bursts=bursts)
