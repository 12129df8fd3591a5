"""Bursts: photos of the same thing, taken again or copied, and the best of each.

Two photos belong together when the same camera took them within a short time and their thumbnails
are alike; or, where times cannot be compared, when they are near-copies by a stricter measure. A
burst is all photos that such pairs connect.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.atomic_write import write_whole
from siamese_nima.card import ModelCard
from siamese_nima.csv_rows import csv_text
from siamese_nima.curation.reasons import NO_DIFFERENCE, closed_faces, reason_against
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.pair_error import PairError
from siamese_nima.photos.capture import Capture, read_capture
from siamese_nima.photos.find import natural_key
from siamese_nima.photos.read import Photo, open_photo
from siamese_nima.photos.similarity import (
    LIKE_CORRELATION,
    Pairs,
    alike_by_hash,
    difference_hash,
    group_pairs,
    more_alike,
    unit_thumbnail,
)
from siamese_nima.scoring.detail import Detail, try_detail
from siamese_nima.scoring.fine_order import FineOrder, fine_order
from siamese_nima.scoring.ranking import rank_photos
from siamese_nima.scoring.results import ScoredPhoto, rounded
from siamese_nima.scoring.scorer import Scorer

_DECODED_PX = 128  # short side that a JPEG is decoded at; eight times the thumbnail


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One photo, for grouping.

    Attributes:
        path: Its path.
        difference_hash: 64 bits; see `difference_hash`.
        thumbnail: Shape (256,), mean 0 and length 1, zero where the photo is flat.
        capture: When it was taken, or None.
    """

    path: str
    difference_hash: np.uint64
    thumbnail: NDArray[np.float32]
    capture: Capture | None = None


class FrameReader:
    """Gathers the frames of photos while they are scored, and reads those that were not.

    Hand `look` to `Scorer.score` as `on_photo`: a photo is then decoded once for its score and its
    frame. Photos whose score came from a cache are decoded by `frames`, in the same way, so that
    the cache never changes the outcome.

    Attributes:
        decode_px: Short side that a JPEG is decoded at least at; that of the scorer.
    """

    def __init__(self, decode_px: int | None = _DECODED_PX) -> None:
        self.decode_px = decode_px
        self._seen: dict[str, Frame] = {}

    def look(self, path: str, photo: Image.Image | Photo) -> None:
        """Take the frame of a photo that is decoded and upright; may be called by many threads."""
        self._seen[path] = Frame(
            path, difference_hash(photo), unit_thumbnail(photo), read_capture(path)
        )

    def frames(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        threads: int = 4,
        report: Callable[[int, int], None] | None = None,
    ) -> list[Frame | None]:
        """The frame of each photo, in order; None for one that cannot be read.

        Args:
            paths: As they were given to be scored; one path is one photo.
            threads: Photos read at a time, of those that were not seen yet.
            report: Called with photos done and photos in all.
        """
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        found: list[Frame | None] = []
        names = [os.fspath(path) for path in paths]
        for frame in map_in_order(self._frame, names, workers=threads):
            found.append(frame)
            if report:
                report(len(found), len(paths))
        return found

    def _frame(self, path: str) -> Frame | None:
        if path not in self._seen:
            try:
                self.look(path, open_photo(path, min_short_side_px=self.decode_px))
            except PhotoError:
                return None
        return self._seen[path]


# A photo is compared with this many that follow it in time, and with as many whose hashes are
# close: all pairs of a long series would be far more than are needed to connect it.
_REACH = 64
# Exported copies have lost the fractions of a second, or not.
_COPY_APART_S = 1.0
# Frames this near in time are of one press of the shutter, however far the camera followed what
# moved: of 1,412 such pairs at horse shows 99 % are this alike (docs/bursts.md).
_SHUTTER_S = 0.5
_SHUTTER_SIMILARITY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstRule:
    """Which photos belong together.

    Attributes:
        window_s: Longest time between two photos of a pair, in seconds. A burst can last longer:
            it goes on as long as no pause between its photos does.
        similarity: Correlation that the thumbnails of photos within the window must exceed, 0 to
            1; of photos half a second apart at most, .5 is enough. What the numbers mean in
            practice: docs/bursts.md.
    """

    window_s: float = 10.0
    similarity: float = 0.8

    def __post_init__(self) -> None:
        if not self.window_s >= 0:
            raise ConfigError(f"the window must be 0 seconds or more, got {self.window_s}")
        if not 0 <= self.similarity < 1:
            raise ConfigError(f"the similarity must be from 0 to below 1, got {self.similarity}")


