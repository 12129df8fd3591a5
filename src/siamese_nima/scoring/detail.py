"""Detail: how sharp, shaken, noisy and compressed a photo is, judged at its own pixels.

The score is relative to size; whether focus was missed by a little is seen at 100 % alone. A small
network looks at tiles of 96 pixels at native resolution. Blur is stated as the standard deviation,
in pixels, of the Gaussian that has the second moment of all blur together (of a disc of defocus of
radius r it is r / 2). A photo is as sharp as its sharpest region that has texture, so that a
blurred background or a plain sky does not count against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.read import MAX_PIXELS, PhotoSource, open_photo
from siamese_nima.ratings import Floats
from siamese_nima.scoring.faces import Face, find_faces
from siamese_nima.scoring.model import start_session

TILE_PX = 96
# JPEG has blocks of 8 pixels, and the network was trained on tiles that begin with one.
_ALIGN_PX = 8
_CELLS = 48
_BUSIEST = 16
_BATCH = 16
# The network's own doubt about the blur of a tile, as the scale of ln(blur). Above it there is too
# little texture to tell: plain sky, smooth skin, a dark corner.
MOST_DOUBT = 0.16
# The sharpest region begins with this share of the textured tiles, and takes in all that are hardly
# more blurred: one tile's blur is uncertain by about a tenth.
_SHARPEST_SHARE = 0.15
_HARDLY_MORE = 1.35
_LEAST_TILES = 3
_NOISE_FLOOR = 0.5
_NEARLY_WHITE = 253


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a photo.

    Attributes:
        left: Left edge in pixels of the upright photo.
        top: Top edge.
        blur: In pixels at 100 %, as a standard deviation.
        doubt: Scale of the error of ln(blur) that the network expects.
        motion: (a cos 2t, a sin 2t), a from 0 (the same in every direction) to 1 (all of it along
            the direction t, counter-clockwise from the right in a picture seen with y downwards).
        noise: Standard deviation of the noise, in grey levels of 255.
        compression: About (100 - JPEG quality) / 100.
    """

    left: int
    top: int
    blur: float
    doubt: float
    motion: tuple[float, float]
    noise: float
    compression: float

    @property
    def textured(self) -> bool:
        """Whether there is enough in it to tell its blur."""
        return self.doubt <= MOST_DOUBT


@dataclass(frozen=True, slots=True)
class Detail:
    """What a photo's pixels say at 100 %.

    Attributes:
        blur: Of its sharpest textured region, in pixels, as a standard deviation; None where
            nothing has texture to judge.
        shake: Length in pixels of the even motion that would explain by how much that region is
            more blurred in one direction than across it; None with `blur`.
        direction: Of that motion, in degrees from 0 (to the right) to below 180, counter-clockwise
            as seen; without meaning where `shake` is small.
        noise: Standard deviation of the noise in grey levels of 255, the median over tiles.
        compression: About (100 - JPEG quality) / 100, the median over tiles.
        light: Mean linear light, 0 to 1; its logarithm to base 2 counts stops.
        size: Width and height of the upright photo in pixels.
        tiles: All that were looked at.
        faces: From left to right; empty where nobody looked for any.
        white: Share of the photo that is white or nearly so.
        brightest: The luminance, 0 to 255, that a twentieth of the photo is above.
    """

    blur: float | None
    shake: float | None
    direction: float | None
    noise: float
    compression: float
    light: float
    size: tuple[int, int]
    tiles: tuple[Tile, ...]
    faces: tuple[Face, ...] = ()
    white: float = 0.0
    brightest: int = 255

    @property
    def main_face(self) -> Face | None:
        """The largest of the faces."""
        return max(self.faces, key=lambda face: face.box[2] * face.box[3], default=None)

    def map(self) -> NDArray[np.float64]:
        """Blur over the photo, shape (rows, columns) of about 8 by 6; NaN where it is not told."""
        columns, rows = _cells(self.size)
        found = np.full((rows, columns), np.nan)
        for tile in self.tiles:
            if tile.textured:
                column = min(int((tile.left + TILE_PX / 2) * columns / self.size[0]), columns - 1)
                row = min(int((tile.top + TILE_PX / 2) * rows / self.size[1]), rows - 1)
                found[row, column] = np.fmin(found[row, column], tile.blur)
        return found


