"""One page that shows scored photos, for a browser and without anything else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

import jinja2
from PIL import Image

from siamese_nima.atomic_write import write_whole
from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.curation.bursts import Burst
from siamese_nima.errors import PhotoError
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.pair_error import PairError, describe_closest_call
from siamese_nima.photos.find import natural_key
from siamese_nima.photos.read import Photo
from siamese_nima.photos.thumbnails import shrunk, thumbnail
from siamese_nima.printable import printable
from siamese_nima.scoring.ranking import RankPlace, rank_photos, rank_places
from siamese_nima.scoring.results import ScoredPhoto

# What the page is made of beside page.html, in order.
STYLES = ("base.css", "page.css")
SCRIPTS = ("zoom.js", "choices.js", "view.js", "page.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstPlace:
    """Where a photo stands in its burst.

    Attributes:
        burst: Number of the burst, from 1.
        size: How many photos it has.
        place: 1 for its best photo.
        too_close: Whether this photo and the best (for the best: the second) are too close to
            call; None where that is not known.
        reason: What speaks against it beside the best, in a few words, or "".
    """

    burst: int
    size: int
    place: int
    too_close: bool | None
    reason: str = ""

    @property
    def text(self) -> str:
        """Where it stands, in words."""
        standing = "best" if self.place == 1 else f"number {self.place}"
        text = f"{standing} of {self.size}"
        if self.too_close:
            other = "the second" if self.place == 1 else "the best"
            text += f", too close to call with {other}"
        return f"{text}: {self.reason}" if self.reason else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One photo of the page.

    Attributes:
        result: Its score or error.
        given: Its place in the order given, from 0.
        name_order: Its place in the natural order of paths, from 0.
        place: Where it stands among all photos; None without a score.
        burst: Its place in a burst, or None.
        link: Address of the original file, relative to the page; None for a photo without one.
        thumbnail: Address of a small picture, which may hold it (`inline_picture`), or None.
        screen: Address of a picture as large as a screen, up to the pixels of its longer side that
            end it; or None.
        full: Address of all its pixels, where browsers cannot show the original; or None.
        note: Why there is no thumbnail of a photo that has a score, or "".
    """

    result: ScoredPhoto
    given: int
    name_order: int
    place: RankPlace | None
    burst: BurstPlace | None
    link: str | None = None
    thumbnail: str | None = None
    screen: str | None = None
    full: str | None = None
    note: str = ""

    @property
    def path(self) -> str:
        """Its path as people read it."""
        return printable(self.result.path)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return Path(self.path).name or self.path

    @property
    def rank_text(self) -> str:
        """Its rank, and which ranks it could have."""
        place = self.place
        if place is None:
            return ""
        if place.best == place.worst:
            return str(place.rank)
        return f"{place.rank}, could be {place.best} to {place.worst}"

    @property
    def data(self) -> dict[str, object]:
        """What the page's script sorts, filters and shows by: attributes, None for none."""
        result, place = self.result, self.burst
        return {
            "data-path": self.path,
            "data-given": self.given,
            "data-name": self.name_order,
            "data-score": None if result.mean is None else f"{result.mean:.4f}",
            "data-percentile": None if result.percentile is None else f"{result.percentile:.2f}",
            "data-spread": None if result.spread is None else f"{result.spread:.4f}",
            "data-burst": place and place.burst,
            "data-place": place and place.place,
            "data-close": place and json.dumps(place.too_close),
            "data-reason": place and place.reason,
            "data-standing": place and place.text,
            "data-scored": None if result.mean is None else f"score {result.mean:.2f}",
            "data-others": json.dumps(self._others()) if result.others else None,
            # Short, and without quotes, which HTML would spell out: a page has thousands.
            "data-facts": "\n".join("\t".join(fact) for fact in self._facts()),
            "data-shares": ",".join(" ".join(share) for share in self._shares()),
            "data-unlistable": None if self.path == result.path else "",
            "data-screen": self.screen,
            "data-full": self.full,
        }

    def _facts(self) -> Iterator[tuple[str, str]]:
        result = self.result
        if result.mean is None:
            return
        yield "Score", f"{result.mean:.2f} on a scale of {result.scale}"
        if result.percentile is not None:
            yield "Percentile", f"above {result.percentile:.0f} % of reference photos"
        yield "Spread", f"{result.spread:.2f} points"
        if self.place:
            yield "Rank", self.rank_text
            if self.place.over_next is not None:
                share = min(100 * self.place.over_next, 99)
                yield "Next one", f"{share:.0f} % of people would put this one before it"
        if self.burst:
            yield "Burst", f"{self.burst.burst}: {self.burst.text}"
        for name, other in result.others.items():
            if other.mean is not None:
                yield f"Score by {name}", f"{other.mean:.2f} on a scale of {other.scale}"

    def _others(self) -> dict[str, float]:
        others = self.result.others.items()
        return {name: round(o.mean, 4) for name, o in others if o.mean is not None}

    def _shares(self) -> list[tuple[str, str]]:
        shares = self.result.distribution or ()
        grades = self.result.scale.grades
        return [(f"{g:g}", f"{100 * share:.1f}") for g, share in zip(grades, shares, strict=False)]