@dataclass(frozen=True, slots=True)
class Burst:
    """Photos of the same thing, best first.

    Attributes:
        photos: Two or more, all with a score.
        too_close: Whether the best and the second are too close to call; None where nobody has
            measured the model's pair error.
        over_next: Probability that people would put the best before the second, .5 to 1, or None.
        reasons: Parallel to `photos`: what speaks against each beside the best, in a few words;
            "" for the best, and for all where nobody looked at detail.
        close: Parallel to `photos`: whether each and the best (for the best: the second) are too
            close to call; empty where nobody looked at detail.
    """

    photos: tuple[ScoredPhoto, ...]
    too_close: bool | None = None
    over_next: float | None = None
    reasons: tuple[str, ...] = ()
    close: tuple[bool, ...] = ()

    def _repr_html_(self) -> str:
        from siamese_nima.scoring.notebook import html_table

        return html_table(
            self.photos, [self.verdict, *map(self.reason, range(1, len(self.photos)))]
        )

    @property
    def best(self) -> ScoredPhoto:
        """The photo that is before all others."""
        return self.photos[0]

    def reason(self, place: int) -> str:
        """What speaks against the photo at a place, from 0; "" where nothing is said."""
        return self.reasons[place] if self.reasons else ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the photos, best first."""
        return tuple(photo.path for photo in self.photos)

    @property
    def verdict(self) -> str:
        """How sure it is that the best is the best, in a few words."""
        if self.too_close is None or self.over_next is None:
            return "best; how sure is unknown"
        sure = f"{min(100 * self.over_next, 99):.0f} % before the next"
        if self.over_next > 0.995:
            sure = f"over {sure}"
        return f"too close to call ({sure})" if self.too_close else f"best ({sure})"


def find_bursts(
    results: Sequence[ScoredPhoto],
    scorer: Scorer,
    reader: FrameReader | None = None,
    *,
    rule: BurstRule | None = None,
    detail: bool = True,
    faces: bool = True,
    report: Callable[[int, int], None] | None = None,
) -> tuple[Burst, ...]:
    """The bursts among photos that were scored.

    Args:
        results: What `scorer` said of the photos.
        scorer: Gives the pair error, and how many threads may read.
        reader: Its `look` was `on_photo` while they were scored, so that no photo is read twice;
            None reads them again.
        rule: Which photos belong together.
        detail: Look at the photos of bursts at 100 %, order them by score and detail together, and
            give reasons. Photos are then read in full.
        faces: With `detail`, look at faces too: of photos that are too close to call the one with
            fewer closed eyes is put first.
        report: Called with photos done and photos in all, while photos are read; with `detail`
            once more from 0 on.

    Returns:
        As `group_bursts`.
    """
    paths = [result.path for result in results]
    reader = reader or FrameReader(scorer.decode_px)
    frames = reader.frames(paths, threads=scorer.workers, report=report)
    found = group_bursts(results, frames, pair_error=scorer.card.scene_pair_error, rule=rule)
    if not detail:
        return found
    order = fine_order(scorer.card.name, scorer.card.version)
    look = partial(try_detail, faces=faces)
    of_bursts = [path for burst in found for path in burst.paths]
    details: list[Detail | None] = []
    for seen in map_in_order(look, of_bursts, workers=scorer.workers):
        details.append(seen)
        if report:
            report(len(details), len(of_bursts))
    rest = iter(details)
    return tuple(with_detail(burst, [next(rest) for _ in burst.photos], order) for burst in found)


def as_burst(
    results: Sequence[ScoredPhoto], details: Sequence[Detail | None], card: ModelCard
) -> Burst:
    """Photos that are known to show one thing, best first, with reasons.

    Args:
        results: Two or more, all with a score.
        details: Parallel to `results`; None for photos that nobody has looked at.
        card: Of the model of the scores.
    """
    found = dict(zip(map(id, results), details, strict=True))
    burst = _ranked(list(results), card.scene_pair_error)
    return with_detail(
        burst, [found[id(photo)] for photo in burst.photos], fine_order(card.name, card.version)
    )


def with_detail(burst: Burst, details: Sequence[Detail | None], order: FineOrder | None) -> Burst:
    """A burst whose order comes from score and detail together, with reasons.

    Args:
        burst: As `group_bursts` has it.
        details: Parallel to its photos; where one is None its order stays that of the scores.
        order: How both are added up; None where it was not learnt for the model of the scores: its
            order then stays that of the scores, with reasons.
    """
    known = [detail for detail in details if detail is not None]
    if len(known) < len(details):
        return burst
    places = list(range(len(known)))
    too_close, over_next, close = burst.too_close, burst.over_next, burst.close
    if order is not None:
        values = order.values([photo.score or 0.0 for photo in burst.photos], known)
        places.sort(key=lambda place: -values[place])
        # Open eyes decide between photos that are too close to call, and nothing else.
        level = [p for p in places if order.too_close(values[places[0]] - values[p])]
        first = min(level, key=lambda place: (closed_faces(known[place]), -values[place]))
        places.remove(first)
        places.insert(0, first)
        leads = [values[places[0]] - values[place] for place in places]
        too_close, over_next = order.too_close(leads[1]), max(order.chance(leads[1]), 0.5)
        close = tuple(order.too_close(lead) for lead in (leads[1], *leads[1:]))
    reasons = [""]
    for place, near in zip(places[1:], close[1:] or [None] * len(places), strict=False):
        said = reason_against(known[place], known[places[0]])
        if said == NO_DIFFERENCE and near is False:
            one, other = burst.photos[place].score or 0.0, burst.photos[places[0]].score or 0.0
            said = f"lower score: {one:.1f} against {other:.1f}" if one < other else said
        reasons.append(said)
    return Burst(
        photos=tuple(burst.photos[place] for place in places),
        too_close=too_close,
        over_next=over_next,
        reasons=tuple(reasons),
        close=close,
    )


def group_bursts(
    results: Iterable[ScoredPhoto],
    frames: Iterable[Frame | None],
    *,
    pair_error: PairError | None = None,
    rule: BurstRule | None = None,
) -> tuple[Burst, ...]:
    """Find bursts, and rank the photos of each.

    Args:
        results: One per photo; paths differ. Photos without a score are in no burst.
        frames: Parallel to `results`; None for photos that cannot be read.
        pair_error: `card.scene_pair_error` of the model that gave the scores.
        rule: Which photos belong together.

    Returns:
        The bursts in the natural order of their first photos' paths. Neither they nor the order
        of their photos depend on the order of `results`.
    """
    pairs = zip(results, frames, strict=True)
    rated = [(result, frame) for result, frame in pairs if frame and result.mean is not None]
    rated.sort(key=lambda pair: natural_key(pair[0].path))
    groups: dict[int, list[ScoredPhoto]] = {}
    for (result, _), group in zip(
        rated, group_frames([frame for _, frame in rated], rule or BurstRule()), strict=True
    ):
        groups.setdefault(group, []).append(result)
    return tuple(_ranked(photos, pair_error) for photos in groups.values() if len(photos) > 1)


def keepers(results: Iterable[ScoredPhoto], bursts: Iterable[Burst]) -> list[ScoredPhoto]:
    """The best photo of each burst and all photos with a score in none, in the order given."""
    dropped = {photo.path for burst in bursts for photo in burst.photos[1:]}
    return [r for r in results if r.mean is not None and r.path not in dropped]


def group_frames(frames: Sequence[Frame], rule: BurstRule) -> list[int]:
    """The group of each frame: equal numbers belong together.

    Args:
        frames: In any order; the groups do not depend on it.
        rule: Which photos belong together.
    """
    order = sorted(range(len(frames)), key=lambda row: _time_key(frames[row]))
    looks = _Looks([frames[row] for row in order])
    pairs = np.concatenate([np.empty((0, 2), dtype=np.intp), *looks.pairs(rule)])
    # Rows of `order` back to rows of `frames`.
    groups = group_pairs(len(frames), np.asarray(order, dtype=np.intp)[pairs])
    return [int(group) for group in groups]


class _Looks:
    """Frames in the order of time, as arrays."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        captures = [frame.capture for frame in frames]
        self.hashes = np.array([frame.difference_hash for frame in frames], dtype=np.uint64)
        self.thumbnails = np.array([frame.thumbnail for frame in frames], dtype=np.float32)
        self.seconds = np.array([c.seconds if c else np.nan for c in captures])
        self.cameras = _numbered([c.camera if c else "" for c in captures])
        self.bodies = _numbered([c.serial_number if c else "" for c in captures])
        self.in_utc = np.array([bool(c and c.in_utc) for c in captures])

    def pairs(self, rule: BurstRule) -> Iterator[Pairs]:
        """Pairs that belong together, some of them repeatedly."""
        for step in range(1, min(_REACH, len(self.hashes) - 1) + 1):
            rows = np.arange(len(self.hashes) - step)
            pairs = np.stack([rows, rows + step], axis=1)
            comparable, apart = self._comparable(pairs), self._apart(pairs)
            one_body = self._known_alike(self.bodies, pairs)
            near = pairs[comparable & one_body & (apart <= rule.window_s)]
            yield more_alike(self.thumbnails, near, rule.similarity)
            held = pairs[comparable & one_body & (apart <= min(_SHUTTER_S, rule.window_s))]
            yield more_alike(self.thumbnails, held, min(_SHUTTER_SIMILARITY, rule.similarity))
            # An exported copy without the serial number; two cameras of one model have such pairs
            # too, so the moment must be the same.
            copies = pairs[comparable & ~one_body & (apart <= _COPY_APART_S)]
            yield more_alike(self.thumbnails, copies, LIKE_CORRELATION)
        for pairs in alike_by_hash(self.hashes, reach=_REACH):
            timeless = pairs[~self._comparable(pairs) & ~self._two_cameras(pairs)]
            yield more_alike(self.thumbnails, timeless, LIKE_CORRELATION)

    def _apart(self, pairs: Pairs) -> NDArray[np.float64]:
        first, second = pairs.T
        return np.asarray(np.abs(self.seconds[first] - self.seconds[second]))

    def _comparable(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Whether one clock may have timed both photos."""
        first, second = pairs.T
        timed = ~np.isnan(self.seconds[first] + self.seconds[second])
        alike = self.in_utc[first] == self.in_utc[second]
        one_camera = self.cameras[first] == self.cameras[second]
        return np.asarray(timed & alike & one_camera & ~self._differ(self.bodies, pairs))

    def _two_cameras(self, pairs: Pairs) -> NDArray[np.bool_]:
        return self._differ(self.cameras, pairs) | self._differ(self.bodies, pairs)

    def _differ(self, names: NDArray[np.intp], pairs: Pairs) -> NDArray[np.bool_]:
        """Whether both are known, and not the same."""
        first, second = names[pairs].T
        return np.asarray((first > 0) & (second > 0) & (first != second))

    def _known_alike(self, names: NDArray[np.intp], pairs: Pairs) -> NDArray[np.bool_]:
        """Whether both are the same, or both not known."""
        first, second = names[pairs].T
        return np.asarray(first == second)


def _numbered(names: Sequence[str]) -> NDArray[np.intp]:
    """A number for each name, 0 for the empty one."""
    numbers = {name: number for number, name in enumerate(sorted({"", *names}))}
    return np.array([numbers[name] for name in names], dtype=np.intp)


def _time_key(frame: Frame) -> tuple[object, ...]:
    capture = frame.capture or Capture(0)
    timed = frame.capture is not None
    return timed, capture.camera, capture.in_utc, capture.seconds, natural_key(frame.path)


def _ranked(photos: Sequence[ScoredPhoto], pair_error: PairError | None) -> Burst:
    best, second, *others = rank_photos(photos)
    if pair_error is None or best.mean is None or second.mean is None:
        return Burst((best, second, *others))
    gap = best.mean - second.mean
    return Burst(
        (best, second, *others), pair_error.too_close(gap), float(pair_error.accuracy_at(gap))
    )


BURST_TABLE_FORMATS = (".csv", ".jsonl")
_COLUMNS = (
    *("burst", "place", "of", "path", "score", "spread", "percentile"),
    *("too_close", "over_next", "reason", "scale", "model", "error"),
)


def burst_rows(
    results: Sequence[ScoredPhoto], bursts: Sequence[Burst], *, best_only: bool = False
) -> Iterator[dict[str, Any]]:
    """Every photo once: bursts by number, best photo first; then photos in no burst, best first.

    Photos in no burst have no number, are the first of one, and come before those without a score.

    Args:
        results: All photos.
        bursts: As `group_bursts` finds them.
        best_only: Leave out all photos of a burst but its best, and photos without a score.
    """
    for number, burst in enumerate(bursts, start=1):
        for place, photo in enumerate(burst.photos[: 1 if best_only else None], start=1):
            sure = {"too_close": burst.too_close, "over_next": rounded(burst.over_next, 4)}
            yield _row(
                photo,
                burst=number,
                place=place,
                of=len(burst.photos),
                reason=burst.reason(place - 1) or None,
                **(sure if place == 1 else {}),
            )
    grouped = {path for burst in bursts for path in burst.paths}
    single = [photo for photo in results if photo.path not in grouped]
    for photo in rank_photos(keepers(single, ()) if best_only else single):
        yield _row(photo, place=None if photo.mean is None else 1, of=1)


def burst_csv(rows: Iterable[dict[str, Any]]) -> str:
    """A CSV with a header; yes and no are "true" and "false"."""
    return csv_text([_COLUMNS, *([_cell(value) for value in row.values()] for row in rows)])


def write_burst_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of `burst_rows` as CSV or JSON Lines.

    Raises:
        ConfigError: The name ends otherwise.
        NimaError: The file cannot be written.
    """
    check_burst_table(path)
    if path.suffix == ".csv":
        text = burst_csv(rows)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    # Names that are not valid UTF-8 keep their bytes.
    write_whole(path, text.encode("utf-8", "surrogateescape"))


def check_burst_table(path: Path) -> None:
    """Raise `ConfigError` unless the name of a table ends in one of `BURST_TABLE_FORMATS`."""
    if path.suffix not in BURST_TABLE_FORMATS:
        raise ConfigError(f"{path}: a table of bursts ends in {' or '.join(BURST_TABLE_FORMATS)}")


def _row(photo: ScoredPhoto, **of_burst: object) -> dict[str, Any]:
    values = photo.to_dict() | {"scale": str(photo.scale)} | of_burst
    return {column: values.get(column) for column in _COLUMNS}


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
