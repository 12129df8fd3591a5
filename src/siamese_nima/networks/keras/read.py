"""NIMA from Keras weight files: three networks without Keras, all others with it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from siamese_nima.card import ModelCard, Normalisation
from siamese_nima.errors import WeightsError
from siamese_nima.networks.backbones import BackboneOptions
from siamese_nima.networks.keras.applications import (
    PREFIX,
    read_application,
    recognised_application,
    usual_size_px,
)
from siamese_nima.networks.keras.file import KerasFile, WeightKey, read_keras_file
from siamese_nima.networks.keras.layers import (
    KERAS_EPSILON,
    TORCH_NAMES,
    WEIGHT_ORDER,
    WEIGHTED,
    BackboneKind,
    KerasLayer,
    keras_layers,
    to_keras,
    to_torch,
)
from siamese_nima.networks.keras.recognition import (
    TITLES,
    FoundTensor,
    recognised_backbone,
    recognised_padding,
    tensors_by_layer,
)
from siamese_nima.networks.nima import NIMA, build_nima
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale

_V2_NAMES = {112: "035", 160: "050", 240: "075", 320: "100", 448: "140"}  # by last block's width
_HEAD = "dense_1"
_MOST_GRADES = 100  # a Dense layer with more outputs is a classifier, ImageNet's has 1000


def read_keras_h5(
    path: str | os.PathLike[str],
    *,
    keras_version: int | str | None = None,
    view: ViewPolicy | None = None,
) -> tuple[NIMA, ModelCard]:
    """Read the weights of a Keras backbone with one Dense softmax layer on its pooled features.

    The backbone is told by the tensors. Every tensor of the file is used exactly once.

    Args:
        path: A file of `save_weights` or `save`, of any Keras since 2.0.
        keras_version: Which Keras wrote a MobileNet, as 2, 3 or "2.1.6"; needed only where the file
            does not tell, because versions pad differently.
        view: View policy for the card in place of the usual one for such weights. Networks that
            Keras rebuilds work at the size of its views alone.

    Returns:
        The network in inference mode, and a card that says what is known about it.

    Raises:
        WeightsError: No such file, not a file of Keras weights, a network that is not supported, or
            tensors that do not fit, with the list of them.
        MissingExtraError: A network of `keras.applications` that only Keras itself can rebuild.
    """
    source = Path(path)
    file = read_keras_file(source)
    if (recognised := recognised_application(file)) is not None:
        return _application(source, file, *recognised, view)
    kind = recognised_backbone(source, file)
    layers = [layer for layer in keras_layers(kind) if layer.kind in WEIGHTED]
    found = tensors_by_layer(file, layers)
    name, options = _backbone(source, file, kind, found, keras_version)
    nima = build_nima(name, options=options, grades=_grades(source, kind, found))
    fitted = _fitted(source, kind, layers, found, nima)
    nima.load_state_dict(nima.state_dict() | fitted)
    # As the programs that these weights come from show photos to them: the origin at native size,
    # idealo's loader resized to 224 x 224 by the nearest pixel.
    usual = "native" if name == "inception_resnet_v2" else "warp:224/nearest"
    card = _card(source, file, name, nima, view or ViewPolicy.parse(usual))
    return nima.eval(), replace(card, backbone_options=options.to_dict())


def _application(
    source: Path, file: KerasFile, application: str, head: str, view: ViewPolicy | None
) -> tuple[NIMA, ModelCard]:
    view = view or ViewPolicy.parse(f"warp:{usual_size_px(application)}/nearest")
    if view.view_size is None or view.view_size[0] != view.view_size[1]:
        raise WeightsError(
            f"{source}: Keras' {application} is rebuilt for square views of one size; give a view "
            f"such as warp:224/nearest, not {view}"
        )
    _require_grades(source, head, int(file.tensors[head, _kernel(file)].shape[1]))
    backbone, linear, normalisation = read_application(
        source, file, application, head, view.view_size[0]
    )
    nima = NIMA(backbone, grades=linear.out_features, group_sizes=view.group_sizes)
    nima.head = linear
    card = _card(source, file, PREFIX + application, nima, view)
    return nima.eval(), replace(card, normalisation=normalisation)


def _kernel(file: KerasFile) -> str:
    return "0" if file.numbered else "kernel"


def _backbone(
    source: Path,
    file: KerasFile,
    kind: BackboneKind,
    found: dict[WeightKey, FoundTensor],
    keras_version: int | str | None,
) -> tuple[str, BackboneOptions]:
    """Timm's name and options for the backbone; Keras' alpha is read off the tensors."""
    padding = recognised_padding(source, file, kind, keras_version)
    if kind == "inception_resnet_v2":
        return kind, BackboneOptions(bn_epsilon=KERAS_EPSILON, bn_scale=False)
    layer, full_width = ("conv1", 32) if kind == "mobilenet" else ("block_16_project", 320)
    kernel = found.get((layer, "kernel"))
    channels = full_width if kernel is None else int(kernel.value.shape[-1])
    if kind == "mobilenet":
        return "mobilenetv1_100", BackboneOptions(
            bn_epsilon=KERAS_EPSILON, padding=padding, width=channels / full_width
        )
    name = f"mobilenetv2_{_V2_NAMES.get(channels, '100')}"
    return name, BackboneOptions(bn_epsilon=KERAS_EPSILON, padding=padding)


def _grades(source: Path, kind: BackboneKind, found: dict[WeightKey, FoundTensor]) -> int:
    head = found.get((_HEAD, "kernel"))
    if head is None or head.value.ndim != 2:
        dense = sorted({t.name for t in found.values() if t.value.ndim == 2})
        raise WeightsError(
            f"{source}: {TITLES[kind]} without a rating head: wanted one Dense layer on the pooled "
            f"features, found {', '.join(dense) or 'none'}. Give a file of NIMA weights."
        )
    grades = int(head.value.shape[1])
    _require_grades(source, head.name, grades)
    return grades


def _require_grades(source: Path, head: str, grades: int) -> None:
    if not 2 <= grades <= _MOST_GRADES:
        raise WeightsError(
            f"{source}: the Dense layer {head} has {grades} outputs, a rating scale has 2 to "
            f"{_MOST_GRADES} grades. ImageNet classifiers are not rating networks."
        )


def _fitted(
    source: Path,
    kind: BackboneKind,
    layers: list[KerasLayer],
    found: dict[WeightKey, FoundTensor],
    nima: NIMA,
) -> dict[str, Tensor]:
    """All weights of `nima` by the names of its state dict, from each tensor exactly once."""
    unused = dict(found)
    missing, misshapen, fitted = [], [], {}
    for layer in layers:
        module = nima.get_submodule(str(layer.module))
        for weight in WEIGHT_ORDER[layer.kind]:
            name = TORCH_NAMES[weight]
            current = getattr(module, name)
            if current is None:  # a convolution without bias
                continue
            tensor = unused.pop((layer.name, weight), None)
            if tensor is None:
                # A batch norm without gamma multiplies by 1, as it was built.
                if weight != "gamma" or isinstance(current, nn.Parameter):
                    missing.append(f"{layer.name}/{weight}")
                continue
            wanted = tuple(to_keras(layer.kind, current).shape)
            if tensor.value.shape != wanted:
                misshapen.append(f"{tensor.name} is {tensor.value.shape}, wanted {wanted}")
                continue
            fitted[f"{layer.module}.{name}"] = to_torch(layer.kind, tensor.value)
    _refuse(
        source,
        kind,
        {
            "missing": missing,
            "not used": [tensor.name for tensor in unused.values()],
            "of another shape": misshapen,
            "not finite": [t.name for t in found.values() if not np.isfinite(t.value).all()],
        },
    )
    return fitted


def _refuse(source: Path, kind: BackboneKind, problems: dict[str, list[str]]) -> None:
    lines = [
        f"  {len(names)} {problem}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for problem, names in problems.items()
        if names
    ]
    if lines:
        raise WeightsError(
            f"{source}: these tensors do not fit Keras' {TITLES[kind]} with a rating head:\n"
            + "\n".join(lines)
        )


def _card(source: Path, file: KerasFile, name: str, nima: NIMA, view: ViewPolicy) -> ModelCard:
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ModelCard(
        name=source.name.removesuffix(source.suffix).removesuffix(".weights"),
        description="Rating distribution of an imported Keras network.",
        backbone=name,
        scale=RatingScale(1, nima.head.out_features),
        view=view,
        normalisation=Normalisation(),
        training={
            "data": "unknown",
            "imported_from": source.name,
            "keras_version": file.keras_version or ("3" if file.numbered else "unknown"),
        },
        limits=(
            "The training photos are unknown; published NIMA weights were trained on AVA, so "
            "figures measured on AVA may be measured on training photos.",
        ),
        parent=digest,
    )