def make_entries(
    results: Sequence[ScoredPhoto],
    *,
    bursts: Sequence[Burst] = (),
    pair_error: PairError | None = None,
    scene_pair_error: PairError | None = None,
) -> list[Entry]:
    """Entries of all results, best first; photos without a score last.

    Args:
        results: In the order given.
        bursts: As `group_bursts` finds them.
        pair_error: Tells which scores are too close to call; without it no entry says so.
        scene_pair_error: The same within a burst; None for `pair_error`.
    """
    given = {id(result): place for place, result in enumerate(results)}
    by_name = sorted(results, key=lambda result: natural_key(result.path))
    names = {id(result): place for place, result in enumerate(by_name)}
    ranked = rank_photos(results)
    places = rank_places(ranked, pair_error)
    burst_places = _burst_places(bursts, scene_pair_error or pair_error)
    return [
        Entry(
            result=result,
            given=given[id(result)],
            name_order=names[id(result)],
            place=place,
            burst=burst_places.get(result.path),
        )
        for result, place in zip_longest(ranked, places)
    ]


def _burst_places(bursts: Sequence[Burst], pair_error: PairError | None) -> dict[str, BurstPlace]:
    return {
        photo.path: BurstPlace(
            burst=number,
            size=len(burst.photos),
            place=place,
            too_close=_too_close(burst, place, pair_error),
            reason=burst.reason(place - 1),
        )
        for number, burst in enumerate(bursts, 1)
        for place, photo in enumerate(burst.photos, 1)
    }


def _too_close(burst: Burst, place: int, pair_error: PairError | None) -> bool | None:
    if burst.close:
        return burst.close[place - 1]
    if place == 1:
        return burst.too_close
    best, other = burst.best.score, burst.photos[place - 1].score
    if pair_error is None or best is None or other is None:
        return None
    return pair_error.too_close(best - other)


class ThumbnailReader:
    """Makes thumbnails of photos while they are scored, and of those that were not later.

    Hand `look` to `Scorer.score` as `on_photo`: a photo is then decoded once for both.
    """

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    def look(self, path: str, photo: Image.Image | Photo) -> None:
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
    entries = make_entries(
        list(results),
        bursts=bursts,
        pair_error=card.pair_error,
        scene_pair_error=card.scene_pair_error,
    )
    shown = []
    for entry in _shown(entries, target.parent, thumbnails or ThumbnailReader()):
        shown.append(entry)
        if report:
            report(len(shown), len(entries))
    write_whole(target, report_page(title, shown, card).encode())
    return target


def report_page(
    title: str, entries: Sequence[Entry], card: ModelCard, *, inline: bool = True
) -> str:
    """The whole page.

    Args:
        title: Heading of the page.
        entries: The photos, best first.
        card: Of the model that scored them.
        inline: Whether style, script and content policy are inside; else the page asks for
            `STYLES` and `SCRIPTS` beside it, and the policy is for the server to send.
    """
    return _template().render(
        title=printable(title),
        summary=_summary(entries, card),
        entries=entries,
        card=card,
        style="".join(map(page_part, STYLES)) if inline else None,
        script="".join(map(page_part, SCRIPTS)) if inline else None,
        styles=STYLES,
        scripts=SCRIPTS,
        others=list(dict.fromkeys(name for entry in entries for name in entry.result.others)),
        digest=_digest,
        inline=inline,
        bursts=sorted({entry.burst.burst for entry in entries if entry.burst}),
        percentiles=any(entry.result.percentile is not None for entry in entries),
        tallest=max((max(e.result.distribution or (0.0,)) for e in entries), default=1.0),
    )


@cache
def page_part(name: str) -> str:
    """One of the files that the page is made of."""
    return (files(__package__) / "static" / name).read_text(encoding="utf-8")


def inline_picture(webp: bytes) -> str:
    """An address that holds a small WebP file."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(page_part),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["printable"] = printable
    return environment.get_template("page.html")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown(entries: Sequence[Entry], folder: Path, thumbnails: ThumbnailReader) -> Iterator[Entry]:
    """Entries with their thumbnails, which are made in parallel and a few ahead."""
    show = partial(_show, folder=folder, thumbnails=thumbnails)
    return map_in_order(show, entries, workers=usable_cores())


def _show(entry: Entry, folder: Path, thumbnails: ThumbnailReader) -> Entry:
    path = Path(entry.result.path)
    entry = replace(entry, link=_link(path, folder) if path.is_file() else None)
    if entry.result.error is not None:
        return entry
    try:
        return replace(entry, thumbnail=inline_picture(thumbnails.read(entry.result.path)))
    except PhotoError as error:
        return replace(entry, note=str(error))


def _link(path: Path, folder: Path) -> str:
    """Address of a file from a page in `folder`; its bytes are escaped, whatever they are."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return path.absolute().as_uri()
    # "./" so that no name can be taken for a scheme such as "javascript:".
    return "./" + quote(os.fsencode(Path(relative).as_posix()))


def _summary(entries: Sequence[Entry], card: ModelCard) -> str:
    """What the page is about, in a few sentences."""
    failed = sum(entry.result.error is not None for entry in entries)
    text = f"{len(entries) - failed} photos scored by {card.name}"
    if failed:
        text += f", {failed} could not be read"
    text += f". Scores are on a scale of {card.scale}, higher is better."
    return f"{text} {describe_closest_call(card.pair_error)}"
