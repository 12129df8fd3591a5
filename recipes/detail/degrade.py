"""Tiles of degraded photos with what was done to them: the training data of the detail network.

Sharp material is made by shrinking photos; then everything that a camera does is done to it in the
order in which cameras do it: the lens and the hand blur in linear light, the sensor adds noise and
sees one colour per pixel, the camera develops, reduces noise, sharpens, resizes and compresses.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

Plane = NDArray[np.float32]

TILE_PX = 96
_MARGIN = 32  # of scene around a tile, for what blur carries into it
_SCENE_PX = TILE_PX + 2 * _MARGIN
# Variance of a pixel's own square, in pixels squared, and what is left of the source's own blur
# (about .75 px) when it is shrunk.
_PIXEL = 1 / 12
_SOURCE_VARIANCE = 0.55
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Degraded:
    """A tile and its truth.

    Attributes:
        tile: Luminance, uint8, shape (96, 96).
        blur: Standard deviation of the Gaussian with the second moment of all blur, in pixels.
        motion: (a cos 2t, a sin 2t): t the direction of the longer axis of the blur, a the
            difference of the variances along its axes over their sum.
        noise: Standard deviation of the noise in the tile, in grey levels of 255.
        compression: 100 less the JPEG quality, over 100; 0 for none.
    """

    tile: NDArray[np.uint8]
    blur: float
    motion: tuple[float, float]
    noise: float
    compression: float


def sharp_scene(photo: Image.Image, random: np.random.Generator) -> tuple[Plane, float] | None:
    """A sharp piece of a photo in linear light, (160, 160, 3) in 0..1, and its blur's variance.

    None if the piece that was drawn is neither sharp nor flat: it holds blur of unknown width.
    """
    shrink = random.uniform(1.6, 2.6)
    size = (round(photo.width / shrink), round(photo.height / shrink))
    if min(size) < _SCENE_PX:
        return None
    small = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BOX), np.float32) / 255
    top, left = (int(random.integers(0, side - _SCENE_PX + 1)) for side in small.shape[:2])
    piece = small[top : top + _SCENE_PX, left : left + _SCENE_PX]
    if random.random() < 0.5:
        piece = piece[:, ::-1]
    piece = np.rot90(piece, int(random.integers(4)))
    middle = (piece[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] @ _LUMA).astype(np.float32)
    edges = _edges(middle)
    # Blurring again takes little from what is blurred already.
    if edges > 0.008 and edges < 1.75 * _edges(ndimage.gaussian_filter(middle, 1.0)):
        return None
    if edges <= 0.008 and random.random() > 0.3:
        return None
    return piece.astype(np.float32) ** 2.2, _PIXEL + _SOURCE_VARIANCE / shrink**2


def _edges(plane: Plane) -> float:
    return float(np.abs(np.diff(plane, axis=0)).mean() + np.abs(np.diff(plane, axis=1)).mean())


def degrade(scene: Plane, variance: float, random: np.random.Generator) -> Degraded:
    """Photograph a scene badly, or well."""
    kernel = _point_spread(random)
    covariance = _second_moment(kernel) + variance * np.eye(2)
    light = _convolved(scene, kernel) * random.uniform(0.35, 1.15)
    gain = 10 ** random.uniform(-5.0, -2.6) if random.random() < 0.9 else 0.0
    deviation = np.sqrt(np.maximum(light, 0) * gain + (gain * random.uniform(0, 0.4)))
    grain = random.standard_normal(light.shape).astype(np.float32) * deviation
    pictures = [light, light + grain]
    if random.random() < 0.6:
        pictures = [_demosaiced(picture) for picture in pictures]
    pictures = [np.clip(picture, 0, 1) ** (1 / 2.2) for picture in pictures]
    if random.random() < 0.5:
        threshold = random.uniform(0.5, 2.5) * (float(deviation.mean()) + 0.004)
        strength = random.uniform(0.4, 1.0)
        pictures = [_noise_reduced(picture, threshold, strength) for picture in pictures]
    if random.random() < 0.6:
        amount, radius = random.uniform(0.1, 1.2), random.uniform(0.5, 1.4)
        pictures = [_sharpened(picture, amount, radius) for picture in pictures]
    if random.random() < 0.2:
        factor = random.uniform(0.6, 2.0)
        pictures = [_resized(picture, factor) for picture in pictures]
        covariance = covariance * factor**2 + max(factor**2, 1) * 0.08 * np.eye(2)
    clean, noisy = (_middle(picture) for picture in pictures)
    noise = float(np.std((noisy - clean) @ _LUMA) * 255)
    tile, compression = _compressed(noisy, random)
    return Degraded(tile, *_shape(covariance), noise, compression)


def _shape(covariance: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
    total = float(np.trace(covariance))
    along = float(covariance[0, 0] - covariance[1, 1]) / total
    across = float(2 * covariance[0, 1]) / total
    return float(np.sqrt(total / 2)), (along, across)


def _point_spread(random: np.random.Generator) -> Plane | None:
    """Lens and hand: a Gaussian, a disc of defocus, a path of motion, or two of them; or none."""
    kind = random.choice(
        ["none", "gauss", "disc", "motion", "disc+motion"], p=[0.2, 0.28, 0.24, 0.18, 0.1]
    )
    if kind == "none":
        return None
    oversampling, size = 3, 63
    fine = size * oversampling
    grid = (np.arange(fine) - (fine - 1) / 2) / oversampling
    x, y = np.meshgrid(grid, grid)
    plane: Plane = np.zeros((fine, fine), np.float32)
    plane[fine // 2, fine // 2] = 1
    if kind == "gauss":
        sigma = np.exp(random.uniform(np.log(0.25), np.log(5.0)))
        plane = np.exp(-(x**2 + y**2) / (2 * sigma**2)).astype(np.float32)
    if "disc" in kind:
        radius = np.exp(random.uniform(np.log(0.6), np.log(8.0 if kind == "disc" else 4.0)))
        plane = np.clip((radius - np.hypot(x, y)) * oversampling + 0.5, 0, 1).astype(np.float32)
    if "motion" in kind:
        length = np.exp(random.uniform(np.log(1.5), np.log(24)))
        angle, bend = random.uniform(0, np.pi), random.normal(0, 0.25)
        steps = np.linspace(-0.5, 0.5, 200)
        along, aside = steps * length, bend * length * (steps**2 - 1 / 12)
        px = (along * np.cos(angle) - aside * np.sin(angle)) * oversampling + (fine - 1) / 2
        py = (along * np.sin(angle) + aside * np.cos(angle)) * oversampling + (fine - 1) / 2
        path = np.zeros((fine, fine), np.float32)
        np.add.at(path, (np.round(py).astype(int), np.round(px).astype(int)), 1)
        plane = (
            path
            if kind == "motion"
            else fft.irfft2(
                fft.rfft2(np.fft.ifftshift(path)) * fft.rfft2(plane), s=plane.shape
            ).astype(np.float32)
        )
    kernel = plane.reshape(size, oversampling, size, oversampling).sum((1, 3))
    return np.maximum(kernel / kernel.sum(), 0).astype(np.float32)


def _second_moment(kernel: Plane | None) -> NDArray[np.float64]:
    """Covariance (x, y) of a point spread, without that of a pixel."""
    if kernel is None:
        return np.zeros((2, 2))
    grid = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    x, y = np.meshgrid(grid, grid)
    mass = kernel / kernel.sum()
    mx, my = float((mass * x).sum()), float((mass * y).sum())
    xy = float((mass * (x - mx) * (y - my)).sum())
    moment = np.array(
        [[float((mass * (x - mx) ** 2).sum()), xy], [xy, float((mass * (y - my) ** 2).sum())]]
    )
    # Sums over pixels count their square, which the scene's variance holds already.
    return moment - min(_PIXEL, float(moment.diagonal().min())) * np.eye(2)


def _convolved(scene: Plane, kernel: Plane | None) -> Plane:
    if kernel is None:
        return scene
    half = len(kernel) // 2
    padded = np.pad(scene, ((half, half), (half, half), (0, 0)), mode="reflect")
    shape = [fft.next_fast_len(side + 2 * half, real=True) for side in padded.shape[:2]]
    spectrum = fft.rfft2(padded, s=shape, axes=(0, 1)) * fft.rfft2(kernel, s=shape)[..., None]
    out = fft.irfft2(spectrum, s=shape, axes=(0, 1))
    return out[2 * half : 2 * half + _SCENE_PX, 2 * half : 2 * half + _SCENE_PX].astype(np.float32)


# Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
# images", ICASSP 2004, figure 2.
_GREEN = (
    np.array(
        [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
    )
    / 8
)
_ROW = (
    np.array(
        [
            [0, 0, 0.5, 0, 0],
            [0, -1, 0, -1, 0],
            [-1, 4, 5, 4, -1],
            [0, -1, 0, -1, 0],
            [0, 0, 0.5, 0, 0],
        ]
    )
    / 8
)
_CROSS = (
    np.array(
        [
            [0, 0, -1.5, 0, 0],
            [0, 2, 0, 2, 0],
            [-1.5, 0, 6, 0, -1.5],
            [0, 2, 0, 2, 0],
            [0, 0, -1.5, 0, 0],
        ]
    )
    / 8
)


def _demosaiced(picture: Plane) -> Plane:
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    mosaic = green.copy()
    mosaic[0::2, 0::2] = red[0::2, 0::2]
    mosaic[1::2, 1::2] = blue[1::2, 1::2]
    at_green, along, down, cross = (
        ndimage.convolve(mosaic, kernel.astype(np.float32), mode="mirror")
        for kernel in (_GREEN, _ROW, _ROW.T, _CROSS)
    )
    out = np.stack([mosaic, mosaic, mosaic], -1)
    out[0::2, 0::2, 1], out[1::2, 1::2, 1] = at_green[0::2, 0::2], at_green[1::2, 1::2]
    out[0::2, 1::2, 0], out[1::2, 0::2, 0] = along[0::2, 1::2], down[1::2, 0::2]
    out[1::2, 0::2, 2], out[0::2, 1::2, 2] = along[1::2, 0::2], down[0::2, 1::2]
    out[1::2, 1::2, 0], out[0::2, 0::2, 2] = cross[1::2, 1::2], cross[0::2, 0::2]
    return out


def _noise_reduced(picture: Plane, threshold: float, strength: float) -> Plane:
    """Smooth what differs from its surroundings by less than noise would."""
    smooth = ndimage.gaussian_filter(picture, (1.2, 1.2, 0))
    apart = np.abs((picture - smooth) @ _LUMA)[..., None]
    keep = 1 - strength * np.exp(-((apart / threshold) ** 2))
    return (smooth + (picture - smooth) * keep).astype(np.float32)


def _sharpened(picture: Plane, amount: float, radius: float) -> Plane:
    blurred = ndimage.gaussian_filter(picture, (radius, radius, 0))
    return np.clip(picture + amount * (picture - blurred), 0, 1).astype(np.float32)


def _resized(picture: Plane, factor: float) -> Plane:
    size = max(round(_SCENE_PX * factor), TILE_PX)
    whole = Image.fromarray(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    small: Plane = np.asarray(whole.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    return small / np.float32(255)


def _middle(picture: Plane) -> Plane:
    start = (len(picture) - TILE_PX) // 2
    return picture[start : start + TILE_PX, start : start + TILE_PX]


def _compressed(picture: Plane, random: np.random.Generator) -> tuple[NDArray[np.uint8], float]:
    image = Image.fromarray(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    if random.random() < 0.1:
        return np.asarray(image.convert("L")), 0.0
    lightly = random.random() < 0.45
    quality = int(random.integers(82, 99) if lightly else random.integers(8, 88))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=int(random.choice([0, 2])))
    return np.asarray(Image.open(buffer).convert("L")), (100 - quality) / 100