def read_detail(photo: PhotoSource, *, faces: bool = False, max_pixels: int = MAX_PIXELS) -> Detail:
    """Judge the detail of one photo, which is read at its full size.

    Args:
        photo: As `read_photo` takes it.
        faces: Look for faces too, for their eyes and how sharp those are.
        max_pixels: Larger photos are refused.

    Raises:
        PhotoError: It cannot be read, or is smaller than a tile.
    """
    opened = open_photo(photo, max_pixels=max_pixels)
    luminance = np.asarray(opened.luminance())
    detail = detail_of(luminance, name=opened.name)
    if not faces:
        return detail
    found = tuple(replace(face, blur=_eye_blur(luminance, face)) for face in find_faces(opened))
    return replace(detail, faces=found)


def _eye_blur(luminance: NDArray[np.uint8], face: Face) -> float | None:
    """Blur of the sharper eye of a face; None where neither has texture to tell it by."""
    height, width = luminance.shape
    corners = [
        (
            int(np.clip(place[0] * width - TILE_PX / 2, 0, width - TILE_PX)),
            int(np.clip(place[1] * height - TILE_PX / 2, 0, height - TILE_PX)),
        )
        for place in face.eye_places
    ]
    said = _say(_tiles(luminance, corners))
    return min((math.exp(row[0]) for row in said if math.exp(row[-1]) <= MOST_DOUBT), default=None)


# Columns of a table, and their Arrow types.
def try_detail(photo: PhotoSource, *, faces: bool = False) -> Detail | None:
    """As `read_detail`; None for a photo that cannot be read or is smaller than a tile."""
    try:
        return read_detail(photo, faces=faces)
    except PhotoError:
        return None


