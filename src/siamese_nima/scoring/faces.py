"""Faces: where they are, and whether their eyes are open, closed, or cannot be told.

Three small networks of MediaPipe (NOTICE; recipes/faces): BlazeFace finds faces (Bazarevsky et al.,
"BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019), the face mesh their parts
(Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019),
and the eye network the lids (Ablavatski et al., "Real-time Pupil Tracking from Monocular Video for
Digital Puppetry", 2020). Whoever looks aside, wears sunglasses or is too small has eyes that cannot
be told. A face is a reason within a burst, and never one to reject a photo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.photos.read import Photo
from siamese_nima.ratings import Floats
from siamese_nima.scoring.model import start_session

Eyes = Literal["open", "closed", "unclear"]

# Faces are looked for in a photo of this long side, their eyes in one of this short side.
_SEARCH_PX, _EYES_PX = 1024, 1080
_DETECTION_PX, _MESH_PX, _EYE_PX = 128, 192, 64
# Besides in the whole photo, faces are looked for in squares with these shares of its long side,
# which overlap by a third. BlazeFace finds faces from about a tenth of a square on.
_WINDOWS = (0.6, 0.3)
_WINDOW_STEP = 2 / 3
_LEAST_DETECTION = 0.5
# Two boxes are of one face where they share this much of the smaller one.
_ONE_FACE = 0.3
# The mesh's own opinion whether it sees a face: animals and patterns stay below.
_LEAST_FACE = 0.8
# Corners of the right and left eye in the mesh, outer and inner, and the tip of the nose.
_RIGHT_EYE, _LEFT_EYE, _NOSE = (33, 133), (263, 362), 1
# The eye network was trained on squares of so many widths of an eye.
_EYE_MARGIN = 2.3


# From these on eyes are told; between them nobody could be sure (docs/models/faces.md).
_CLOSED, _OPEN = 0.115, 0.22
_LEAST_EYE_PX = 12.0
_LEAST_TOLD = 0.6
# How far the tip of the nose may stand from the middle between the eyes, by their distance.
_MOST_ASIDE_CLOSED, _MOST_ASIDE_OPEN = 0.2, 0.3
# Sunglasses: eyes this much darker than the face, or less so and without anything in them.
_DARK, _DIM, _PLAIN = 0.3, 0.5, 0.15


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    Attributes:
        box: Left, top, width and height, as shares of the photo, 0 to 1.
        eyes: "closed" where both are, "open" where both are, "unclear" otherwise and where they
            cannot be told.
        openness: Of the right and the left eye as the face has them: height of the opening between
            the lids by its width.
        eye_places: (x, y) of both, likewise, as shares of the photo.
        blur: Of the eyes at 100 %, in pixels, as `Detail` states it; None where nobody looked or
            there is too little texture.
    """

    box: tuple[float, float, float, float]
    eyes: Eyes
    openness: tuple[float, float]
    eye_places: tuple[tuple[float, float], tuple[float, float]]
    blur: float | None = None


def find_faces(photo: Photo | Image.Image) -> tuple[Face, ...]:
    """The faces of an upright photo, from left to right.

    Args:
        photo: Decoded, in RGB.

    Raises:
        PhotoError: Its colours cannot be converted.
    """
    seen = _shrunk(photo, min(_EYES_PX / min(photo.size), 1.0))
    small = _shrunk(seen, min(_SEARCH_PX / max(seen.size), 1.0))
    found = []
    for spot in _detect(small):
        mesh, certain = _mesh(seen, spot, seen.width / small.width)
        if certain >= _LEAST_FACE:
            found.append(_face(seen, mesh, spot, small.size))
    return tuple(sorted(found, key=lambda face: face.box))


def _shrunk(photo: Photo | Image.Image, factor: float) -> Image.Image:
    width, height = (max(round(side * factor), 1) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BOX, reducing_gap=1.1)


@dataclass(frozen=True, slots=True)
class _Spot:
    """What BlazeFace found, in pixels of the picture that was searched."""

    certain: float
    box: tuple[float, float, float, float]
    right_eye: tuple[float, float]
    left_eye: tuple[float, float]


