"""How much one request, and all of them together, may ask of the service."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from siamese_nima.errors import ConfigError

# The options of `nima serve`, and how many of a limit's own units one of theirs is.
_OPTIONS = {
    "photo_bytes": ("--max-photo-mb", 1e6),
    "photo_pixels": ("--max-megapixels", 1e6),
    "request_photos": ("--max-photos", 1),
    "request_bytes": ("--max-request-mb", 1e6),
    "request_s": ("--timeout", 1),
    "waiting_photos": ("--max-waiting", 1),
    "waiting_bytes": ("the memory for all requests in MB", 1e6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is refused before it costs much.

    Attributes:
        photo_bytes: Size of one photo; a raw file of a large camera has about 100 million.
        photo_pixels: Width times height of one photo, read from its header.
        request_photos: Photos in one request.
        request_bytes: Size of one request.
        request_s: Seconds from the first byte of a request to its answer.
        waiting_photos: Photos that may wait for a worker; further ones are told to come again.
        waiting_bytes: Bytes of all requests that are being received or answered.

    Raises:
        ConfigError: A limit is not positive, or what one request may have is more than what all
            requests together may.
    """

    photo_bytes: int = 128_000_000
    photo_pixels: int = 150_000_000
    request_photos: int = 64
    request_bytes: int = 256_000_000
    request_s: float = 60.0
    waiting_photos: int = 256
    waiting_bytes: int = 1_000_000_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 < getattr(self, field.name) < math.inf:
                option, value = self._shown(field.name)
                raise ConfigError(f"{option} must be above 0, got {value}")
        for one, together in (
            ("photo_bytes", "request_bytes"),
            ("request_bytes", "waiting_bytes"),
            ("request_photos", "waiting_photos"),
        ):
            if getattr(self, one) > getattr(self, together):
                (option, value), (other, most) = self._shown(one), self._shown(together)
                raise ConfigError(
                    f"{option} ({value}) must not be above {other} ({most}): such a request could "
                    "never be answered"
                )

    def _shown(self, name: str) -> tuple[str, str]:
        option, unit = _OPTIONS[name]
        return option, f"{getattr(self, name) / unit:g}"
