"""View policies: how a photo of any size becomes what the network sees."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import ViewError
from siamese_nima.photos.view_groups import Crops, Layout, Native, Pad, Resample, ViewGroup, Warp

__all__ = ["Crops", "Native", "Pad", "ViewGroup", "ViewPolicy", "Views", "Warp"]

Views: TypeAlias = NDArray[np.uint8]

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

    def views(self, photo: Image.Image) -> Views:
        """Cut the views of one photo.

        Args:
            photo: Mode RGB, as `read_photo` returns it, of any size.

        Returns:
            uint8 of shape (V, H, W, 3), C-contiguous and writable; groups in their order.

        Raises:
            ViewError: The photo is in another mode.
        """
        if photo.mode != "RGB":
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
