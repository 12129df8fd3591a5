"""Augmentation under the names of Keras' ImageDataGenerator, as far as it leaves ratings true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_nima.errors import ConfigError, did_you_mean

Views = NDArray[np.uint8]

# In numpy's words. Keras reflects with the edge repeated.
_FILL: Any = {"nearest": "edge", "reflect": "symmetric", "wrap": "wrap", "constant": "constant"}

_RESAMPLES = "it resamples the photo, and sharpness is part of what people rated"
_COLOURS = "it changes colours or exposure, which are part of what people rated"
_NORMALISES = "pixels are normalised by the model, as its card says"
_NOT_ONE = "it is no augmentation of photos"
_REFUSED = {
    "rotation_range": _RESAMPLES + ", and a tilted horizon is a fault of its own",
    "vertical_flip": "people rated photos upright",
    "validation_split": "give validation photos as val_raw",
    **dict.fromkeys(("shear_range", "zoom_range"), _RESAMPLES),
    **dict.fromkeys(("brightness_range", "channel_shift_range"), _COLOURS),
    **dict.fromkeys(("featurewise_center", "samplewise_center"), _NORMALISES),
    **dict.fromkeys(("featurewise_std_normalization", "samplewise_std_normalization"), _NORMALISES),
    **dict.fromkeys(("zca_whitening", "zca_epsilon", "rescale"), _NORMALISES),
    "preprocessing_function": _NORMALISES,
    **dict.fromkeys(("data_format", "dtype", "interpolation_order"), _NOT_ONE),
}
_HARMLESS_VALUES = (None, False, 0, 0.0)
# The generator's own defaults, which a call may spell out.
_HARMLESS = {"data_format": "channels_last", "dtype": "float32", "zca_epsilon": 1e-6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Changes drawn anew for each photo and epoch; names and meanings are Keras'."""

    horizontal_flip: bool = False  # with probability one half
    # The largest shift: below 1 a share of the side, else pixels. Whole ones: nothing is resampled.
    width_shift_range: float = 0.0
    height_shift_range: float = 0.0
    # What comes in at the edge: the edge's pixels ("nearest"), the photo mirrored ("reflect") or
    # repeated ("wrap"), or the value `cval`, 0 to 255 ("constant").
    fill_mode: str = "nearest"
    cval: float = 0.0

    def __post_init__(self) -> None:
        if self.fill_mode not in _FILL:
            raise ConfigError(
                f"fill_mode must be one of {', '.join(_FILL)}, got {self.fill_mode!r}"
            )
        for name in ("width_shift_range", "height_shift_range"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < np.inf:
                raise ConfigError(f"{name} must be a number from 0 on, got {value!r}")
        if not 0 <= self.cval <= 255:
            raise ConfigError(f"cval must be from 0 to 255, got {self.cval}")

    def apply(self, views: Views, generator: np.random.Generator) -> Views:
        """The views of one photo, shape (V, H, W, 3), all changed alike."""
        height, width = views.shape[1:3]
        down = _drawn_shift(self.height_shift_range, height, generator)
        right = _drawn_shift(self.width_shift_range, width, generator)
        mirrored = self.horizontal_flip and generator.random() < 0.5
        if down or right:
            views = self._shifted(views, down, right)
        return np.ascontiguousarray(views[:, :, ::-1]) if mirrored else views

    def _shifted(self, views: Views, down: int, right: int) -> Views:
        height, width = views.shape[1:3]
        pad = ((0, 0), (abs(down),) * 2, (abs(right),) * 2, (0, 0))
        value = {"constant_values": round(self.cval)} if self.fill_mode == "constant" else {}
        padded: Views = np.pad(views, pad, _FILL[self.fill_mode], **value)
        top, left = abs(down) - down, abs(right) - right
        return padded[:, top : top + height, left : left + width]


def augmentation_from_keras(arguments: Mapping[str, Any] | None) -> Augmentation:
    """Read the arguments of Keras' ImageDataGenerator; None for no augmentation.

    Raises:
        ConfigError: A name that Keras does not have, one that would make ratings untrue, with the
            reason, or an impossible value. A refused name may have a value that does nothing.
    """
    given, known = dict(arguments or {}), [field.name for field in fields(Augmentation)]
    for name in given.keys() - known:
        value = given.pop(name)
        if name in _REFUSED and (value in _HARMLESS_VALUES or value == _HARMLESS.get(name)):
            continue
        problem = f"ImageDataGenerator has no {name!r}{did_you_mean(name, [*known, *_REFUSED])}"
        if name in _REFUSED:
            problem = f"{name}={value!r} is refused, {_REFUSED[name]}"
        raise ConfigError(f"augmentation_args: {problem}. Possible are {', '.join(known)}")
    return Augmentation(**given)


def _drawn_shift(shift_range: float, side_px: int, generator: np.random.Generator) -> int:
    """Whole pixels; at most the side, beyond which nothing of the photo is left."""
    largest = shift_range * side_px if shift_range < 1 else shift_range
    return int(np.clip(round(generator.uniform(-largest, largest)), -side_px, side_px))
