"""Photos inside tar and zip archives, read where they lie: nothing is unpacked to a disk.

An archive's table of contents is read once; each photo is then a range of bytes, which any thread
or machine can read by itself. What is read at a time is bounded, whatever an archive says of
itself.

Reference:
    "POSIX.1-2001, pax Interchange Format"; PKWARE, "APPNOTE.TXT, .ZIP File Format", 6.3.10. Names
    and keys inside of tar archives are as WebDataset has them: all up to the first dot of the file
    name is the key that files of one sample share.
"""

from __future__ import annotations

import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from siamese_nima.errors import PhotoError
from siamese_nima.photos.formats import ARCHIVE_HEAD_BYTES, PHOTO_EXTENSIONS, archive_kind
from siamese_nima.photos.loading import FetchedPhoto
from siamese_nima.photos.stores import read_range

ARCHIVE_SUFFIXES = (".tar", ".zip")
MOST_PHOTOS = (
    5_000_000  # of one archive: a tar header takes 512 bytes of it, ours in memory as many
)
MOST_BYTES = 1 << 30  # of one photo, unpacked; what is that large is seldom a photo
_MOST_HEADER_BYTES = 1 << 20  # a name in a tar archive may claim any size

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC = b"PK\3\4"
_EXTRA_BYTES = 4096  # read with the photo: what stands before it in a zip, beyond its name
_ENCRYPTED = 1
_DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class ArchivedPhoto(FetchedPhoto):
    """One photo in an archive.

    Attributes:
        name: What results call it: "shoot.tar::day1/photo2.jpg".
        key: The member's name without its endings, which files of one WebDataset sample share.
        archive: Absolute path or URL of the archive.
        start: Where it begins: of a tar its bytes, of a zip its header.
        packed: Bytes that it takes in the archive.
        size: Bytes of the photo.
        check: CRC-32 of a photo in a zip.
        method: How a zip has packed it; None in a tar.
        flaw: Why it is not read, if it is not.
    """

    name: str
    key: str
    archive: str
    start: int
    packed: int
    size: int
    check: int = 0
    method: int | None = None
    flaw: str = ""

    def read(self) -> bytes:
        """The photo's bytes.

        Raises:
            PhotoError: It is not read for some reason, or the archive is damaged or has changed.
            OSError: The archive is gone.
        """
        if self.flaw:
            raise PhotoError(f"{self.name}: {self.flaw}.")
        if self.method is None:
            content = read_range(self.archive, self.start, self.start + self.size, self.name)
        else:
            content = self._unzipped()
        if len(content) != self.size:
            raise PhotoError(f"{self.name}: the archive ends before the photo does.")
        return content

    def _unzipped(self) -> bytes:
        name = len(self.name.encode("utf-8", "surrogateescape"))
        end = self.start + _LOCAL_HEADER.size + name + _EXTRA_BYTES + self.packed
        found = read_range(self.archive, self.start, end, self.name)
        if len(found) < _LOCAL_HEADER.size or not found.startswith(_LOCAL_MAGIC):
            raise PhotoError(f"{self.name}: the archive is damaged or has changed.")
        *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(found[: _LOCAL_HEADER.size])
        begin = _LOCAL_HEADER.size + name_bytes + extra_bytes
        packed = found[begin : begin + self.packed]
        if len(packed) < self.packed:
            start = self.start + begin
            packed = read_range(self.archive, start, start + self.packed, self.name)
        if self.method == zipfile.ZIP_STORED:
            content = packed
        else:
            try:
                # No more is unpacked than was announced: a few bytes could become gigabytes.
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self.size + 1)
            except zlib.error as error:
                raise PhotoError(f"{self.name}: the archive is damaged ({error}).") from error
        if len(content) == self.size and zlib.crc32(content) != self.check:
            raise PhotoError(f"{self.name}: the archive is damaged (its check sum is wrong).")
        return content


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in an archive.

    Attributes:
        photos: In the archive's order. One at the end with the archive's own name stands for what
            cannot be read, and says why.
        other: How many members are no photos by their name.
        special: How many photos are links, devices or the like.
    """

    photos: tuple[ArchivedPhoto, ...]
    other: int
    special: int


def contents_of(file: BinaryIO, archive: str, label: str) -> Contents:
    """List the photos of an archive.

    Args:
        file: The archive, open; it must be able to seek.
        archive: Where it is, as photos will be read from there.
        label: What names of photos begin with.

    Raises:
        OSError: It cannot be read.
    """
    photos: list[ArchivedPhoto] = []
    counts = {"other": 0, "special": 0}
    members = _tar_members if archive.lower().endswith(".tar") else _zip_members
    flaw = ""
    try:
        for member in members(file):
            if not _is_photo(member.name):
                counts["other"] += not member.folder
            elif member.special:
                counts["special"] += 1
            elif len(photos) == MOST_PHOTOS:
                flaw = f"more than {MOST_PHOTOS} photos, the most of one archive"
                break
            else:
                photos.append(_photo(member, archive, label))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, UnicodeError, ValueError) as error:
        flaw = f"the archive is damaged after {len(photos)} photos ({error})"
    except (NotImplementedError, struct.error, EOFError) as error:
        flaw = f"the archive cannot be read after {len(photos)} photos ({error})"
    if flaw and not photos and (kind := _other_kind(file, archive)):
        flaw = f"it is {kind}; wanted a plain tar or zip archive, with the ending .tar or .zip"
    if flaw:
        photos.append(ArchivedPhoto(label, "", archive, 0, 0, 0, flaw=flaw))
    return Contents(tuple(photos), counts["other"], counts["special"])


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    start: int
    packed: int
    size: int
    folder: bool = False
    special: bool = False
    check: int = 0
    method: int | None = None
    flaw: str = ""


def _tar_members(file: BinaryIO) -> Iterator[_Member]:
    bounded = cast("BinaryIO", _Bounded(file))
    with tarfile.open(fileobj=bounded, mode="r:", errors="surrogateescape") as tar:
        while (found := tar.next()) is not None:
            # Or all of them would stay in memory.
            tar.members = []  # type: ignore[attr-defined]  # typeshed lacks it
            special = not found.isreg() or found.issparse()
            yield _Member(
                found.name, found.offset_data, found.size, found.size, found.isdir(), special
            )


def _zip_members(file: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for found in archive.infolist():
            flaw = ""
            if found.flag_bits & _ENCRYPTED:
                flaw = "it is encrypted"
            elif found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                flaw = f"it is packed by method {found.compress_type}; wanted deflate or none"
            # The upper half holds the kind of file, where a Unix has made the archive.
            kind = found.external_attr >> 28
            yield _Member(
                found.filename,
                found.header_offset,
                found.compress_size,
                found.file_size,
                found.is_dir(),
                special=kind not in (0, 8),
                check=found.CRC,
                method=found.compress_type,
                flaw=flaw,
            )


class _Bounded:
    """A file whose single reads are bounded: those of headers, since photos are passed over."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _other_kind(file: BinaryIO, archive: str) -> str | None:
    """What kind of archive a file is that is not what its name says."""
    file.seek(0)
    kind = archive_kind(file.read(ARCHIVE_HEAD_BYTES))
    return None if kind is None or archive.lower().endswith(kind.split()[1]) else kind


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") and part != ".." for part in path.parts)
    return path.suffix.lower() in PHOTO_EXTENSIONS and not hidden and "__MACOSX" not in path.parts


def _photo(member: _Member, archive: str, label: str) -> ArchivedPhoto:
    # WebDataset's own way of writing names begins some with "./".
    name = member.name.removeprefix("./")
    path = PurePosixPath(name)
    key = str(path.with_name(path.name.partition(".")[0] or path.name))
    flaw = member.flaw
    inside = PurePosixPath(name.replace("\\", "/"))  # as some programs of Windows have it
    if inside.is_absolute() or ".." in inside.parts or _DRIVE.match(name) or "\0" in name:
        flaw = "its name leads out of the archive"
    elif max(member.size, member.packed) > MOST_BYTES:
        flaw = f"it has {member.size} bytes; at most {MOST_BYTES} are read"
    return ArchivedPhoto(
        name=f"{label}::{name}",
        key=key,
        archive=archive,
        start=member.start,
        packed=member.packed,
        size=member.size,
        check=member.check,
        method=member.method,
        flaw=flaw,
    )
