"""Scores and choices as stars: what writing them would change, decided beforehand; the writing."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol, TypedDict, Unpack, get_args

from siamese_nima.curation.choices import Choice
from siamese_nima.curation.jpeg_xmp import JpegXmp
from siamese_nima.curation.programs import REJECTED, Marks, Program, program_named
from siamese_nima.curation.sidecars import Folder, Naming, UndoLog, read_sidecar
from siamese_nima.curation.xmp import (
    OUR_MODEL,
    OUR_RATING,
    OUR_SCORE,
    RATING,
    Name,
    Packet,
    embedded_packet_rating,
    stars_of_percent,
)
from siamese_nima.errors import ConfigError, SidecarError
from siamese_nima.photos import metadata
from siamese_nima.photos.formats import JPEG_EXTENSIONS
from siamese_nima.photos.metadata import read_metadata
from siamese_nima.scoring.results import ScoredPhoto

By = Literal["given", "population", "score"]

PERCENTILES = (10.0, 30.0, 70.0, 90.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StarRule:
    """How many stars a photo gets.

    Attributes:
        by: What is measured: "given", the percentile among the photos given together;
            "population", the percentile in the model's reference population; or "score".
        bounds: Where 2, 3, 4 and 5 stars begin, ascending: percentiles, or scores.
        reject_below: Photos below are rejected (-1) in place of getting stars; at most the bound
            of 2 stars. None rejects no photo.
    """

    by: By = "given"
    bounds: tuple[float, ...] = PERCENTILES
    reject_below: float | None = None

    def __post_init__(self) -> None:
        if self.by not in ("given", "population", "score"):
            raise ConfigError(f"stars go by given, population or score, not by {self.by!r}")
        bounds = self.bounds
        rising = all(a < b for a, b in pairwise(bounds))
        if len(bounds) != 4 or not rising or not all(map(math.isfinite, bounds)):
            shown = ",".join(f"{bound:g}" for bound in bounds)
            raise ConfigError(f"bounds are 4 rising numbers, where 2 to 5 stars begin; got {shown}")
        if self.by != "score" and not 0 <= bounds[0] <= bounds[-1] <= 100:
            raise ConfigError(f"percentiles are from 0 to 100, got {bounds}")
        if self.reject_below is not None and not self.reject_below <= bounds[0]:
            raise ConfigError(
                f"the bound of rejection, {self.reject_below:g}, is above that of 2 stars, "
                f"{bounds[0]:g}"
            )

    def stars(self, measure: float) -> int:
        """Stars for a percentile or score, which ever `by` says; more of it is never fewer stars.

        >>> [StarRule().stars(percentile) for percentile in (5, 10, 50, 89.9, 90)]
        [1, 2, 3, 4, 5]
        """
        if self.reject_below is not None and measure < self.reject_below:
            return REJECTED
        return 1 + bisect_right(self.bounds, measure)


def give_stars(results: Sequence[ScoredPhoto], rule: StarRule) -> list[int | None]:
    """Stars for each photo, in order; None for one without a score.

    Equal scores get equal stars, and a higher score never fewer.

    Raises:
        ConfigError: Stars by population, and the model has none; or bounds beyond the scale.
    """
    means = sorted(result.mean for result in results if result.mean is not None)
    if rule.by == "score" and results:
        scale = results[0].scale
        if not scale.low <= rule.bounds[0] <= rule.bounds[-1] <= scale.high:
            raise ConfigError(f"bounds {rule.bounds}: scores of {results[0].model} are {scale}")
    return [None if r.mean is None else rule.stars(_measure(r, means, rule.by)) for r in results]


def _measure(result: ScoredPhoto, means: Sequence[float], by: By) -> float:
    if result.mean is None:
        raise ConfigError(f"{result.path}: has no score")
    if by == "score":
        return result.mean
    if by == "population":
        if result.percentile is None:
            raise ConfigError(
                f"{result.model} has no reference population; give stars by given or score"
            )
        return result.percentile
    # Half of the photos with the same score count as lower, so that a photo alone is average.
    below, upto = bisect_left(means, result.mean), bisect_right(means, result.mean)
    return 100 * (below + upto) / (2 * len(means))


Action = Literal["create", "change", "keep", "same", "unread", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarChange:
    """What happens to one sidecar, or to one photo where stars are written into photos.

    Attributes:
        action: "create" or "change" it; "keep" a person's rating; nothing to do ("same"); "unread"
            where the program would not read what can be written; or "fail", nothing can be done.
        sidecar: The sidecar or photo; for a failure, what the error is about.
        result: The photo; of several that share the sidecar, the one with the highest score.
        stars: What it gets, -1 to 5; None for a failure, and where the rating stays as it is.
        was: The rating there is; None where there is none, not a number where there may be one that
            cannot be read: it is kept too.
        before: The file's bytes; None where it does not exist.
        after: The bytes to write, for "create" and "change".
        error: Why it fails.
    """

    action: Action
    sidecar: Path
    result: ScoredPhoto
    stars: int | None = None
    was: float | None = None
    before: bytes | None = None
    after: bytes | None = None
    error: str | None = None


class PlanOptions(TypedDict, total=False):
    """How stars are written.

    Attributes:
        naming: Which sidecars; "auto" takes those that `program` reads, or else the one a photo
            has, else the folder's convention.
        overwrite: Replace ratings that people gave.
        apart: Every file is a photo of its own.
        program: Write where and how this one of `PROGRAMS` reads.
        into_photos: Write into the XMP inside of JPEG files, in place of sidecars.
        pick_from: As `Marks` has it, like `labels`.
        labels: Colours by stars.
    """

    naming: Naming
    overwrite: bool
    apart: bool
    program: str | None
    into_photos: bool
    pick_from: int | None
    labels: Mapping[int, str]


class _Mark(Protocol):
    """What a photo gets.

    Attributes:
        rating: -1 to 5; None leaves the rating as it is.
    """

    @property
    def rating(self) -> int | None: ...

    def persons(self, packet: Packet) -> float | None:
        """The rating of a sidecar that a person gave and that this one would replace; or None."""

    def differs(self, rating: float) -> bool:
        """Whether a rating that a person gave elsewhere speaks against this one."""

    def values(self, packet: Packet, *, overwrite: bool) -> dict[Name, str]:
        """Properties to write into a sidecar."""


@dataclass(frozen=True, slots=True)
class _StarsOfScore:
    rating: int
    marks: Marks
    result: ScoredPhoto

    def persons(self, packet: Packet) -> float | None:
        return packet.persons_rating

    def differs(self, rating: float) -> bool:  # noqa: ARG002
        return True

    def values(self, packet: Packet, *, overwrite: bool) -> dict[Name, str]:
        values = {RATING: str(self.rating), OUR_RATING: str(self.rating)}
        values |= {OUR_SCORE: f"{self.result.score:.4f}", OUR_MODEL: self.result.model}
        return values | self.marks.values(packet, self.rating, overwrite=overwrite)


def plan_stars(
    results: Sequence[ScoredPhoto], stars: Sequence[int | None], **options: Unpack[PlanOptions]
) -> Iterator[SidecarChange]:
    """Decide for every photo with stars; nothing is written.

    One rating reaches all files of a shot, such as a camera raw file and its JPEG, those that were
    not given too.

    A rating that a person gave stays, be it in the sidecar, in one of the other convention, or in
    the photo itself. A rating of ours that nobody has changed since is brought up to date.

    Args:
        results: Of photo files.
        stars: Parallel to `results`; None leaves a photo out.
        options: As `PlanOptions` says; by default sidecars as they are there already, and nobody's
            rating is replaced.

    Yields:
        One entry per file, in the order of the photos; photos that share a sidecar have one.
        Sidecars are read one at a time, when their entry's turn comes.

    Raises:
        ConfigError: An unknown naming.
    """
    reader = program_named(options.get("program"))
    pick_from = options.get("pick_from")
    # Nobody but digiKam reads its labels; without a program in mind they do no harm.
    digikam = pick_from is not None if reader is None else reader.digikam
    marks = Marks(pick_from=pick_from, labels=options.get("labels"), digikam=digikam)
    given = zip(results, stars, strict=True)
    wanted = [(r, None if s is None else _StarsOfScore(s, marks, r)) for r, s in given]
    yield from _plan(wanted, options)


def plan_choices(
    results: Sequence[ScoredPhoto], choices: Sequence[Choice | None], **options: Unpack[PlanOptions]
) -> Iterator[SidecarChange]:
    """The same for what a person chose: stars, rejected, picked, colours.

    They are the person's own from then on, and `plan_stars` leaves them alone. What the person
    marked in other programs stays, and is an entry "keep" where it is another rating.

    Args:
        results: Of photo files; their scores do not matter.
        choices: Parallel to `results`; None leaves a photo out. What is empty takes back what an
            earlier choice has written.
        options: Without `pick_from` and `labels`.
    """
    yield from _plan(zip(results, choices, strict=True), options)


def _plan(
    marked: Iterable[tuple[ScoredPhoto, _Mark | None]], options: PlanOptions
) -> Iterator[SidecarChange]:
    naming = options.get("naming", "auto")
    if naming not in get_args(Naming):
        raise ConfigError(f"sidecars are {', '.join(get_args(Naming))}, not {naming!r}")
    reader = program_named(options.get("program"))
    if reader is not None and naming == "auto":
        naming = reader.naming
    folders: dict[Path, Folder | SidecarError] = {}
    unread: list[SidecarChange] = []
    shared: dict[Path, list[_Rated]] = {}
    failed: dict[Path, SidecarChange] = {}
    for result, mark in marked:
        if mark is None:
            continue
        photo = Path(result.path)
        try:
            folder = _folder_of(photo, folders)
            name = folder.find(photo.name)
            if name is None:
                raise SidecarError(f"{photo}: no such photo")
            files = (str(folder.path / name),) if options.get("apart") else folder.shot(name).files
            rated = _Rated(result, mark, folder, tuple(Path(file).name for file in files))
            # All of them first: of a shot that cannot be rated in whole, nothing is.
            targets = [*_targets(rated, naming, reader, options.get("into_photos", False))]
            for target in targets:
                shared.setdefault(target, []).append(rated)
            if not targets:
                path = folder.path / name
                unread.append(
                    SidecarChange(action="unread", sidecar=path, result=result, stars=mark.rating)
                )
        except SidecarError as error:
            failed[photo] = SidecarChange(
                action="fail", sidecar=photo, result=result, error=str(error)
            )
    for sidecar, photos in shared.items():
        yield _entry(sidecar, photos, options.get("overwrite", False))
    yield from unread
    yield from failed.values()


def write_stars(plan: Iterable[SidecarChange], log: UndoLog) -> Iterator[SidecarChange]:
    """Write what `plan_stars` plans, one sidecar at a time.

    Yields:
        Every entry, as it became: one that could not be written has failed, with its error.
    """
    for entry in plan:
        if entry.after is not None:
            try:
                log.write(entry.sidecar, entry.before, entry.after)
            except SidecarError as error:
                yield replace(entry, action="fail", error=str(error))
                continue
        yield entry


def _folder_of(photo: Path, folders: dict[Path, Folder | SidecarError]) -> Folder:
    if photo.parent not in folders:
        try:
            folders[photo.parent] = Folder(photo.parent)
        except SidecarError as error:
            folders[photo.parent] = error
    folder = folders[photo.parent]
    if isinstance(folder, SidecarError):
        raise folder
    return folder


@dataclass(frozen=True, slots=True)
class _Rated:
    """A shot and its stars.

    Attributes:
        result: Of one of its files.
        mark: What all get.
        folder: Where they are.
        files: Their names.
    """

    result: ScoredPhoto
    mark: _Mark
    folder: Folder
    files: tuple[str, ...]


def _targets(
    rated: _Rated, naming: Naming, reader: Program | None, into_photos: bool
) -> Iterator[Path]:
    """The files to write for a shot, some of which may not exist yet."""
    for file in rated.files:
        inside = into_photos and Path(file).suffix.lower() in JPEG_EXTENSIONS
        if inside:
            yield rated.folder.path / file
        if reader is None or reader.reads_sidecar_of(file):
            sidecar = rated.folder.sidecar(file, naming)
            # A program that reads both would find two ratings.
            if not inside or sidecar.name in rated.folder.names:
                yield sidecar


def _entry(sidecar: Path, photos: Sequence[_Rated], overwrite: bool) -> SidecarChange:
    best = max(photos, key=lambda photo: photo.result.mean or 0)
    result, mark = best.result, best.mark
    made = partial(SidecarChange, sidecar=sidecar, result=result)
    try:
        before = read_sidecar(sidecar)
        inside = None
        if sidecar.suffix.lower() in JPEG_EXTENSIONS:
            inside = JpegXmp.read(before or b"", str(sidecar))
        packet = Packet.parse(inside.packet if inside else before, str(sidecar))
        was = mark.persons(packet)
        elsewhere = (_persons_rating(p.folder, file, sidecar) for p in photos for file in p.files)
        others = (rating for rating in elsewhere if rating is not None and mark.differs(rating))
        was = was or next(others, None)
        if was is not None and not overwrite:
            return made(action="keep", stars=mark.rating, was=was, before=before)
        values = mark.values(packet, overwrite=overwrite)
        if not values:
            return made(action="same", stars=mark.rating, was=packet.rating, before=before)
        after = packet.with_values(values)
        if RATING in values and Packet.parse(after, str(sidecar)).rating != (mark.rating or None):
            raise SidecarError(f"{sidecar}: the rating cannot be written safely")
        if inside:
            after = inside.with_packet(after, str(sidecar))
    except SidecarError as error:
        return made(action="fail", error=str(error))
    was = was or packet.rating
    if after == before:
        return made(action="same", stars=mark.rating, was=was, before=before)
    action: Action = "create" if before is None else "change"
    return made(action=action, stars=mark.rating, was=was, before=before, after=after)


def _persons_rating(folder: Folder, photo: str, sidecar: Path) -> float | None:
    """A rating that a person gave elsewhere: in another sidecar, or inside the photo."""
    for other in folder.sidecars(photo).values():
        if other != sidecar:
            rating = Packet.parse(read_sidecar(other), str(other)).persons_rating
            if rating is not None:
                return rating
    return embedded_rating(folder.path / photo)


def embedded_rating(photo: Path) -> float | None:
    """The rating that a person gave to a photo and that is inside it, in XMP or EXIF.

    None where there is none; not a number where the file may hold one that cannot be read.
    """
    found = read_metadata(photo)
    for packet in found.xmp:
        rating, persons = embedded_packet_rating(packet)
        if rating is not None:
            return rating if persons else None
    for tag, stars in ((metadata.RATING, float), (metadata.RATING_PERCENT, stars_of_percent)):
        value = found.tags.get(tag)
        if isinstance(value, int) and value:
            return stars(value)
    return None if found.complete else math.nan
