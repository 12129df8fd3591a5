"""What arguments mean where photos lie in stores, listings, tables and archives too."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, groupby
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from siamese_nima.csv_rows import listed_names, read_lines
from siamese_nima.errors import ConfigError, NimaError, PhotoError, TableError
from siamese_nima.ordered_pool import map_in_order
from siamese_nima.photos.archives import ARCHIVE_SUFFIXES, ArchivedPhoto, contents_of
from siamese_nima.photos.find import FoundPhotos, find_photos, natural_key
from siamese_nima.photos.formats import PHOTO_EXTENSIONS
from siamese_nima.photos.read import PhotoSource
from siamese_nima.photos.stores import (
    StoredPhoto,
    is_url,
    open_file,
    open_store,
    reason_of,
    retried,
    state_of,
    without_file_scheme,
)
from siamese_nima.photos.tables import (
    EmbeddedPhoto,
    ListedPhoto,
    PhotoTable,
    kept_name,
    listed_member,
    named_photo,
    photo_table,
    table_photos,
)

if TYPE_CHECKING:
    from siamese_nima.photos.remote import UrlRules

_LISTING, _TABLE = ".txt", ".parquet"
_COLLECTIONS = (_TABLE, *ARCHIVE_SUFFIXES)
_READERS = 16  # tables and archives looked at together: each waits for its store


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar or zip archive.

    Attributes:
        file: URL or absolute path.
        state: Tells whether it has changed, as of a table.
        photos: Those in it.
    """

    file: str
    state: str
    photos: tuple[ArchivedPhoto, ...]


Part = list[str] | PhotoTable | Archive


@dataclass(slots=True)
class Sources:
    """Photos to score, in the order of the arguments.

    Attributes:
        parts: Names of photos, a table or an archive; neighbouring names are one part.
        skipped: What was passed over; its names are empty.
        urls: Which http and https URLs are fetched; None leaves them to fsspec.
    """

    parts: list[Part] = field(default_factory=list)
    skipped: FoundPhotos = field(default_factory=lambda: FoundPhotos(names=()))
    urls: UrlRules | None = None

    @property
    def plain(self) -> bool:
        """Whether all are files on this machine."""
        return self.photos == len(self.names) and not any(map(is_url, self.names))

    @property
    def names(self) -> list[str]:
        """The paths and URLs among them."""
        return list(chain(*(part for part in self.parts if isinstance(part, list))))

    @property
    def photos(self) -> int:
        """How many."""
        return sum(map(photos_in, self.parts))

    def kept(self) -> dict[str, Any]:
        """Columns that join results to archives and tables of photos, with Arrow types or aliases.

        `key` (of a member of an archive, or the path in a row), `row` (its place there) and the
        other columns of the tables; none where no part is of these kinds.

        Raises:
            TableError: Two tables have a column of different types.
        """
        joined = [part for part in self.parts if _is_joined(part)]
        if not joined:
            return {}
        kept: dict[str, Any] = {"key": "string", "row": "int64"}
        for table in (part for part in joined if isinstance(part, PhotoTable)):
            for name, kind in ((kept_name(name), kind) for name, kind in table.kept.items()):
                if kept.setdefault(name, kind) != kind:
                    raise TableError(
                        f"{table.file}: column {name!r} is {kind}, and {kept[name]} elsewhere"
                    )
        return kept


def photos_in(part: Part) -> int:
    """How many photos a part has."""
    match part:
        case PhotoTable():
            return part.rows
        case Archive():
            return len(part.photos)
    return len(part)


