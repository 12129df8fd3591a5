"""NIMA checkpoints that other torch programs wrote, by the names of their tensors.

| program | backbone | the backbone's tensors | the rating layer |
|---|---|---|---|
| kentsyx/Neural-IMage-Assessment | VGG16, all 7 x 7 places | `features.N` | `classifier.1` |
| pyiqa, VGG16 | VGG16, mean of its places | `base_model.features_N` | `classifier.2` |
| pyiqa, InceptionResNetV2 | timm's | `base_model.*` | `classifier.2` |

Beginnings such as `module.` (of DataParallel) are taken off, and so are the dictionaries
`params`, `state_dict` and `model` around the tensors.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siamese_nima.card import ModelCard, Normalisation
from siamese_nima.errors import WeightsError, name_some
from siamese_nima.networks.nima import NIMA, build_nima
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale

_AROUND = ("params", "params_ema", "state_dict", "model")
_IMAGENET = Normalisation(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
_HALF = Normalisation(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
_UNIT = Normalisation(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a program lays out its networks, and how it shows photos to them.

    Attributes:
        program: Who writes it.
        backbone: Ours.
        mark: A tensor that only this layout has.
        head: The rating layer.
        beginning: Of the backbone's tensors there, and what it is here.
        view: How its own program shows photos.
        normalisation: What it does to pixels.
    """

    program: str
    backbone: str
    mark: str
    head: str
    beginning: tuple[str, str]
    view: str
    normalisation: Normalisation


_LAYOUTS = (
    _Layout(
        "kentsyx/Neural-IMage-Assessment",
        "nima_vgg16_flat",
        "features.28.weight",
        "classifier.1",
        ("features.", "features."),
        "centre:224@256/bilinear",
        _UNIT,
    ),
    _Layout(
        "pyiqa",
        "nima_vgg16",
        "base_model.features_28.weight",
        "classifier.2",
        ("base_model.features_", "features."),
        "centre:224@224/bilinear",
        _IMAGENET,
    ),
    _Layout(
        "pyiqa",
        "inception_resnet_v2",
        "base_model.conv2d_7b.conv.weight",
        "classifier.2",
        ("base_model.", ""),
        "centre:299@299/bilinear",
        _HALF,
    ),
)


def read_torch_weights(path: str | Path) -> tuple[NIMA, ModelCard]:
    """Read a checkpoint of one of the programs above; every tensor of it is used once.

    Only tensors are read from the file, never code (`weights_only`).

    Returns:
        The network in inference mode on the CPU, and a card that says what is known about it.

    Raises:
        WeightsError: No such file, not a file of tensors, another network, or tensors that do not
            fit, with their names.
    """
    source = Path(path)
    tensors = _tensors(source)
    layout = next((one for one in _LAYOUTS if one.mark in tensors), None)
    if layout is None:
        raise WeightsError(
            f"{source}: no NIMA network that is known here; its {len(tensors)} tensors begin with "
            f"{name_some(list(tensors))}. Read are VGG16 of kentsyx/Neural-IMage-Assessment and of "
            "pyiqa, and InceptionResNetV2 of pyiqa."
        )
    head = tensors.get(f"{layout.head}.weight")
    if head is None or head.ndim != 2:
        raise WeightsError(f"{source}: {layout.program} keeps the rating layer as {layout.head}")
    grades = len(head)
    if grades < 2:
        raise WeightsError(
            f"{source}: its last layer gives one number, not a distribution of ratings"
        )
    there, here = layout.beginning
    renamed = {
        re.sub(f"^{re.escape(there)}", f"backbone.{here}", name).replace(
            f"{layout.head}.", "head."
        ): tensor
        for name, tensor in tensors.items()
    }
    nima = build_nima(layout.backbone, grades=grades)
    wanted = nima.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    lists = {
        "missing": [name for name in wanted if name not in renamed and name not in counters],
        "not used": [name for name in renamed if name not in wanted],
        "of another shape": [
            f"{name} is {tuple(renamed[name].shape)}, wanted {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in renamed and renamed[name].shape != tensor.shape
        ],
        "not finite": [name for name, tensor in renamed.items() if not tensor.isfinite().all()],
    }
    if problems := [
        f"  {len(names)} {problem}: {name_some(names)}" for problem, names in lists.items() if names
    ]:
        raise WeightsError(
            f"{source}: these tensors do not fit the {layout.backbone} of {layout.program}:\n"
            + "\n".join(problems)
        )
    nima.load_state_dict(wanted | renamed)
    return nima.eval(), _card(source, layout, grades)


def _tensors(source: Path) -> dict[str, Tensor]:
    if not source.is_file():
        raise WeightsError(f"{source}: no such weight file")
    try:
        found = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{source}: not a file of tensors that torch reads without running code in it "
            f"({reason}). Of a whole network write the tensors alone: "
            "torch.save(network.state_dict(), FILE)."
        ) from error
    while isinstance(found, Mapping) and (inner := next((n for n in _AROUND if n in found), None)):
        found = found[inner]
    if not isinstance(found, Mapping) or not _all_tensors(found):
        raise WeightsError(f"{source}: no dictionary of tensors by their names")
    names = list(found)
    while all(name.startswith("module.") for name in names):
        names = [name.removeprefix("module.") for name in names]
    return dict(zip(names, found.values(), strict=True))


def _all_tensors(found: Mapping[Any, Any]) -> bool:
    named = all(isinstance(name, str) for name in found)
    return bool(found) and named and all(isinstance(one, Tensor) for one in found.values())


def _card(source: Path, layout: _Layout, grades: int) -> ModelCard:
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ModelCard(
        name=source.stem,
        description=f"Rating distribution of an imported network of {layout.program}.",
        backbone=layout.backbone,
        scale=RatingScale(1, grades),
        view=ViewPolicy.parse(layout.view),
        normalisation=layout.normalisation,
        training={"data": "unknown", "imported_from": source.name},
        limits=(
            "The training photos are unknown; published NIMA weights were trained on AVA, so "
            "figures measured on AVA may be measured on training photos.",
        ),
        parent=digest,
    )
