"""What a distributed run will do, kept beside its results so that it can be gone on with."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from siamese_nima.errors import ConfigError
from siamese_nima.scale.sources import PhotoTable, Sources
from siamese_nima.scale.stores import Folder

# Readers of Parquet folders pass over names that begin with an underscore.
NOTES = "_nima"
_PLAN = f"{NOTES}/plan.json"
_FEW, _MANY = 50, 5000  # photos per file, unless asked for
_FILES = 64  # enough for a dozen of workers to end at about the same time


@dataclass(frozen=True, slots=True)
class Slice:
    """The photos of one file of results: some rows of a table that lists photos.

    Attributes:
        index: Its place in the run, from 0 on.
        table: URL or absolute path of the Parquet file that lists them.
        first: The first row.
        count: How many rows.
    """

    index: int
    table: str
    first: int
    count: int

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
        if isinstance(part, PhotoTable):
            table, rows = part.file, part.rows
            listed.append({"table": table, "rows": rows, "state": part.state})
        else:
            name = f"{NOTES}/photos-{number}.parquet"
            table, rows = folder.file(name), len(part)
            listed.append({"names": rows, "sha256": _digest(part)})
            if begun is None:
                folder.write(name, _names_table(part, per_file))
        for first in range(0, rows, per_file):
            slices.append(Slice(len(slices), table, first, min(per_file, rows - first)))
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


def _names_table(names: Sequence[str], photos_per_file: int) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Bytes, since names of files need not be Unicode; a row group is what one slice reads.
    paths = pa.array([os.fsencode(name) for name in names], pa.large_binary())
    content = io.BytesIO()
    pq.write_table(pa.table({"path": paths}), content, row_group_size=photos_per_file)
    return content.getvalue()


def _digest(names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(os.fsencode(name) + b"\0")
    return digest.hexdigest()
