"""Reasons in words: why a photo loses against another of the same scene, and what flaw it has.

A reason explains and never rejects. It is said where the difference is larger than what cropping
and saving the same frame anew does to the figures (docs/bursts.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from siamese_nima.ordered_pool import map_in_order
from siamese_nima.scoring.detail import Detail, try_detail
from siamese_nima.scoring.faces import Face
from siamese_nima.scoring.results import ScoredPhoto, rounded

NO_DIFFERENCE = "no clear difference"
# How much must differ before it is said: of logarithms to base e, of grey levels, of shares, stops.
_SOFTER = 0.14
_SOFTER_FACE = 0.25  # two tiles alone, where the whole photo has many
_EYES = 20.0  # closed eyes are said before all else
_SHAKEN_PX = 3.0
_SHAKEN_MORE = 1.4
_NOISIER = 0.25
_NOISIER_LEVELS = 1.0
_MORE_COMPRESSED = 0.1
_STOPS = 0.5
_SMALLER = 0.7
# What counts as a flaw of a photo by itself.
_SOFT_PX = 1.8
_NOISY_LEVELS = 6.0
_COMPRESSED = 0.4
# Where most photos of BIQ2021's validation split were rated below the median.
_WHITE = 0.1
_BRIGHTEST_OF_DARK = 80

_AXES = (
    "left to right",
    "lower left to upper right",
    "bottom to top",
    "lower right to upper left",
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that tells two photos apart.

    Attributes:
        kind: "eyes", "face", "shaken", "softer", "noisier", "compressed", "darker", "brighter" or
            "smaller".
        size: How many times the least difference that is said.
        words: A short phrase with a number.
    """

    kind: str
    size: float
    words: str


def reasons_against(photo: Detail, best: Detail) -> tuple[Reason, ...]:
    """What speaks against a photo beside another of the same scene, the weightiest first."""
    found = [
        *_eyes_closed(photo, best),
        *_softer_face(photo, best),
        *_softer(photo, best),
        *_noisier(photo, best),
        *_more_compressed(photo, best),
        *_lighter(photo, best),
        *_smaller(photo, best),
    ]
    return tuple(sorted(found, key=lambda reason: -reason.size))


def reason_against(photo: Detail, best: Detail) -> str:
    """The weightiest reason in words, or that there is no clear difference."""
    found = reasons_against(photo, best)
    return found[0].words if found else NO_DIFFERENCE


def flaws(photo: Detail) -> tuple[Reason, ...]:
    """What is wrong with a photo by itself, the weightiest first; empty for a sound one."""
    found = [Reason("eyes", _EYES, words) for words in _closed_in_words(photo.faces)]
    if photo.blur is not None and photo.blur > _SOFT_PX:
        size = photo.blur / _SOFT_PX
        if photo.shake is not None and photo.shake > 2.5 * photo.blur:
            words = f"shaken, {_axis(photo)}: {photo.shake:.0f} px"
            found.append(Reason("shaken", size, words))
        else:
            found.append(Reason("softer", size, f"soft: {photo.blur:.1f} px of blur at 100 %"))
    if photo.noise > _NOISY_LEVELS:
        words = f"noisy: grain of {photo.noise:.0f} grey levels"
        found.append(Reason("noisier", photo.noise / _NOISY_LEVELS, words))
    if photo.compression > _COMPRESSED:
        words = f"compressed: like JPEG of quality {_quality(photo)}"
        found.append(Reason("compressed", photo.compression / _COMPRESSED, words))
    if photo.brightest < _BRIGHTEST_OF_DARK:
        words = f"dark: 95 % of it below {photo.brightest} of 255"
        found.append(Reason("darker", _BRIGHTEST_OF_DARK / max(photo.brightest, 1), words))
    if photo.white > _WHITE:
        words = f"blown out: {photo.white:.0%} of it is white".replace("%", " %")
        found.append(Reason("brighter", photo.white / _WHITE, words))
    return tuple(sorted(found, key=lambda reason: -reason.size))


_NUMBERS = ("blur", "shake", "noise", "compression")
DETAIL_COLUMNS = dict.fromkeys(_NUMBERS, "double") | {"reason": "string"}


def add_detail(results: Iterable[ScoredPhoto], *, workers: int) -> Iterator[ScoredPhoto]:
    """The results, in order, with the detail of their photos in `about`, by `DETAIL_COLUMNS`.

    Photos are read in full, `workers` at a time; those without a score, or too small, get nothing,
    and sound ones no reason.
    """
    return map_in_order(_with_detail, results, workers=workers)


