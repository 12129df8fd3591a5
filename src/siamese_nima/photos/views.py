"""View policies: how a photo of any size becomes what the network sees."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import ViewError
from siamese_nima.photos.read import Photo

Views: TypeAlias = NDArray[np.uint8]

Resample: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Layout: TypeAlias = Literal["centre", "five"]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MAX_SIZE_PX = 16384
# Large JPEG files are decoded at a reduced scale with at least this many times the pixels per side
# that the views need, in scoring and in training alike. benchmarks/quality/reduced_decode.py
# measures what 1 and 2 do to scores.
DECODE_MARGIN = 2


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

    def cut(self, photo: Image.Image | Photo, resample: Resample) -> list[Image.Image]:
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

    def cut(self, photo: Image.Image | Photo, resample: Resample) -> list[Image.Image]:
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

    def cut(self, photo: Image.Image | Photo, resample: Resample) -> list[Image.Image]:
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

    def cut(self, photo: Image.Image | Photo, resample: Resample) -> list[Image.Image]:  # noqa: ARG002
        """The photo itself."""
        return [photo if isinstance(photo, Image.Image) else photo.whole()]

    def __str__(self) -> str:
        return "native"


ViewGroup: TypeAlias = Warp | Crops | Pad | Native


_KINDS: dict[str, type[ViewGroup]] = {"warp": Warp, "crops": Crops, "pad": Pad, "native": Native}
_TEXT_FORMS = (
    "native, warp:224, warp:HEIGHTxWIDTH, pad:224, pad:224#RRGGBB, centre:224@512, five:224@256;"
    " joined by +; ending in /nearest, /bilinear, /bicubic or /lanczos to choose the resize filter"
)
_WARP = re.compile(r"warp:([0-9]{1,5})(?:x([0-9]{1,5}))?")
_PAD = re.compile(r"pad:([0-9]{1,5})(?:#([0-9a-f]{6}))?", re.IGNORECASE)
_CROPS = re.compile(r"(centre|five):([0-9]{1,5})@([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """What a network is shown of a photo: one or more groups of views, all of one size.

    A policy is part of a model; it has a text form for people and a JSON form for model cards.

    >>> policy = ViewPolicy.parse("warp:224+centre:224@512")
    >>> policy == ViewPolicy((Warp(224), Crops(short_side_px=512, size_px=224)))
    True
    >>> policy.views(Image.new("RGB", (640, 480))).shape
    (2, 224, 224, 3)

    Attributes:
        groups: The network averages the features of one group and concatenates the groups.
        resample: Filter of every resize, as Pillow has it: all but "nearest" average over the
            pixels that they shrink away.

    Raises:
        ViewError: No groups, groups whose views differ in size, or an unknown filter.
    """

    groups: tuple[ViewGroup, ...]
    resample: Resample = "bicubic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        if not self.groups:
            raise ViewError(f"a view policy needs at least one group of views: {_TEXT_FORMS}")
        if self.resample not in get_args(Resample):
            wanted = ", ".join(get_args(Resample))
            raise ViewError(f"resize filter must be one of {wanted}, got {self.resample!r}")
        if len({group.view_size for group in self.groups}) > 1:
            sizes = ", ".join(f"{group} gives {_size(group)}" for group in self.groups)
            raise ViewError(f"all groups of a view policy must give views of one size: {sizes}")
        if len(self.groups) > 1 and self.view_size is None:
            raise ViewError("native must be the only group of a view policy")

    @property
    def short_side_px(self) -> int | None:
        """The largest short side that any group needs, for `read_photo`; None for native."""
        needs = [group.short_side_px for group in self.groups]
        return max((need for need in needs if need is not None), default=None)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Views per group; their sum is V of `views`."""
        return tuple(group.view_count for group in self.groups)

    @property
    def view_size(self) -> tuple[int, int] | None:
        """Height and width of every view; None for native."""
        return self.groups[0].view_size

    def views(self, photo: Image.Image | Photo) -> Views:
        """Cut the views of one photo.

        Args:
            photo: Of any size; a picture of mode RGB as `read_photo` returns it, or what
                `open_photo` returns, of which only the views are converted and turned.

        Returns:
            uint8 of shape (V, H, W, 3), C-contiguous and writable; groups in their order.

        Raises:
            ViewError: The photo is in another mode.
        """
        if isinstance(photo, Image.Image) and photo.mode != "RGB":
            raise ViewError(
                f"views are cut from RGB photos (see read_photo), got mode {photo.mode}"
            )
        cuts = [view for group in self.groups for view in group.cut(photo, self.resample)]
        return np.stack([np.asarray(view) for view in cuts])

    def __str__(self) -> str:
        suffix = "" if self.resample == "bicubic" else f"/{self.resample}"
        return "+".join(map(str, self.groups)) + suffix

    @classmethod
    def parse(cls, text: str) -> "ViewPolicy":
        """The policy that `str` writes, for instance `five:224@256/bilinear`.

        Raises:
            ViewError: The text has another form; the message lists all forms.
        """
        groups, _, resample = text.strip().partition("/")
        return cls(
            tuple(_parse_group(part.strip(), text) for part in groups.split("+")),
            cast(Resample, resample or "bicubic"),
        )

    def to_json(self) -> dict[str, Any]:
        """The policy in values that JSON has."""
        groups = [{"kind": _kind(group), **asdict(group)} for group in self.groups]
        for group in groups:
            if "colour" in group:
                group["colour"] = list(group["colour"])
        return {"groups": groups, "resample": self.resample}

    @classmethod
    def from_json(cls, policy: Mapping[str, Any]) -> "ViewPolicy":
        """The policy that `to_json` wrote.

        Raises:
            ViewError: An entry is missing, unknown or out of range.
        """
        if not isinstance(policy, Mapping) or not isinstance(policy.get("groups"), (list, tuple)):
            raise ViewError(f"a view policy in JSON has 'groups' and 'resample', got {policy!r}")
        unknown = set(policy) - {"groups", "resample"}
        if unknown:
            raise ViewError(f"view policy: unknown {sorted(unknown)}; known are groups, resample")
        groups = tuple(_group_from_json(group) for group in policy["groups"])
        return cls(groups, policy.get("resample", "bicubic"))