def detail_of(luminance: NDArray[np.uint8], *, name: str = "(photo)") -> Detail:
    """The detail of an upright picture's luminance, uint8, shape (H, W).

    Raises:
        PhotoError: It is smaller than a tile.
    """
    height, width = luminance.shape
    if min(height, width) < TILE_PX:
        raise PhotoError(f"{name}: {width} x {height} pixels are too few to judge detail.")
    corners = choose_tiles(luminance)
    said = _say(_tiles(luminance, corners))
    tiles = tuple(
        Tile(
            left,
            top,
            float(np.exp(blur)),
            float(np.exp(doubt)),
            (float(along), float(across)),
            max(float(np.exp(noise)) - _NOISE_FLOOR, 0.0),
            min(max(float(compression), 0.0), 0.95),
        )
        for (left, top), (blur, along, across, noise, compression, doubt) in zip(
            corners, said, strict=True
        )
    )
    blur, shake, direction = _sharpest_region(tiles)
    small = luminance[:: max(height // 256, 1), :: max(width // 256, 1)]
    return Detail(
        blur=blur,
        shake=shake,
        direction=direction,
        noise=float(np.median([tile.noise for tile in tiles])),
        compression=float(np.median([tile.compression for tile in tiles])),
        light=float(((small.astype(np.float64) / 255) ** 2.2).mean()),
        size=(width, height),
        tiles=tiles,
        white=float((small >= _NEARLY_WHITE).mean()),
        brightest=int(np.percentile(small, 95)),
    )


def choose_tiles(luminance: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Corners (left, top) of the tiles to look at: the busiest of each cell, and of all.

    How busy a tile is, is measured on the photo shrunk by four, which blur of a few pixels and
    noise hardly change: photos of one burst are looked at in the same places.
    """
    height, width = luminance.shape
    energy = _energy(luminance)
    step = TILE_PX
    lefts = np.arange(0, width - TILE_PX + 1, step) // _ALIGN_PX * _ALIGN_PX
    tops = np.arange(0, height - TILE_PX + 1, step) // _ALIGN_PX * _ALIGN_PX
    busy = _tile_sums(energy, lefts, tops)
    columns, rows = _cells((width, height))
    cell_of_left = np.minimum((lefts + TILE_PX // 2) * columns // width, columns - 1)
    cell_of_top = np.minimum((tops + TILE_PX // 2) * rows // height, rows - 1)
    chosen: set[tuple[int, int]] = set()
    for row in range(rows):
        for column in range(columns):
            inside = np.outer(cell_of_top == row, cell_of_left == column)
            if inside.any():
                place = int(np.argmax(np.where(inside, busy, -1.0)))
                chosen.add(divmod(place, len(lefts)))
    for place in np.argsort(-busy, axis=None)[: _BUSIEST + len(chosen)]:
        if len(chosen) >= _CELLS + _BUSIEST:
            break
        chosen.add(divmod(int(place), len(lefts)))
    return [(int(lefts[column]), int(tops[row])) for row, column in sorted(chosen)]


def _energy(luminance: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = np.asarray(Image.fromarray(luminance).reduce(4), np.float32)
    energy = np.zeros_like(small)
    energy[:, 1:] += np.abs(np.diff(small, axis=1))
    energy[1:] += np.abs(np.diff(small, axis=0))
    return energy


def _tile_sums(
    energy: NDArray[np.float32], lefts: NDArray[np.int64], tops: NDArray[np.int64]
) -> Floats:
    """Sum of the energy in each tile, shape (tops, lefts)."""
    sums = np.zeros((energy.shape[0] + 1, energy.shape[1] + 1))
    sums[1:, 1:] = energy.cumsum(0, dtype=np.float64).cumsum(1)
    x0, y0 = lefts // 4, tops // 4
    x1 = np.minimum(x0 + TILE_PX // 4, energy.shape[1])
    y1 = np.minimum(y0 + TILE_PX // 4, energy.shape[0])
    found: Floats = (
        sums[np.ix_(y1, x1)] - sums[np.ix_(y0, x1)] - sums[np.ix_(y1, x0)] + sums[np.ix_(y0, x0)]
    )
    return found


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of nearly square cells, about 48 of them, none smaller than a tile."""
    width, height = size
    columns = max(round(math.sqrt(_CELLS * width / height)), 1)
    rows = max(round(_CELLS / columns), 1)
    return min(columns, max(width // TILE_PX, 1)), min(rows, max(height // TILE_PX, 1))


def _sharpest_region(tiles: tuple[Tile, ...]) -> tuple[float | None, float | None, float | None]:
    """Blur, shake and direction of the sharpest tiles that have texture."""
    textured = sorted((tile for tile in tiles if tile.textured), key=lambda tile: tile.blur)
    if len(textured) < _LEAST_TILES:
        return None, None, None
    first = max(round(_SHARPEST_SHARE * len(textured)), _LEAST_TILES)
    most = _HARDLY_MORE * textured[first - 1].blur
    sharpest = [tile for tile in textured if tile.blur <= most]
    weights = np.array([1 / tile.doubt for tile in sharpest])
    weights /= weights.sum()
    blur = math.exp(float(weights @ np.log([tile.blur for tile in sharpest])))
    along, across = weights @ np.array([tile.motion for tile in sharpest])
    # Variances along and across are blur^2 (1 + a) and blur^2 (1 - a); an even motion of length l
    # adds l^2 / 12 to one of them.
    strength = min(math.hypot(along, across), 1.0)
    shake = math.sqrt(12 * 2 * strength) * blur
    # Rows count downwards, people's angles upwards.
    direction = math.degrees(-math.atan2(across, along) / 2) % 180
    return blur, shake, direction


def _tiles(luminance: NDArray[np.uint8], corners: Iterable[tuple[int, int]]) -> NDArray[np.uint8]:
    return np.stack(
        [luminance[top : top + TILE_PX, left : left + TILE_PX] for left, top in corners]
    )


def _say(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network says of tiles (N, 96, 96): (N, 6)."""
    session = _session()
    batches = (tiles[start : start + _BATCH] for start in range(0, len(tiles), _BATCH))
    return np.concatenate([session.run(["detail"], {"tiles": batch})[0] for batch in batches])


def detail_metadata() -> Mapping[str, str]:
    """What the embedded network's file carries beside the network."""
    metadata: Mapping[str, str] = _session().get_modelmeta().custom_metadata_map
    return metadata


@cache
def _session() -> Any:
    file = resources.files("siamese_nima") / "scoring" / "detail.onnx"
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return start_session(Path(str(file)), file.read_bytes(), options)