def _with_detail(result: ScoredPhoto) -> ScoredPhoto:
    detail = None if result.score is None else try_detail(result.path)
    if detail is None:
        return result
    found = {name: rounded(getattr(detail, name), 3) for name in _NUMBERS}
    reason = next((flaw.words for flaw in flaws(detail)), None)
    return replace(result, about={**result.about, **found, "reason": reason})


def _eyes_closed(photo: Detail, best: Detail) -> list[Reason]:
    """Where more faces have closed eyes than in the best; one that cannot be told counts not."""
    if closed_faces(photo) <= closed_faces(best):
        return []
    return [Reason("eyes", _EYES, words) for words in _closed_in_words(photo.faces)]


def closed_faces(photo: Detail) -> int:
    """How many faces have both eyes closed."""
    return sum(face.eyes == "closed" for face in photo.faces)


def _closed_in_words(faces: Sequence[Face]) -> list[str]:
    closed = [place for place, face in enumerate(faces) if face.eyes == "closed"]
    if not closed:
        return []
    if len(faces) == 1:
        return ["eyes closed"]
    if len(closed) == len(faces):
        return [f"eyes closed (all {len(faces)} faces)"]
    if len(closed) > 1:
        return [f"eyes closed ({len(closed)} of {len(faces)} faces)"]
    return [f"eyes closed ({_which(closed[0], len(faces))})"]


def _which(place: int, faces: int) -> str:
    """A face by its place from the left, from 0."""
    if place == 0:
        return "left face"
    if place == faces - 1:
        return "right face"
    return "middle face" if faces == 3 else f"face {place + 1} from the left"


def _softer_face(photo: Detail, best: Detail) -> list[Reason]:
    """The eyes of the largest face, beside those of the best photo's."""
    own, other = photo.main_face, best.main_face
    if own is None or other is None or own.blur is None or other.blur is None:
        return []
    size = math.log(own.blur / other.blur) / _SOFTER_FACE
    words = f"face softer: {own.blur:.1f} px of blur against {other.blur:.1f}"
    return [Reason("face", size, words)] if size >= 1 else []


def _softer(photo: Detail, best: Detail) -> list[Reason]:
    if photo.blur is None or best.blur is None:
        return []
    size = math.log(photo.blur / best.blur) / _SOFTER
    if size < 1:
        return []
    if photo.shake is not None and best.shake is not None:
        least = max(_SHAKEN_PX, _SHAKEN_MORE * best.shake, 2.0 * photo.blur)
        if photo.shake > least:
            return [Reason("shaken", size, f"shaken, {_axis(photo)}: {photo.shake:.0f} px")]
    words = f"softer: {photo.blur:.1f} px of blur against {best.blur:.1f}"
    return [Reason("softer", size, words)]


def _noisier(photo: Detail, best: Detail) -> list[Reason]:
    size = min(
        math.log((photo.noise + 0.5) / (best.noise + 0.5)) / _NOISIER,
        (photo.noise - best.noise) / _NOISIER_LEVELS,
    )
    words = f"noisier: grain of {photo.noise:.1f} grey levels against {best.noise:.1f}"
    return [Reason("noisier", size, words)] if size >= 1 else []


def _more_compressed(photo: Detail, best: Detail) -> list[Reason]:
    size = (photo.compression - best.compression) / _MORE_COMPRESSED
    words = f"more compressed: like JPEG of quality {_quality(photo)} against {_quality(best)}"
    return [Reason("compressed", size, words)] if size >= 1 else []


def _lighter(photo: Detail, best: Detail) -> list[Reason]:
    stops = _stops(photo) - _stops(best)
    if abs(stops) < _STOPS:
        return []
    kind = "darker" if stops < 0 else "brighter"
    number = f"{abs(stops):.1f}".removesuffix(".0")
    words = f"{number} stop{'' if number == '1' else 's'} {kind}"
    return [Reason(kind, abs(stops) / _STOPS, words)]


def _smaller(photo: Detail, best: Detail) -> list[Reason]:
    share = math.sqrt(math.prod(photo.size) / math.prod(best.size))
    if share > _SMALLER:
        return []
    words = f"smaller: {_megapixels(photo)} megapixels against {_megapixels(best)}"
    return [Reason("smaller", _SMALLER / share, words)]


def _stops(photo: Detail) -> float:
    return math.log2(max(photo.light, 1e-6))


def _quality(photo: Detail) -> int:
    return round(100 - 100 * photo.compression)


def _megapixels(photo: Detail) -> str:
    return f"{math.prod(photo.size) / 1e6:.2g}"


def _axis(photo: Detail) -> str:
    """The direction of its motion: which of the two ways it went cannot be seen."""
    direction = 0.0 if photo.direction is None else photo.direction
    return _AXES[round(direction / 45) % 4]
