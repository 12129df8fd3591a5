"""Checkpoints: a network and its model card in one safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from siamese_nima.atomic_write import replacing
from siamese_nima.card import METADATA_KEY, ModelCard
from siamese_nima.errors import CardError, ConfigError, WeightsError
from siamese_nima.networks.keras.applications import require_trainable
from siamese_nima.networks.nima import NIMA, build_nima_for, require_card

_SHOWN = 5  # names per list in an error


def save_checkpoint(path: str | os.PathLike[str], nima: NIMA, card: ModelCard) -> None:
    """Write `nima` and its card; the file appears complete or not at all.

    Raises:
        WeightsError: The card describes another network, or the file cannot be written.
    """
    require_card(nima, card, path)
    require_trainable(nima.backbone, card.backbone)
    tensors = {name: tensor.detach().contiguous() for name, tensor in nima.state_dict().items()}
    with replacing(path, WeightsError) as temporary:
        save_file(tensors, temporary, metadata={METADATA_KEY: card.to_json()})


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[NIMA, ModelCard]:
    """Read what `save_checkpoint` wrote.

    Returns:
        The network in inference mode on the CPU, and its card.

    Raises:
        WeightsError: No such file, not a checkpoint, or its tensors do not fit the network that its
            card describes; a network is never returned with random weights.
    """
    source = Path(path)
    tensors, card = _read(source)
    try:
        nima = build_nima_for(card)
    except ConfigError as error:
        raise WeightsError(f"{source}: its network cannot be built: {error}") from error
    problems = _misfits(nima.state_dict(), tensors)
    if problems:
        raise WeightsError(
            f"{source}: tensors do not fit the {card.backbone} of its card:\n" + "\n".join(problems)
        )
    nima.load_state_dict(tensors, strict=True)
    return nima.eval(), card


def _read(source: Path) -> tuple[dict[str, Tensor], ModelCard]:
    _require(source)
    try:
        with safe_open(source, framework="pt") as file:
            card = _card(source, file.metadata())
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsError(f"{source}: not a readable safetensors file ({error})") from error


def _require(source: Path) -> None:
    if not source.is_file():
        raise WeightsError(f"{source}: no such checkpoint")


def _card(source: Path, metadata: dict[str, str] | None) -> ModelCard:
    if not metadata or METADATA_KEY not in metadata:
        raise WeightsError(
            f"{source}: a safetensors file without a model card ({METADATA_KEY!r} in its metadata),"
            " so not a checkpoint of siamese-nima"
        )
    try:
        return ModelCard.from_json(metadata[METADATA_KEY])
    except CardError as error:
        raise WeightsError(f"{source}: {error}") from error


def _misfits(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
    shapes = [
        f"{name} is {tuple(found[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    lists = {
        "missing": [name for name in wanted if name not in found],
        "unknown": [name for name in found if name not in wanted],
        "of another shape": shapes,
    }
    return [
        f"  {len(names)} {problem}: {', '.join(names[:_SHOWN])}"
        + (", ..." if len(names) > _SHOWN else "")
        for problem, names in lists.items()
        if names
    ]