def _detect(photo: Image.Image) -> list[_Spot]:
    """Faces, each once, the surest first."""
    found = [spot for window in _windows(photo.size) for spot in _look(photo, *window)]
    kept: list[_Spot] = []
    for spot in sorted(found, key=lambda spot: -spot.certain):
        if all(_shared(spot.box, other.box) < _ONE_FACE for other in kept):
            kept.append(spot)
    return kept


def _windows(size: tuple[int, int]) -> Iterator[tuple[float, float, float]]:
    """Left, top and side of the squares to look in."""
    longest = max(size)
    yield (size[0] - longest) / 2, (size[1] - longest) / 2, longest
    for share in _WINDOWS:
        side = longest * share
        for top in _steps(size[1], side):
            for left in _steps(size[0], side):
                yield left, top, side


def _steps(length: int, side: float) -> Sequence[float]:
    if length <= side:
        return [(length - side) / 2]
    steps = math.ceil((length - side) / (side * _WINDOW_STEP)) + 1
    return [float(step) for step in np.linspace(0, length - side, steps)]


def _look(photo: Image.Image, left: float, top: float, side: float) -> list[_Spot]:
    window = photo.crop((round(left), round(top), round(left + side), round(top + side)))
    window = window.resize((_DETECTION_PX, _DETECTION_PX), Image.Resampling.BOX)
    boxes, logits = _run("face_detection", np.asarray(window, np.float32) / np.float32(127.5) - 1)
    found = []
    for row in np.flatnonzero(logits[0, :, 0] > _logit(_LEAST_DETECTION)):
        numbers = boxes[0, row].reshape(8, 2) / _DETECTION_PX
        # Places are relative to an anchor, the size is not.
        places = numbers[[0, 2, 3]] + _anchors()[row]
        (x, y), right, left_eye = places * side + (left, top)
        width, height = numbers[1] * side
        box = (float(x - width / 2), float(y - height / 2), float(width), float(height))
        certain = 1 / (1 + math.exp(-min(float(logits[0, row, 0]), 80.0)))
        found.append(_Spot(certain, box, (right[0], right[1]), (left_eye[0], left_eye[1])))
    return found


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


@cache
def _anchors() -> Floats:
    """Where the 896 boxes that BlazeFace speaks of stand, shape (896, 2), in 0 to 1."""
    grids = []
    for side, boxes in ((16, 2), (8, 6)):
        centres = (np.arange(side) + 0.5) / side
        y, x = np.meshgrid(centres, centres, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), boxes, axis=0))
    return np.concatenate(grids)


