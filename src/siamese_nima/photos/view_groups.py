"""The ways to cut views from a photo: the parts that view policies are made of."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from PIL import Image

from siamese_nima.errors import ViewError

Resample: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Layout: TypeAlias = Literal["centre", "five"]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MAX_SIZE_PX = 16384


@dataclass(frozen=True, slots=True)
class Warp:
    """The whole photo, stretched to one size whatever its shape.

    Attributes:
        size_px: Height, and width too unless `width_px` says otherwise.
        width_px: Width, for views that are not square.
    """

    size_px: int
    width_px: int | None = None

    def __post_init__(self) -> None:
        _check_size("warp", "size_px", self.size_px)
        if self.width_px is not None:
            _check_size("warp", "width_px", self.width_px)
            if self.width_px == self.size_px:
                object.__setattr__(self, "width_px", None)

    @property
    def view_count(self) -> int:
        """How many views this group gives."""
        return 1

    @property
    def view_size(self) -> tuple[int, int]:
        """Height and width of its views."""
        return self.size_px, self.width_px or self.size_px

    @property
    def short_side_px(self) -> int:
        """The short side that a photo needs for these views to be sharp."""
        return max(self.view_size)

    def cut(self, photo: Image.Image, resample: Resample) -> list[Image.Image]:
        """The views of an RGB photo."""
        height, width = self.view_size
        return [photo.resize((width, height), _FILTERS[resample])]

    def __str__(self) -> str:
        width = "" if self.width_px is None else f"x{self.width_px}"
        return f"warp:{self.size_px}{width}"


@dataclass(frozen=True, slots=True)
class Crops:
    """Square pieces of the photo, resized so that its short side has a stated length.

    Attributes:
        short_side_px: Short side of the photo that the pieces are cut from; smaller photos are
            enlarged to it.
        size_px: Side of the pieces.
        layout: "centre", or "five": top left, top right, bottom left, bottom right, centre.
    """

    short_side_px: int
    size_px: int
    layout: Layout = "centre"

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ViewError(f"crops: layout must be 'centre' or 'five', got {self.layout!r}")
        _check_size(self.layout, "size_px", self.size_px)
        _check_size(self.layout, "short_side_px", self.short_side_px)
        if self.short_side_px < self.size_px:
            raise ViewError(
                f"{self}: a crop of {self.size_px} pixels does not fit into a photo with a short"
                f" side of {self.short_side_px}"
            )

    @property
    def view_count(self) -> int:
        """How many views this group gives."""
        return 1 if self.layout == "centre" else 5

    @property
    def view_size(self) -> tuple[int, int]:
        """Height and width of its views."""
        return self.size_px, self.size_px

    def cut(self, photo: Image.Image, resample: Resample) -> list[Image.Image]:
        """The views of an RGB photo.

        Only the pixels under a crop are resampled, so a strip of 1 x 5000 pixels, enlarged to its
        short side, never exists as a whole.
        """
        scale = self.short_side_px / min(photo.size)
        width, height = (max(self.short_side_px, round(side * scale)) for side in photo.size)
        right, bottom = width - self.size_px, height - self.size_px
        corners = [(right // 2, bottom // 2)]
        if self.layout == "five":
            corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), *corners]
        x_step, y_step = photo.width / width, photo.height / height
        size = (self.size_px, self.size_px)
        views = []
        for left, top in corners:
            x_end = min((left + self.size_px) * x_step, photo.width)
            y_end = min((top + self.size_px) * y_step, photo.height)
            box = (left * x_step, top * y_step, x_end, y_end)
            views.append(photo.resize(size, _FILTERS[resample], box=box))
        return views

    def __str__(self) -> str:
        return f"{self.layout}:{self.size_px}@{self.short_side_px}"


@dataclass(frozen=True, slots=True)
class Pad:
    """The whole photo in its own shape, centred on a square of one colour.

    Attributes:
        size_px: Side of the square, and the long side of the photo in it; small photos are
            enlarged.
        colour: Red, green and blue of the border, 0..255.
    """

    size_px: int
    colour: tuple[int, int, int] = (128, 128, 128)

    def __post_init__(self) -> None:
        _check_size("pad", "size_px", self.size_px)
        colour = self.colour
        fits = isinstance(colour, tuple) and len(colour) == 3
        if not fits or not all(_is_integer(part, 0, 255) for part in colour):
            raise ViewError(f"pad: colour must be three integers from 0 to 255, got {self.colour}")

    @property
    def view_count(self) -> int:
        """How many views this group gives."""
        return 1

    @property
    def view_size(self) -> tuple[int, int]:
        """Height and width of its views."""
        return self.size_px, self.size_px

    @property
    def short_side_px(self) -> int:
        """The short side that a photo needs for these views to be sharp."""
        return self.size_px

    def cut(self, photo: Image.Image, resample: Resample) -> list[Image.Image]:
        """The views of an RGB photo."""
        scale = self.size_px / max(photo.size)
        width, height = (max(1, round(side * scale)) for side in photo.size)
        view = Image.new("RGB", (self.size_px, self.size_px), self.colour)
        corner = ((self.size_px - width) // 2, (self.size_px - height) // 2)
        view.paste(photo.resize((width, height), _FILTERS[resample]), corner)
        return [view]

    def __str__(self) -> str:
        colour = (
            "" if self.colour == (128, 128, 128) else "#{:02x}{:02x}{:02x}".format(*self.colour)
        )
        return f"pad:{self.size_px}{colour}"


@dataclass(frozen=True, slots=True)
class Native:
    """The whole photo at its own size."""

    @property
    def view_count(self) -> int:
        """How many views this group gives."""
        return 1

    @property
    def view_size(self) -> None:
        """Every photo has its own."""
        return

    @property
    def short_side_px(self) -> None:
        """All pixels are needed."""
        return

    def cut(self, photo: Image.Image, resample: Resample) -> list[Image.Image]:  # noqa: ARG002
        """The photo itself."""
        return [photo]

    def __str__(self) -> str:
        return "native"


ViewGroup: TypeAlias = Warp | Crops | Pad | Native


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_size(kind: str, name: str, value: object) -> None:
    if not _is_integer(value, 1, _MAX_SIZE_PX):
        raise ViewError(
            f"{kind}: {name} must be an integer from 1 to {_MAX_SIZE_PX} pixels, got {value!r}"
        )
