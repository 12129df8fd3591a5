"""What a distributed run will do, kept beside its results so that it can be gone on with."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from siamese_nima.atomic_write import write_whole
from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.photos.archives import ArchivedPhoto
from siamese_nima.photos.sources import Archive, Sources, photos_in
from siamese_nima.photos.stores import is_url, open_store, reason_of, retried, without_file_scheme
from siamese_nima.photos.tables import PhotoTable

# Readers of Parquet folders pass over names that begin with an underscore.
NOTES = "_nima"
_PLAN = f"{NOTES}/plan.json"
_PLACES = fields(ArchivedPhoto)
_FEW, _MANY = 50, 5000  # photos per file, unless asked for
_FILES = 64  # enough for a dozen of workers to end at about the same time


class Folder:
    """A folder of results, on a disk or in a store.

    Attributes:
        url: Its URL, or an absolute local path.
    """

    def __init__(self, url: str) -> None:
        """Nothing is made or read yet; raises what `open_store` does."""
        plain = without_file_scheme(url)
        self._system, self._root = open_store(plain)
        self.url = plain.rstrip("/") if is_url(plain) else self._root
        self._local = not is_url(plain)

    def file(self, name: str) -> str:
        """URL or local path of a file in it."""
        return f"{self.url}/{name}"

    def names(self) -> set[str]:
        """What is in it: files, and folders that have files.

        Raises:
            NimaError: It cannot be listed.
        """
        self._system.invalidate_cache()
        try:
            entries = retried(lambda: self._system.ls(self._root, detail=False))
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise NimaError(f"{self.url}: cannot be listed ({reason_of(error)})") from error
        return {entry.rstrip("/").rpartition("/")[2] for entry in entries}

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none.

        Raises:
            NimaError: There may be one, but it cannot be read.
        """
        path = f"{self._root}/{name}"
        try:
            content: bytes = retried(lambda: self._system.cat_file(path))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise NimaError(f"{self.file(name)}: cannot be read ({reason_of(error)})") from error
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it: at any moment it is whole, the old one, or absent.

        Several may write the same file at the same time.

        Raises:
            NimaError: It cannot be written.
        """
        path = f"{self._root}/{name}"
        try:
            if self._local:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, content)
            else:
                # An object appears when its upload is complete.
                retried(lambda: self._system.pipe_file(path, content))
        except NimaError:
            raise
        except Exception as error:
            raise NimaError(f"{self.file(name)}: cannot be written ({reason_of(error)})") from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = f"{self._root}/{name}"
        try:
            retried(lambda: self._system.rm_file(path))
        except FileNotFoundError:
            return


@dataclass(frozen=True, slots=True)
class Slice:
    """The photos of one file of results: some rows of a table that lists photos.

    Attributes:
        index: Its place in the run, from 0 on.
        table: URL or absolute path of the Parquet file that lists them.
        first: The first row.
        count: How many rows.
        image: The column with the photos, in tables that have one.
        label: What names of photos in such a table begin with.
    """

    index: int
    table: str
    first: int
    count: int
    image: str = ""
    label: str = ""

    @property
    def results(self) -> str:
        """The name of its file of results.

        >>> Slice(12, "photos.parquet", 60000, 5000).results
        'part-0000012.parquet'
        """
        return f"part-{self.index:07d}.parquet"


def open_plan(
    folder: Folder, sources: Sources, settings: Sequence[str], photos_per_file: int | None
) -> list[Slice]:
    """The slices of a run, begun now or earlier.

    Args:
        folder: For the results; names of photos are noted there as a table too.
        sources: The photos.
        settings: What scores depend on besides the photos.
        photos_per_file: None takes that of the run that was begun, or one that suits their number.

    Raises:
        ConfigError: The folder holds something else, or a run of other photos or settings.
        NimaError: The folder cannot be read or written.
    """
    noted = folder.read(_PLAN)
    if noted is None:
        if folder.names() - {NOTES}:
            raise ConfigError(
                f"{folder.url}: not empty, and not begun by nima score --engine ray; wanted a new "
                "folder, or one whose run is to go on"
            )
        begun = None
        suits = min(max(-(-sources.photos // _FILES), _FEW), _MANY)
        per_file = photos_per_file or suits
    else:
        begun = json.loads(noted)
        per_file = photos_per_file or begun["photos_per_file"]
    slices: list[Slice] = []
    listed: list[dict[str, Any]] = []
    for number, part in enumerate(sources.parts):
        name = f"{NOTES}/photos-{number}.parquet"
        table, rows, image, label = folder.file(name), photos_in(part), "", ""
        match part:
            case PhotoTable():
                table, image = part.file, part.image or ""
                label = part.label if image else ""
                about = {"table": table, "rows": rows, "state": part.state}
                if image:
                    about["image_column"] = image
            case Archive():
                about = {"archive": part.file, "photos": rows, "state": part.state}
            case _:
                about = {"names": rows, "sha256": _digest(part)}
        listed.append(about)
        if begun is None and not isinstance(part, PhotoTable):
            folder.write(name, _written_down(part, per_file))
        for first in range(0, rows, per_file):
            count = min(per_file, rows - first)
            slices.append(Slice(len(slices), table, first, count, image, label))
    wanted = {
        "photos": sources.photos,
        "photos_per_file": per_file,
        "settings": list(settings),
        "sources": listed,
    }
    if begun is None:
        folder.write(_PLAN, json.dumps(wanted, indent=1).encode())
    else:
        _check_same(folder, begun, wanted)
    return slices


def _check_same(folder: Folder, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
    if begun == wanted:
        return
    if begun["settings"] != wanted["settings"]:
        what = (
            f"with other models, options or versions ({'; '.join(begun['settings'])}; "
            f"now {'; '.join(wanted['settings'])})"
        )
    elif begun["photos_per_file"] != wanted["photos_per_file"]:
        what = f"with {begun['photos_per_file']} photos per file"
    else:
        what = f"on other photos ({begun['photos']} then, {wanted['photos']} now, or other names)"
    raise ConfigError(
        f"{folder.url}: this run was begun {what}. Give another --out, or remove the folder."
    )


def _written_down(part: list[str] | Archive, photos_per_file: int) -> bytes:
    """A table of names, or of where the photos of an archive are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Bytes, since names of files need not be Unicode.
    if isinstance(part, Archive):
        columns = {f.name: [getattr(photo, f.name) for photo in part.photos] for f in _PLACES}
        arrays = {
            f.name: pa.array([os.fsencode(value) for value in columns[f.name]], pa.large_binary())
            if f.type in ("str", str)
            else pa.array(columns[f.name], pa.int64())
            for f in _PLACES
        }
    else:
        arrays = {"path": pa.array([os.fsencode(name) for name in part], pa.large_binary())}
    content = io.BytesIO()
    # A row group is what one slice reads.
    pq.write_table(pa.table(arrays), content, row_group_size=photos_per_file)
    return content.getvalue()


def _digest(names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(os.fsencode(name) + b"\0")
    return digest.hexdigest()
