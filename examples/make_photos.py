"""Write the pictures of `examples/photos` again, from the photos that scikit-image carries.

Not needed to use them. It needs scikit-image (any version from 0.19 on) and Pillow:

    pip install scikit-image
    python examples/make_photos.py [FOLDER]

Each degraded version is made from the original by one named step, with a fixed seed; JPEG bytes may
differ between versions of libjpeg.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from skimage import data

SEED = 20170915  # arXiv:1709.05424, the NIMA paper


def blur(photo: Image.Image) -> Image.Image:
    """Out of focus."""
    return photo.filter(ImageFilter.GaussianBlur(photo.height / 130))


def motion(photo: Image.Image) -> Image.Image:
    """The camera moved sideways, slightly upwards."""
    reach = photo.width // 50
    pixels = np.pad(np.asarray(photo, np.float64), ((reach, reach), (reach, reach), (0, 0)), "edge")
    steps = [(round(-0.3 * step), step) for step in range(-reach, reach + 1)]
    shifted = [np.roll(pixels, step, axis=(0, 1)) for step in steps]
    return to_photo(np.mean(shifted, axis=0)[reach:-reach, reach:-reach])


def noise(photo: Image.Image) -> Image.Image:
    """High sensitivity in poor light: noise that grows with brightness, plus read-out noise."""
    linear = (np.asarray(photo, np.float64) / 255) ** 2.2
    generator = np.random.default_rng(SEED)
    grains = generator.poisson(linear * 60) / 60 + generator.normal(0, 0.02, linear.shape)
    return to_photo(255 * grains.clip(0) ** (1 / 2.2))


def jpeg(photo: Image.Image) -> Image.Image:
    """Saved with far too strong compression."""
    file = BytesIO()
    photo.save(file, "JPEG", quality=6)
    return Image.open(file).convert("RGB")


def dark(photo: Image.Image) -> Image.Image:
    """Exposed 2.5 stops too little."""
    return exposed(photo, -2.5)


def bright(photo: Image.Image) -> Image.Image:
    """Exposed 1.8 stops too much."""
    return exposed(photo, 1.8)


def small(photo: Image.Image) -> Image.Image:
    """Shrunk to a fifth and enlarged again."""
    tiny = photo.resize((photo.width // 5, photo.height // 5), Image.Resampling.BOX)
    return tiny.resize(photo.size, Image.Resampling.BICUBIC)


def exposed(photo: Image.Image, stops: float) -> Image.Image:
    """Another exposure, clipped as a sensor clips."""
    linear = (np.asarray(photo, np.float64) / 255) ** 2.2
    return to_photo(255 * (linear * 2.0**stops).clip(0, 1) ** (1 / 2.2))


def to_photo(pixels: np.ndarray) -> Image.Image:
    """Float pixels in 0..255 as a photo."""
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


Degradation = Callable[[Image.Image], Image.Image]
SCENES: dict[str, tuple[Degradation, ...]] = {
    "chelsea": (blur, motion, noise, jpeg, dark, bright, small),
    "coffee": (blur, motion, noise, jpeg, dark, bright, small),
    "rocket": (blur, noise, jpeg),
    "astronaut": (blur, jpeg),
    "camera": (),
    "hubble_deep_field": (),
}


def main(folder: Path) -> None:
    """Write every scene and its degraded versions into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene, degradations in SCENES.items():
        name = scene.replace("_", "-")
        photo = Image.fromarray(getattr(data, scene)()).convert("RGB")
        photo.thumbnail((800, 800), Image.Resampling.LANCZOS)
        photo.save(folder / f"{name}.jpg", quality=92, optimize=True)
        for degrade in degradations:
            version = degrade(photo)
            # High quality: the one degradation that the name says is the one that is there.
            path = folder / f"{name}-{degrade.__name__}.jpg"
            version.save(path, quality=92, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "photos")