def _kind(group: ViewGroup) -> str:
    return next(kind for kind, cls in _KINDS.items() if isinstance(group, cls))


def _size(group: ViewGroup) -> str:
    size = group.view_size
    return "the size of each photo" if size is None else f"{size[0]} x {size[1]}"


def _parse_group(part: str, text: str) -> ViewGroup:
    if part == "native":
        return Native()
    if found := _WARP.fullmatch(part):
        height, width = found.groups()
        return Warp(int(height), int(width) if width else None)
    if found := _PAD.fullmatch(part):
        size, colour = found.groups()
        if colour is None:
            return Pad(int(size))
        red, green, blue = bytes.fromhex(colour)
        return Pad(int(size), (red, green, blue))
    if found := _CROPS.fullmatch(part):
        layout, size, short_side = found.groups()
        return Crops(int(short_side), int(size), cast(Layout, layout))
    raise ViewError(f"view policy {text!r}: cannot read {part!r}. Possible are {_TEXT_FORMS}")


def _group_from_json(group: Any) -> ViewGroup:
    kind = group.get("kind") if isinstance(group, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ViewError(f"view group must have a kind of {', '.join(_KINDS)}, got {group!r}")
    entries = {name: value for name, value in group.items() if name != "kind"}
    if isinstance(entries.get("colour"), list):
        entries["colour"] = tuple(entries["colour"])
    try:
        return _KINDS[kind](**entries)
    except TypeError as error:
        raise ViewError(f"view group {kind}: {error}") from error


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_size(kind: str, name: str, value: object) -> None:
    if not _is_integer(value, 1, _MAX_SIZE_PX):
        raise ViewError(
            f"{kind}: {name} must be an integer from 1 to {_MAX_SIZE_PX} pixels, got {value!r}"
        )
