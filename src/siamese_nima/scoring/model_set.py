"""A set of models that rate the same photos, each photo decoded once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import TypeAlias, cast

import numpy as np
import onnxruntime
import PIL
from numpy.typing import NDArray

from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.read import MAX_PIXELS, READING, Photo, PhotoSource, open_photo
from siamese_nima.photos.views import DECODE_MARGIN, ViewPolicy, Views
from siamese_nima.scoring.cache import Content
from siamese_nima.scoring.catalogue import eight_bit_form, find_model
from siamese_nima.scoring.model import Model, ModelFile, fitting_view
from siamese_nima.scoring.results import ScoredPhoto, scored

ModelSource: TypeAlias = "str | os.PathLike[str] | Model"
Distribution: TypeAlias = NDArray[np.float32]
OnPhoto: TypeAlias = Callable[[str, Photo], None]

# Packages that move scores where they are installed.
_PACKAGES = ("siamese-nima", "openvino", "pi-heif", "pylibjpeg-openjpeg", "pylibjxl", "rawpy")


@dataclass(frozen=True, slots=True)
class Member:
    """A model of a set, what it is called there, and the view policy in use."""

    name: str
    model: Model
    view: ViewPolicy

    def result(self, path: str, outcome: Distribution | PhotoError, cached: bool) -> ScoredPhoto:
        """The result for one photo."""
        # One text for all results: a ranking keeps them in memory.
        card, identity = self.model.card, sys.intern(self.model.model_id)
        if isinstance(outcome, PhotoError):
            return ScoredPhoto(path=path, model=identity, scale=card.scale, error=str(outcome))
        return scored(path, outcome.astype(np.float64), card, identity, cached=cached)


@dataclass(slots=True)
class WorkItem:
    """One photo on its way.

    Attributes:
        name: What results and errors call it.
        source: The photo.
        outcomes: Distribution or error of every member that has rated it, by the member's place.
        cached: Places of the members whose outcomes come from a cache.
        content: What a cache knows the photo by, if that was asked for.
    """

    name: str
    source: PhotoSource
    outcomes: dict[int, Distribution | PhotoError] = field(default_factory=dict)
    cached: frozenset[int] = frozenset()
    content: Content | None = None


class ModelSet:
    """Models that rate together.

    Attributes:
        members: At least one; names differ.
        decode_px: Short side that a photo keeps at least when it is decoded; None for all of it.
        max_pixels: Photos with more are refused before they are decoded.
    """

    def __init__(
        self, members: Sequence[Member], *, exact: bool, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.members = tuple(members)
        self.max_pixels = max_pixels
        names = [member.name for member in self.members]
        if not names:
            raise ConfigError("no model was given; wanted one or more")
        if len(set(names)) < len(names):
            raise ConfigError(
                f"the models of one run need different names, got {', '.join(names)}; "
                "a model file is called by its file name"
            )
        needs = [member.view.short_side_px for member in self.members]
        known = [need for need in needs if need is not None]
        self.decode_px = None if exact or len(known) < len(needs) else DECODE_MARGIN * max(known)

    def rate(self, photos: Sequence[WorkItem], on_photo: OnPhoto | None = None) -> None:
        """Fill in the outcomes that are missing; show `on_photo` every photo that is decoded."""
        views = [self._views(photo, on_photo) for photo in photos]
        for place, member in enumerate(self.members):
            missing = [
                (photo, own[member.view])
                for photo, own in zip(photos, views, strict=True)
                if place not in photo.outcomes
            ]
            for _, group in groupby(missing, key=lambda item: item[1].shape):
                alike, stacked = zip(*group, strict=True)
                outcomes = _rate(member.model, np.stack(stacked))
                for photo, outcome in zip(alike, outcomes, strict=True):
                    if isinstance(outcome, PhotoError):
                        outcome = PhotoError(f"{photo.name}: {outcome}")
                    photo.outcomes[place] = outcome

    def result(self, photo: WorkItem) -> ScoredPhoto:
        """The first member's result, with those of the others."""
        first, *others = (
            member.result(photo.name, photo.outcomes[place], place in photo.cached)
            for place, member in enumerate(self.members)
        )
        if not others:
            return first
        names = (member.name for member in self.members[1:])
        return replace(first, others=dict(zip(names, others, strict=True)))

    def settings(self, device: str) -> tuple[str, ...]:
        """What scores depend on besides the photo: one text per member, which a cache can compare.

        Two photos with equal bytes and equal settings have equal scores. A text names the model by
        the hash of its file, the view policy, the scale of decoding (a further model may ask for
        more pixels than a model needs by itself), and the programs that compute.

        Raises:
            ConfigError: A model is not from a file, so that nothing tells it from others.
        """
        programs = {"onnxruntime": onnxruntime.__version__, "pillow": PIL.__version__}
        programs["reading"] = str(READING)
        programs |= {name: _version(name) for name in _PACKAGES}
        tail = " ".join(f"{name}={number}" for name, number in programs.items())
        texts = []
        for member in self.members:
            if not isinstance(member.model, ModelFile):
                raise ConfigError(
                    f"model {member.name!r} is not from a file; a cache needs its hash"
                )
            texts.append(
                f"model={member.model.digest} view={member.view} decode_px={self.decode_px} "
                f"device={device} {tail}"
            )
        return tuple(texts)

    def _views(self, photo: WorkItem, on_photo: OnPhoto | None) -> dict[ViewPolicy, Views]:
        """What members that have no outcome yet need to see; or an error is their outcome."""
        wanted = [place for place in range(len(self.members)) if place not in photo.outcomes]
        if not wanted:
            return {}
        try:
            picture = open_photo(
                photo.source,
                min_short_side_px=self.decode_px,
                max_pixels=self.max_pixels,
                name=photo.name,
            )
            if on_photo:
                on_photo(photo.name, picture)
            policies = {self.members[place].view for place in wanted}
            return {policy: policy.views(picture) for policy in policies}
        except PhotoError as error:
            photo.outcomes |= dict.fromkeys(wanted, error)
            return {}


def load_members(
    models: Sequence[ModelSource], *, view: ViewPolicy | None, device: str, eight_bits: bool
) -> list[Member]:
    """Load models for a set; a model file is called by its file name, others by their card.

    With `eight_bits` embedded models compute so, where they have such a form and own views.
    """
    members = []
    for source in models:
        if isinstance(source, str | os.PathLike):
            form = eight_bit_form(source) if eight_bits and view is None else None
            path = form or find_model(source)
            name, model = path.stem, cast(Model, ModelFile(path, device=device))
        else:
            name, model = source.card.name, source
        policy = model.card.view if view is None else fitting_view(model.card, view)
        members.append(Member(name, model, policy))
    return members


def _rate(model: Model, views: Views) -> list[Distribution | PhotoError]:
    """One outcome per photo; a photo that the network refuses does not spoil the others'."""
    try:
        return list(model.rate(views))
    except PhotoError as error:
        count = len(views)
        if count == 1:
            return [error]
        return [*_rate(model, views[: count // 2]), *_rate(model, views[count // 2 :])]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
