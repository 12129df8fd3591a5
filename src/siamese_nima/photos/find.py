"""Find the photos that arguments of a command line mean."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from siamese_nima.csv_rows import as_on_disk, listed_names, read_lines
from siamese_nima.errors import PhotoError
from siamese_nima.photos.formats import PHOTO_EXTENSIONS

# Folders that systems and programs keep beside photos, with small or deleted copies of them: those
# of Synology, QNAP, Windows, macOS and its archives, Linux, and Lightroom's previews.
_SYSTEM_NAMES = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("$recycle.bin", "system volume information", "recycler", "thumbs", "__macosx"),
        "lost+found",
    }
)
_SYSTEM_ENDINGS = (".lrdata",)
# In a library of Apple's Photos only these hold what was imported, by its old and new versions.
_LIBRARY_ENDINGS = (".photoslibrary", ".photolibrary", ".aplibrary")
_LIBRARY_PHOTOS = frozenset({"originals", "masters"})

_DIGITS = re.compile(r"(\d+)")
# At least two letters: C:/photo.jpg is a path of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class FoundPhotos:
    """Photos to read, and how many things were passed over.

    Attributes:
        names: Their paths, in the order of the arguments; natural order (photo2 before photo10)
            inside each. Names that cannot be read (missing files, broken links, folders that cannot
            be listed) are here too, so that reading them reports why.
        skipped_hidden: Files and folders in searched folders whose name starts with a dot.
        skipped_other: Files in searched folders that are not photos by their extension.
        skipped_special: Pipes, sockets and devices in searched folders; they are never opened.
        skipped_repeats: Files that an earlier argument, or another link, already gave.
        skipped_outside: Links in searched folders that lead out of where the search was to stay.
        skipped_system: Folders in searched ones that systems and programs keep there for
            thumbnails and deleted files; their photos are copies of photos elsewhere.
    """

    # Not as Path objects, which take four times the memory: there may be millions.
    names: tuple[str, ...]
    skipped_hidden: int = 0
    skipped_other: int = 0
    skipped_special: int = 0
    skipped_repeats: int = 0
    skipped_outside: int = 0
    skipped_system: int = 0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The names as paths."""
        return tuple(map(Path, self.names))


