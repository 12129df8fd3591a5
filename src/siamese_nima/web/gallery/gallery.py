"""The page of a scored folder, and what it asks for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.curation.bursts import Burst
from siamese_nima.curation.report import Entry, make_entries, report_page
from siamese_nima.photos.names import printable
from siamese_nima.photos.read import read_photo
from siamese_nima.photos.thumbnails import SIDE_PX, shrunk
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.web.gallery.served_folder import ServedFolder

# What browsers show; of other formats they get a large WebP picture.
SHOWN_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
_LARGE_PX = 2048
_KEPT_THUMBNAILS = 4096  # about 6 kB each


class Gallery:
    """A page of photos with their scores.

    Attributes:
        folder: What may be read.
        html: The page.
    """

    def __init__(
        self,
        folder: ServedFolder,
        results: Sequence[ScoredPhoto],
        card: ModelCard,
        *,
        bursts: Sequence[Burst] = (),
        title: str,
    ) -> None:
        """Make the page.

        Args:
            folder: The photos.
            results: Their results, under the paths that `folder` knows them by.
            card: Of the model that scored them.
            bursts: As `group_bursts` finds them.
            title: Heading of the page.
        """
        self.folder = folder
        self._decoding = asyncio.Semaphore(usable_cores())
        self._thumbnails: dict[str, bytes] = {}
        ids = {os.fspath(path): photo_id for photo_id, path in folder.photos.items()}
        entries = make_entries(results, bursts=bursts, pair_error=card.pair_error)
        shown = [self._shown(entry, ids[entry.result.path]) for entry in entries]
        self.html = report_page(title, shown, card, inline=False).encode()

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
        found = self._thumbnails.pop(photo_id, None)
        if found is None:
            found = await self._picture(photo_id, SIDE_PX)
        self._thumbnails[photo_id] = found
        if len(self._thumbnails) > _KEPT_THUMBNAILS:
            del self._thumbnails[next(iter(self._thumbnails))]
        return found

    async def large(self, photo_id: str) -> bytes:
        """A large WebP picture.

        Raises:
            PhotoError: There is no such photo, or it cannot be read.
        """
        return await self._picture(photo_id, _LARGE_PX)

    async def _picture(self, photo_id: str, side_px: int) -> bytes:
        async with self._decoding:
            return await asyncio.to_thread(self._made, photo_id, side_px)

    def _made(self, photo_id: str, side_px: int) -> bytes:
        with self.folder.open(photo_id) as file:
            name = self.file_name(photo_id)
            photo = read_photo(file, min_short_side_px=side_px, name=name)
        return shrunk(photo, side_px=side_px)

    def _shown(self, entry: Entry, photo_id: str) -> Entry:
        """An entry under its path inside the folder: where that is, is nobody's business."""
        given = Path(entry.result.path)
        name = os.path.relpath(entry.result.path, self.folder.given)
        error = entry.result.error and entry.result.error.replace(str(given), name)
        readable = entry.result.error is None
        return replace(
            entry,
            result=replace(entry.result, path=name, error=error),
            link=f"./photos/{photo_id}",
            thumbnail=f"./thumbnails/{photo_id}" if readable else None,
            large=None if given.suffix.lower() in SHOWN_TYPES else f"./large/{photo_id}",
        )
