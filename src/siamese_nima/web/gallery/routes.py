"""Addresses of the gallery: the page, its style and script, and pictures by id."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from typing import BinaryIO, TypeVar
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from siamese_nima.curation.report import page_part
from siamese_nima.errors import PhotoError
from siamese_nima.web.gallery.gallery import Gallery
from siamese_nima.web.problems import RequestError

Found = TypeVar("Found")

_CHUNK = 1 << 18
_KEEP_A_WHILE = {"cache-control": "private, max-age=300"}
# An original that is opened alone runs nothing, whatever it holds; the style is the browser's own,
# of the page that it makes around a picture.
_ORIGINAL = _KEEP_A_WHILE | {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"
}


def gallery_routes(gallery: Gallery) -> APIRouter:
    """The addresses of one gallery."""
    router = APIRouter()

    @router.get("/")
    async def html() -> Response:
        return Response(gallery.html, media_type="text/html; charset=utf-8")

    @router.get("/page.css")
    async def style() -> Response:
        return Response(page_part("page.css"), media_type="text/css; charset=utf-8")

    @router.get("/page.js")
    async def script() -> Response:
        return Response(page_part("page.js"), media_type="text/javascript; charset=utf-8")

    @router.get("/thumbnails/{photo_id}")
    async def thumbnail(photo_id: str) -> Response:
        picture = await _found(gallery.thumbnail(photo_id))
        return Response(picture, media_type="image/webp", headers=_KEEP_A_WHILE)

    @router.get("/large/{photo_id}")
    async def large(photo_id: str) -> Response:
        picture = await _found(gallery.large(photo_id))
        return Response(picture, media_type="image/webp", headers=_KEEP_A_WHILE)

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
