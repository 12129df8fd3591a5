"""A scored folder as a page that a server shows, with the original photos behind it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from PIL import Image

from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.curation.bursts import Burst, FrameReader
from siamese_nima.errors import PhotoError
from siamese_nima.photos.read import Photo, read_photo
from siamese_nima.photos.thumbnails import SIDE_PX, shrunk
from siamese_nima.printable import printable
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.web.culling import Culling, culling_routes
from siamese_nima.web.http import RequestError, static_part
from siamese_nima.web.pictures import (
    FULL_PX,
    SIDES_PX,
    ScreenPictures,
    face_pictures,
    screen_picture,
)
from siamese_nima.web.report import SCRIPTS, STYLES, Entry, make_entries, report_page

Found = TypeVar("Found")

_ID_DIGITS = 20
# What browsers show; of other formats they get a JPEG picture.
SHOWN_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
_KEPT_THUMBNAILS = 4096  # about 6 kB each
_KEPT_FACES = 256  # photos
_CHUNK = 1 << 18
_KEEP_A_WHILE = {"cache-control": "private, max-age=300"}
# An original that is opened alone runs nothing, whatever it holds; the style is the browser's own,
# of the page that it makes around a picture.
_ORIGINAL = _KEEP_A_WHILE | {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"
}


class ServedFolder:
    """What may be read, by id; an id that was not given out means nothing.

    A photo's id is a hash of its path inside the folder, the same after a restart.

    Attributes:
        given: The folder as it was named.
        root: The folder, without links.
        photos: Paths by id, as they were given.
        outside: Paths that were left out: links that lead out of the folder.
    """

    def __init__(self, folder: str | os.PathLike[str], paths: Iterable[Path]) -> None:
        """Take the photos that are inside.

        Args:
            folder: The folder that is served.
            paths: Photos in it, as `find_photos` gives them.
        """
        self.given = Path(folder)
        self.root = Path(os.path.realpath(folder))
        self.outside: list[Path] = []
        photos: dict[str, Path] = {}
        for path in paths:
            if self._real(path) is None:
                self.outside.append(path)
            else:
                photos[_id(os.path.relpath(path, folder))] = path
        self.photos: Mapping[str, Path] = photos

    def open(self, photo_id: str) -> BinaryIO:
        """Open a photo for reading.

        Where its path leads is looked at again: a link may have been put there in the meantime.

        Raises:
            PhotoError: No such id; or the photo is gone, no regular file, or no longer inside.
        """
        path = self.photos.get(photo_id)
        if path is None:
            raise PhotoError(f"no photo has the id {photo_id[:40]!r}")
        real = self._real(path)
        if real is None:
            raise PhotoError("the photo is no longer in the folder")
        try:
            # Without waiting, if it has become a pipe; not through a link put there just now.
            flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            flags |= getattr(os, "O_BINARY", 0)
            file = os.fdopen(os.open(real, os.O_RDONLY | flags), "rb")
        except OSError as error:
            raise PhotoError(f"the photo cannot be read ({error.strerror})") from error
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or self._real(path) != real:
                raise PhotoError("the photo is no longer a file in the folder")
        except BaseException:
            file.close()
            raise
        return file

    def _real(self, path: Path) -> Path | None:
        """Where a path leads; None if that is not inside the folder."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            return None
        return real if real != self.root and real.is_relative_to(self.root) else None


def _id(relative: str) -> str:
    return hashlib.sha256(os.fsencode(Path(relative).as_posix())).hexdigest()[:_ID_DIGITS]


class GalleryReader(FrameReader):
    """Takes frames for bursts, and thumbnails while a photo is decoded anyway.

    Attributes:
        thumbnails: WebP pictures by path; not more than a gallery keeps.
    """

    def __init__(self, decode_px: int | None) -> None:
        super().__init__(decode_px)
        self.thumbnails: dict[str, bytes] = {}

    def look(self, path: str, photo: Image.Image | Photo) -> None:
        """Take both of a photo; may be called by many threads."""
        super().look(path, photo)
        # A model may ask for so few pixels that a thumbnail has more.
        enough = self.decode_px is None or self.decode_px >= SIDE_PX
        if enough and len(self.thumbnails) < _KEPT_THUMBNAILS:
            self.thumbnails[path] = shrunk(photo)