def find_sources(
    patterns: Iterable[str],
    *,
    stdin: IO[bytes] | None = None,
    image_column: str | None = None,
    guarded: bool = False,
    urls: UrlRules | None = None,
    without: str | os.PathLike[str] | None = None,
) -> Sources:
    """What files, folders, globs, URLs, listings, tables, archives and `-` stand for.

    - A local path or glob is what `find_photos` makes of it.
    - A URL is a photo, a folder that is searched in the order and by the rules of local ones, or a
      glob of photos.
    - A name that ends in .txt is a listing: one name or URL a line, taken literally; `-` is one on
      standard input.
    - A name that ends in .parquet is a table of photos, one that ends in .tar or .zip an archive of
      them, or a glob of such.

    Each name is taken once.

    Args:
        patterns: These.
        stdin: Read for `-` instead of standard input.
        image_column: Column of tables with the photos; by default `image`, where it is a struct
            with `bytes`, or else `path`.
        guarded: Whether http and https URLs are fetched by `urls` alone, as photos; otherwise they
            are stores as others are.
        urls: Their rules; None for no such URL.
        without: A folder that is not searched.

    Raises:
        ConfigError: There is such a URL, and no rules; or it is an archive or a table. Or a URL
            leads into an archive.
        NimaError: A folder of a store cannot be searched, or a listing cannot be read.
        TableError: A table cannot be read, or has no fitting column.
        PhotoError: A pattern is the empty string, or an archive cannot be opened.
    """
    sources = Sources(urls=urls)
    known: set[str] = set()
    plain = [without_file_scheme(pattern) for pattern in patterns]
    for pattern in plain:
        if pattern.startswith(("zip://", "tar://")) and "::" in pattern:
            archive = without_file_scheme(pattern.partition("::")[2])
            raise ConfigError(f"{pattern}: wanted the archive itself, {archive}")
    for is_collection, group in groupby(plain, key=_is_collection):
        if is_collection:
            collections = list(group)
            for pattern in collections if guarded else ():
                if _is_web(pattern):
                    raise ConfigError(f"{pattern}: archives and tables are not read by URL here")
            files = list(
                dict.fromkeys(file for pattern in collections for file in _matching(pattern))
            )
            read = partial(_collection, image_column=image_column)
            for part, skipped in map_in_order(read, files, workers=_READERS):
                sources.parts.append(part)
                sources.skipped = _sum(sources.skipped, skipped, 0)
        else:
            names: list[str] = []
            for found in _found(group, stdin, guarded=guarded, without=without):
                for name in found.names if guarded and urls is None else ():
                    if _is_web(name):
                        raise ConfigError(
                            f"{name}: a URL; none is fetched unless its host is named: --url-host "
                            f"{_host(name)}"
                        )
                new = [name for name in found.names if name not in known]
                known.update(new)
                names += new
                repeats = len(found.names) - len(new)
                sources.skipped = _sum(sources.skipped, found, repeats)
            if names:
                sources.parts.append(names)
    return sources


def listed_photos(sources: Sources) -> Iterator[ListedPhoto]:
    """All photos of a run on this machine, in order; tables are read as it goes.

    What a row of a table names at an http or https URL is fetched as what an argument names: by
    the rules, or not at all. A row that should hold its photo has nothing fetched for it besides.

    Raises:
        TableError: A table cannot be read any more.
    """
    for part in sources.parts:
        match part:
            case PhotoTable():
                for listed in table_photos(part, 0, part.rows, os.curdir):
                    if isinstance(listed.photo, StoredPhoto):
                        named = _named_by_row(listed.photo, sources.urls, part)
                        yield replace(listed, photo=named)
                    else:
                        yield listed
            case Archive():
                for row, member in enumerate(part.photos):
                    yield listed_member(member, row)
            case _:
                for name in part:
                    fetched = sources.urls if _is_web(name) else None
                    photo = _remote(name, fetched) if fetched else named_photo(name, os.curdir)
                    yield ListedPhoto(name, photo)


def _named_by_row(photo: StoredPhoto, rules: UrlRules | None, table: PhotoTable) -> PhotoSource:
    """A photo that a row names by a URL, as a run on this machine takes it."""
    web = _is_web(photo.url)
    if web and rules:
        return _remote(photo.url, rules)
    if not web and table.image is None:
        return cast(PhotoSource, photo)
    flaw = "the table holds no photo here, only a URL, which is not fetched"
    if web:
        flaw = f"a URL; none is fetched unless its host is named: --url-host {_host(photo.url)}"
    return cast(PhotoSource, EmbeddedPhoto(photo.url, flaw=flaw))


def _remote(url: str, rules: UrlRules) -> PhotoSource:
    from siamese_nima.photos.remote import RemotePhoto

    return cast(PhotoSource, RemotePhoto(url, rules))


def _is_joined(part: Part) -> bool:
    return isinstance(part, Archive) or (isinstance(part, PhotoTable) and part.image is not None)


def _is_collection(pattern: str) -> bool:
    return pattern.lower().endswith(_COLLECTIONS) and not Path(pattern).is_dir()


def _collection(file: str, image_column: str | None) -> tuple[Part, FoundPhotos]:
    """A table or an archive, and what was passed over in it."""
    nothing = FoundPhotos(names=())
    if file.lower().endswith(_TABLE):
        return photo_table(file, image_column), nothing
    archive = file if is_url(file) else str(Path(file).absolute())
    try:
        with open_file(file) as opened:
            found = contents_of(opened, archive, file)
        state = state_of(file)
    except Exception as error:
        raise PhotoError(f"{file}: the archive cannot be read ({reason_of(error)})") from error
    skipped = replace(nothing, skipped_other=found.other, skipped_special=found.special)
    return Archive(archive, state, found.photos), skipped