def find_photos(
    patterns: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    stdin: IO[str] | IO[bytes] | None = None,
    inside: str | os.PathLike[str] | None = None,
    without: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
) -> FoundPhotos:
    """Photos that files, folders, globs and `-` stand for, each file once.

    - A file is taken whatever its extension: it was named on purpose.
    - A folder is searched with all folders in it. Its own photos come first, then those of
      the folders in it, one folder after another. Links to folders are followed, each real folder
      once.
    - A glob (`*`, `?`, `[...]`, `**` for any depth) is expanded here, for shells that do not; a
      file whose name is literally so wins, and so does each part of a path. Its matches are treated
      like entries of a folder. As in a shell, hidden files do not match and `**` does not go
      through links.
    - `-` reads names of files and folders from standard input, one a line, taken literally.
    - A URL that begins with `file:` is the path that it stands for.

    Folders that systems keep for thumbnails and deleted files are not searched unless they are
    named.

    Args:
        patterns: Paths, globs or "-"; or one of them. A leading `~` means the home folder.
        stdin: Read for `-` instead of standard input.
        inside: A folder that links in searched folders may not lead out of.
        without: Folders that are not searched, such as those that copies of photos go to.

    Raises:
        PhotoError: A pattern is the empty string, which as a path would mean the current folder;
            or a URL; or there is no standard input to read.
    """
    search = _Search()
    if inside is not None:
        search.within = os.path.join(_real(Path(inside)), "")  # noqa: PTH118 -- ends in a separator
    if without is not None:
        folders = [without] if isinstance(without, str | os.PathLike) else without
        search.without = frozenset(_real(Path(folder)) for folder in folders)
    given = [patterns] if isinstance(patterns, str | os.PathLike) else patterns
    for pattern in (os.fspath(one) for one in given):
        if pattern == "-":
            for line in _lines(stdin):
                search.take_named(local_path(line) if _URL.match(line) else as_on_disk(line))
        else:
            search.take_pattern(pattern)
    return FoundPhotos(
        names=tuple(search.names),
        skipped_hidden=search.hidden,
        skipped_other=search.other,
        skipped_special=search.special,
        skipped_repeats=search.repeats,
        skipped_outside=search.outside,
        skipped_system=search.system,
    )


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key that reads digits as numbers and ignores case.

    >>> sorted(["photo10.jpg", "Photo2.jpg", "photo1.jpg"], key=natural_key)
    ['photo1.jpg', 'Photo2.jpg', 'photo10.jpg']
    """
    # Splitting at digits alternates text and number, so keys never compare a str with an int.
    parts = _DIGITS.split(name.casefold())
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


@dataclass(slots=True)
class _Search:
    """State of one search: what was found, and what was passed over."""

    names: list[str] = field(default_factory=list)
    hidden: int = 0
    other: int = 0
    special: int = 0
    repeats: int = 0
    outside: int = 0
    system: int = 0
    within: str = ""
    without: frozenset[str] = frozenset()
    _seen: set[str] = field(default_factory=set)

    def take_pattern(self, pattern: str | Path) -> None:
        if not str(pattern):
            raise PhotoError("an empty name was given; wanted a photo, a folder, a glob or '-'")
        path = local_path(os.path.expanduser(pattern))  # noqa: PTH111 -- Path.expanduser fails on ~name
        if os.path.lexists(path) or not glob.has_magic(str(path)):
            self.take_named(path)
            return
        matches = self._matches(path)
        if not matches:
            self.names.append(str(path))
        for match in sorted(matches, key=lambda match: [natural_key(part) for part in match.parts]):
            # A last `**` already matches everything inside the folders that it matches.
            if not (path.name == "**" and _holds(match.is_dir)):
                self._take_found(match, match, _real(match))

    def _matches(self, pattern: Path) -> list[Path]:
        """What a glob matches, hidden files only where it spells the dot.

        Not by `glob.glob`, whose `**` follows links to folders, in circles too.
        """
        matches = [Path(pattern.anchor)]
        for place, part in enumerate(pattern.parts[1 if pattern.anchor else 0 :], start=1):
            if part == "**":
                matches = [inside for folder in matches for inside in self._folders_below(folder)]
                part = "*" if place == len(pattern.parts) - bool(pattern.anchor) else ""
            matches = [match for folder in matches for match in self._matches_in(folder, part)]
        return matches

    def _matches_in(self, folder: Path, part: str) -> list[Path]:
        """What one part of a glob, without `**`, matches in a folder."""
        if os.path.lexists(folder / part):
            return [folder / part]
        if not glob.has_magic(part) or not _holds(folder.is_dir):
            return []
        return [
            folder / entry.name
            for entry in self._listed(folder)
            if fnmatch.fnmatch(entry.name, part)
            and (part.startswith(".") or not entry.name.startswith("."))
        ]

    def _folders_below(self, folder: Path) -> Iterator[Path]:
        """The folder itself and all in it that are neither hidden nor links."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            if _holds(folder.is_dir):
                yield folder
                waiting.extend(
                    folder / entry.name
                    for entry in self._listed(folder)
                    if not entry.name.startswith(".")
                    and not _is_link(entry)
                    and _holds(entry.is_dir)
                )

    def _listed(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as scan:
                return sorted(scan, key=lambda entry: natural_key(entry.name))
        except OSError:
            if str(folder) not in self.names:
                self.names.append(str(folder))
            return []

    def take_named(self, path: Path) -> None:
        """A path that was given itself: unlike a found one, it is always taken."""
        if _holds(path.is_dir):
            self._take_folder(path, _real(path))
        else:
            self._take_file(path, _real(path))

    def _take_folder(self, folder: Path, real: str) -> None:
        visited = set()
        waiting = [(folder, real)]
        while waiting:
            folder, real = waiting.pop()
            if real not in visited and real not in self.without:
                visited.add(real)
                waiting.extend(reversed(self._take_photos_in(folder, real)))

    def _take_photos_in(self, folder: Path, real: str) -> list[tuple[Path, str]]:
        """Take the photos of one folder; returns the folders in it, each with its real path."""
        folders = []
        prefix = f"{real.rstrip(os.sep)}{os.sep}"
        for entry in self._listed(folder):
            path = folder / entry.name
            # Resolving costs a system call per path component; only links can need it.
            linked = _is_link(entry)
            inside = _real(path) if linked else f"{prefix}{entry.name}"
            if entry.name.startswith("."):
                self.hidden += 1
            elif linked and not inside.startswith(self.within):
                self.outside += 1
            elif _holds(entry.is_dir):
                if _is_of_the_system(folder.name, entry.name):
                    self.system += 1
                else:
                    folders.append((path, inside))
            else:
                self._take_found(entry, path, inside)
        return folders

    def _take_found(self, entry: os.DirEntry[str] | Path, path: Path, real: str) -> None:
        """A path that was searched for: only what looks like a photo is taken."""
        if _holds(entry.is_dir):
            self._take_folder(path, real)
        elif not _holds(entry.is_file) and _holds(path.exists):
            self.special += 1
        elif path.suffix.lower() not in PHOTO_EXTENSIONS:
            self.other += 1
        else:
            self._take_file(path, real)

    def _take_file(self, path: Path, real: str) -> None:
        if real in self._seen:
            self.repeats += 1
        else:
            name = str(path)
            self._seen.add(name if name == real else real)
            self.names.append(name)


def _is_of_the_system(parent: str, name: str) -> bool:
    """Whether a folder `name` in one called `parent` is kept there by a system or a program."""
    name = name.casefold()
    if parent.casefold().endswith(_LIBRARY_ENDINGS):
        return name not in _LIBRARY_PHOTOS
    return name in _SYSTEM_NAMES or name.endswith(_SYSTEM_ENDINGS)


def local_path(name: str | Path) -> Path:
    """The path that an argument stands for; a URL that begins with `file:` means one.

    Raises:
        PhotoError: It is a URL of another machine.
    """
    text = str(name)
    if not _URL.match(text) or os.path.lexists(text):
        return Path(name)
    url = urlsplit(text)
    if url.scheme.lower() == "file":
        from urllib.request import url2pathname

        host = "" if url.netloc in ("", "localhost") else f"//{url.netloc}"
        return Path(url2pathname(f"{host}{url.path}"))
    raise PhotoError(
        f"{text}: a URL, and nothing is downloaded; save the photo and give the file, or read "
        "object stores with --engine ray"
    )


def _is_link(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a link, or what Windows calls a junction."""
    if entry.is_symlink():
        return True
    is_junction = getattr(entry, "is_junction", None)  # from Python 3.12 on
    if is_junction is not None:
        return _holds(is_junction)
    if sys.platform == "win32":
        return entry.stat(follow_symlinks=False).st_reparse_tag == stat.IO_REPARSE_TAG_MOUNT_POINT
    return False


def _holds(question: Callable[[], bool]) -> bool:
    """The answer to `is_dir` and the like; no if the file system will not say."""
    try:
        return question()
    except OSError:
        return False


def _real(path: Path) -> str:
    try:
        return os.path.realpath(path)
    # A name with a NUL in it, or a link that may not be read; reading the file will say so.
    except (OSError, ValueError):
        return str(path)


def _lines(stream: IO[str] | IO[bytes] | None) -> Sequence[str]:
    """Names on non-empty lines, in any encoding that systems write."""
    source: Any = stream if stream is not None else sys.stdin
    if source is None:
        raise PhotoError("'-' reads a list from standard input, and there is none: it is closed")
    lines = read_lines(getattr(source, "buffer", source), "standard input")
    return listed_names(lines, "standard input")