class Gallery:
    """A page of photos with their scores.

    Attributes:
        folder: What may be read.
        html: The page.
        culling: What a person decides there.
    """

    def __init__(
        self,
        folder: ServedFolder,
        results: Sequence[ScoredPhoto],
        card: ModelCard,
        *,
        bursts: Sequence[Burst] = (),
        title: str,
        thumbnails: Mapping[str, bytes] | None = None,
        writes: bool = True,
    ) -> None:
        """Make the page.

        Args:
            folder: The photos.
            results: Their results, under the paths that `folder` knows them by.
            card: Of the model that scored them.
            bursts: As `group_bursts` finds them.
            title: Heading of the page.
            thumbnails: By path, of photos that need not be read again for them.
            writes: Whether sidecars may be written from it, and files copied and moved.
        """
        self.folder = folder
        self.culling = Culling(folder.given, folder.photos, results, writes=writes)
        self._screens = ScreenPictures(self._screen)
        self._decoding = asyncio.Semaphore(usable_cores())
        self._faces: dict[str, list[dict[str, str]]] = {}
        ids = {os.fspath(path): photo_id for photo_id, path in folder.photos.items()}
        known = (thumbnails or {}).items()
        self._thumbnails = {ids[path]: picture for path, picture in known if path in ids}
        entries = make_entries(
            results,
            bursts=bursts,
            pair_error=card.pair_error,
            scene_pair_error=card.scene_pair_error,
        )
        shown = [self._shown(entry, ids[entry.result.path]) for entry in entries]
        self.html = report_page(title, shown, card, inline=False).encode()

    def close(self) -> None:
        """Close the file of choices, and end the threads."""
        self.culling.close()
        self._screens.close()

    def media_type(self, photo_id: str) -> str:
        """What an original is, by its name; a browser only offers to save what it does not show."""
        suffix = self.folder.photos[photo_id].suffix.lower()
        return SHOWN_TYPES.get(suffix, "application/octet-stream")

    def file_name(self, photo_id: str) -> str:
        """What an original is called."""
        return printable(self.folder.photos[photo_id].name)

    async def thumbnail(self, photo_id: str) -> bytes:
        """A small WebP picture; the latest ones are kept.

        Raises:
            PhotoError: There is no such photo, or it cannot be read.
        """
        return await self._latest(self._thumbnails, photo_id, self._made, _KEPT_THUMBNAILS)

    async def screen(self, photo_id: str, side_px: int) -> bytes:
        """A JPEG picture for a screen; the latest ones are kept.

        Raises:
            PhotoError: There is no such photo, or it cannot be read; or no such size.
        """
        if side_px not in SIDES_PX or photo_id not in self.folder.photos:
            raise PhotoError("no such picture")
        return await asyncio.to_thread(self._screens.get, photo_id, side_px)

    async def faces(self, photo_id: str) -> list[dict[str, str]]:
        """The faces of a photo, as the page shows them under it; the latest ones are kept.

        Raises:
            PhotoError: There is no such photo, or it cannot be read.
        """
        return await self._latest(self._faces, photo_id, self._found_faces, _KEPT_FACES)

    async def _latest(
        self, kept: dict[str, Found], photo_id: str, made: Callable[[str], Found], most: int
    ) -> Found:
        """What is made of a photo; of so many that were asked for last it is kept."""
        found = kept.pop(photo_id, None)
        if found is None:
            async with self._decoding:
                found = await asyncio.to_thread(made, photo_id)
        kept[photo_id] = found
        if len(kept) > most:
            del kept[next(iter(kept))]
        return found

    def _found_faces(self, photo_id: str) -> list[dict[str, str]]:
        with self.folder.open(photo_id) as file:
            faces = face_pictures(file, name=self.file_name(photo_id))
        address = "data:image/jpeg;base64,"
        return [
            {"eyes": eyes, "picture": address + base64.b64encode(picture).decode()}
            for eyes, picture in faces
        ]

    def _screen(self, photo_id: Path | str, side_px: int) -> bytes:
        with self.folder.open(str(photo_id)) as file:
            return screen_picture(file, side_px, name=self.file_name(str(photo_id)))

    def _made(self, photo_id: str) -> bytes:
        with self.folder.open(photo_id) as file:
            name = self.file_name(photo_id)
            photo = read_photo(file, min_short_side_px=SIDE_PX, name=name)
        return shrunk(photo)

    def _shown(self, entry: Entry, photo_id: str) -> Entry:
        """An entry under its path inside the folder: where that is, is nobody's business."""
        given = Path(entry.result.path)
        name = os.path.relpath(entry.result.path, self.folder.given)
        error = entry.result.error and entry.result.error.replace(str(given), name)
        readable = entry.result.error is None
        shown = given.suffix.lower() in SHOWN_TYPES
        return replace(
            entry,
            result=replace(entry.result, path=name, error=error),
            link=f"./photos/{photo_id}",
            thumbnail=f"./thumbnails/{photo_id}" if readable else None,
            screen=f"./screens/{photo_id}/" if readable else None,
            full=None if shown else f"./screens/{photo_id}/{FULL_PX}",
        )


def gallery_routes(gallery: Gallery) -> APIRouter:
    """The addresses of one gallery."""
    router = APIRouter()

    @router.get("/")
    async def html() -> Response:
        return Response(gallery.html, media_type="text/html; charset=utf-8")

    for name in (*STYLES, *SCRIPTS):
        router.get(f"/{name}")(partial(static_part, name))
    router.include_router(culling_routes(gallery.culling))

    @router.get("/thumbnails/{photo_id}")
    async def thumbnail(photo_id: str) -> Response:
        picture = await _found(gallery.thumbnail(photo_id))
        return Response(picture, media_type="image/webp", headers=_KEEP_A_WHILE)

    @router.get("/screens/{photo_id}/{side_px}")
    async def screen(photo_id: str, side_px: int) -> Response:
        picture = await _found(gallery.screen(photo_id, side_px))
        return Response(picture, media_type="image/jpeg", headers=_KEEP_A_WHILE)

    @router.get("/faces/{photo_id}")
    async def faces(photo_id: str) -> list[dict[str, str]]:
        return await _found(gallery.faces(photo_id))

    @router.get("/photos/{photo_id}")
    async def original(photo_id: str) -> Response:
        file = await _found(asyncio.to_thread(gallery.folder.open, photo_id))
        size = os.fstat(file.fileno()).st_size
        name = quote(gallery.file_name(photo_id), safe="")
        headers = {
            "content-length": str(size),
            "content-disposition": f"inline; filename*=UTF-8''{name}",
        }
        return StreamingResponse(
            _contents(file, size),
            media_type=gallery.media_type(photo_id),
            headers=_ORIGINAL | headers,
        )

    return router


async def _found(what: Awaitable[Found]) -> Found:
    try:
        return await what
    except PhotoError as error:
        raise RequestError("not-found", str(error)) from error


async def _contents(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """As many bytes as were announced, if the file still has them."""
    with file:
        while size > 0 and (chunk := await asyncio.to_thread(file.read, min(size, _CHUNK))):
            size -= len(chunk)
            yield chunk