def _matching(pattern: str) -> Iterator[str]:
    """The tables or archives that a name or glob means."""
    if not glob.has_magic(pattern) or (not is_url(pattern) and Path(pattern).exists()):
        yield pattern
        return
    if is_url(pattern):
        system, path = open_store(pattern)
        system.invalidate_cache()
        try:
            found = [system.unstrip_protocol(one) for one in retried(lambda: system.glob(path))]
        except Exception as error:
            raise NimaError(f"{pattern}: cannot be searched ({reason_of(error)})") from error
    else:
        found = glob.glob(pattern, recursive=True)  # noqa: PTH207 -- keeps relative names as they are
    if not found:
        kind = "table" if pattern.lower().endswith(_TABLE) else "archive"
        raise TableError(f"{pattern}: no such {kind}")
    yield from sorted(found, key=natural_key)


def _is_web(name: str) -> bool:
    """Whether a name is an http or https URL, or leads to one through other stores."""
    links = name.lower().split("::") if is_url(name) else [name.lower()]
    return any(link.startswith(("http://", "https://")) for link in links)


def _host(url: str) -> str | None:
    return urlsplit(url.rpartition("::")[2]).hostname


def _found(
    patterns: Iterable[str],
    stdin: IO[bytes] | None,
    *,
    guarded: bool,
    without: str | os.PathLike[str] | None,
) -> Iterator[FoundPhotos]:
    for pattern in patterns:
        if pattern == "-":
            yield from _listed(_standard_input(stdin), "standard input")
        elif guarded and _is_web(pattern):
            yield FoundPhotos(names=(pattern,))
        elif pattern.lower().endswith(_LISTING) and not Path(pattern).is_dir():
            with _listing(pattern) as file:
                yield from _listed(file, pattern)
        elif is_url(pattern):
            yield _search(pattern)
        else:
            yield find_photos([pattern], without=None if without is None else Path(without))


def _standard_input(given: IO[bytes] | None) -> IO[bytes]:
    closed: Any = sys.stdin  # None where whoever started the command has closed it
    if given is None and closed is None:
        raise PhotoError("'-' reads a list from standard input, and there is none: it is closed")
    return given or sys.stdin.buffer


def _listing(file: str) -> IO[bytes]:
    try:
        if not is_url(file):
            return Path(file).open("rb")
        system, path = open_store(file)
        content: bytes = retried(lambda: system.cat_file(path))
    except NimaError:
        raise
    except Exception as error:
        raise NimaError(f"{file}: the listing cannot be read ({reason_of(error)})") from error
    return io.BytesIO(content)


def _listed(file: IO[bytes], name: str) -> Iterator[FoundPhotos]:
    """Names are taken literally; local ones may be folders, as those on standard input are."""
    lines = read_lines(file, name)
    names = listed_names(lines, name)
    if not any(map(is_url, names)):
        yield find_photos(["-"], stdin=io.StringIO("\n".join(lines)))
        return
    for remote, group in groupby(names, key=is_url):
        if remote:
            yield FoundPhotos(names=tuple(map(without_file_scheme, group)))
        else:
            yield find_photos(["-"], stdin=io.StringIO("\n".join(group)))


def _search(url: str) -> FoundPhotos:
    """The photos that a URL stands for, in the order in which a local folder is searched."""
    system, root = open_store(url)
    system.invalidate_cache()
    try:
        if not glob.has_magic(root) and retried(lambda: system.isfile(root)):
            return FoundPhotos(names=(url,))
        search = system.glob if glob.has_magic(root) else system.find
        entries = retried(lambda: search(root, detail=True))
    except Exception as error:
        raise NimaError(f"{url}: cannot be searched ({reason_of(error)})") from error
    files = [path for path, details in entries.items() if details["type"] != "directory"]
    if not files:
        return FoundPhotos(names=(url,))  # reading it says what is wrong
    start = "" if glob.has_magic(root) else root.rstrip("/") + "/"
    found, hidden, other = [], 0, 0
    for path in files:
        inside = PurePosixPath(path.removeprefix(start))
        if any(part.startswith(".") for part in inside.parts):
            hidden += 1
        elif inside.suffix.lower() not in PHOTO_EXTENSIONS:
            other += 1
        else:
            found.append((_order(inside), path))
    names = tuple(system.unstrip_protocol(path) for _, path in sorted(found))
    return FoundPhotos(names=names, skipped_hidden=hidden, skipped_other=other)


def _order(path: PurePosixPath) -> list[tuple[bool, Any]]:
    """Sorts a folder's own photos before those of the folders in it."""
    return [
        *((True, natural_key(folder)) for folder in path.parts[:-1]),
        (False, natural_key(path.name)),
    ]


def _sum(before: FoundPhotos, found: FoundPhotos, repeats: int) -> FoundPhotos:
    return replace(
        before,
        skipped_hidden=before.skipped_hidden + found.skipped_hidden,
        skipped_other=before.skipped_other + found.skipped_other,
        skipped_special=before.skipped_special + found.skipped_special,
        skipped_repeats=before.skipped_repeats + found.skipped_repeats + repeats,
        skipped_system=before.skipped_system + found.skipped_system,
    )
