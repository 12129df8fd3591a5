from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def scene() -> Image.Image:
    """A smooth, colourful picture with no symmetry, 120 x 80; lossy formats keep it well."""
    y, x = np.mgrid[0:80, 0:120]
    red = 40 + 170 * x / 119
    green = 200 - 150 * y / 79
    blue = 128 + 90 * np.sin(x / 17) * np.cos(y / 23)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).round().astype(np.uint8))


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    def encode(picture: Image.Image, image_format: str, **options: Any) -> bytes:
        file = BytesIO()
        picture.save(file, image_format, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def difference() -> Callable[[Any, Any], float]:
    """Mean absolute difference of two pictures, in steps of 255."""

    def measure(one: Any, other: Any) -> float:
        a, b = (np.asarray(picture, dtype=np.float64) for picture in (one, other))
        assert a.shape == b.shape
        return float(np.abs(a - b).mean())

    return measure