def _shared(one: Sequence[float], other: Sequence[float]) -> float:
    """What two boxes share, as a share of the smaller one."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0) / min(one[2] * one[3], other[2] * other[3])


def _mesh(photo: Image.Image, spot: _Spot, scale: float) -> tuple[Floats, float]:
    """The 468 points of a face, (468, 2) in pixels of the photo, and how sure it is one."""
    x, y, width, height = (scale * value for value in spot.box)
    right, left = np.array(spot.right_eye) * scale, np.array(spot.left_eye) * scale
    centre = np.array([x + width / 2, y + height / 2])
    square, to_photo = _turned_square(
        photo, centre, 1.5 * max(width, height), left - right, _MESH_PX
    )
    points, flag = _run("face_mesh", np.asarray(square, np.float32) / np.float32(255))
    places = points.reshape(468, 3)[:, :2]
    certain = 1 / (1 + math.exp(-float(np.clip(flag.item(), -80, 80))))
    return places @ to_photo[:, :2].T + to_photo[:, 2], certain


def _face(photo: Image.Image, mesh: Floats, spot: _Spot, searched: tuple[int, int]) -> Face:
    width, height = searched
    left, top, wide, high = spot.box
    right_outer, right_inner, left_outer, left_inner = mesh[[*_RIGHT_EYE, *_LEFT_EYE]]
    right = _openness(photo, right_outer, right_inner, mirrored=False)
    other = _openness(photo, left_outer, left_inner, mirrored=True)
    places = [(right_outer + right_inner) / 2, (left_outer + left_inner) / 2]
    eye_px = min(np.hypot(*(right_outer - right_inner)), np.hypot(*(left_outer - left_inner)))
    across = left_outer - right_outer
    aside = float((mesh[_NOSE] - right_outer) @ across / (across @ across)) - 0.5
    return Face(
        (left / width, top / height, wide / width, high / height),
        _told(
            (right, other),
            large=bool(eye_px >= _LEAST_EYE_PX) and spot.certain >= _LEAST_TOLD,
            aside=abs(aside),
            hidden=any(_hidden(photo, mesh, place, float(eye_px)) for place in places),
        ),
        (right, other),
        (
            (float(places[0][0]) / photo.width, float(places[0][1]) / photo.height),
            (float(places[1][0]) / photo.width, float(places[1][1]) / photo.height),
        ),
    )


def _told(openness: tuple[float, float], *, large: bool, aside: float, hidden: bool) -> Eyes:
    if not large or hidden:
        return "unclear"
    if max(openness) <= _CLOSED and aside <= _MOST_ASIDE_CLOSED:
        return "closed"
    if min(openness) >= _OPEN and aside <= _MOST_ASIDE_OPEN:
        return "open"
    return "unclear"


def _hidden(photo: Image.Image, mesh: Floats, eye: Floats, eye_px: float) -> bool:
    """Whether there is dark glass, or deep shade, where an eye should be."""
    face = _luminance(photo, mesh.min(axis=0), mesh.max(axis=0))
    reach = np.array([0.6, 0.45]) * eye_px
    around = _luminance(photo, eye - reach, eye + reach)
    usual = max(float(np.median(face)), 1.0)
    darkness, variety = float(np.median(around)) / usual, float(around.std()) / usual
    return darkness < _DARK or (darkness < _DIM and variety < _PLAIN)


def _luminance(photo: Image.Image, first: Floats, last: Floats) -> NDArray[np.uint8]:
    left, top = np.floor(first).astype(int)
    right, bottom = np.ceil(last).astype(int)
    part = photo.crop((int(left), int(top), max(int(right), left + 1), max(int(bottom), top + 1)))
    return np.asarray(part.convert("L"))


def _turned_square(
    photo: Image.Image, centre: Floats, side: float, along: Floats, size: int
) -> tuple[Image.Image, Floats]:
    """A square of a photo, its upper edge along a direction, and (2, 3) from it to the photo."""
    step = along / np.hypot(*along) * side / size
    turn = np.array([[step[0], -step[1]], [step[1], step[0]]])
    to_photo = np.column_stack([turn, centre - turn @ [size / 2, size / 2]])
    square = photo.transform(
        (size, size),
        Image.Transform.AFFINE,
        tuple(to_photo.ravel()),
        Image.Resampling.BILINEAR,
    )
    return square, to_photo


def _openness(photo: Image.Image, outer: Floats, inner: Floats, *, mirrored: bool) -> float:
    """Height of the opening between the lids, by the width of the eye."""
    along = outer - inner if mirrored else inner - outer
    side = _EYE_MARGIN * float(np.hypot(*along))
    square, _ = _turned_square(photo, (outer + inner) / 2, side, along, _EYE_PX)
    if mirrored:  # the network knows right eyes
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    lids, _ = _run("face_eye", np.asarray(square, np.float32) / np.float32(255))
    # The rim of the opening: nine points below from corner to corner, seven above between them.
    rim = lids.reshape(71, 3)[:16, :2]
    heights = np.hypot(*(rim[1:8] - rim[9:16]).T)
    return float(heights.mean() / np.hypot(*(rim[0] - rim[8])))


def _run(name: str, picture: NDArray[np.float32]) -> list[Any]:
    session = _session(name)
    result: list[Any] = session.run(None, {session.get_inputs()[0].name: picture[None]})
    return result


@cache
def _session(name: str) -> Any:
    file = resources.files("siamese_nima") / "scoring" / f"{name}.onnx"
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return start_session(Path(str(file)), file.read_bytes(), options)
