"""The contamination guard: a model is not judged by photos that it was trained on.

A model card's `training` holds `fingerprint`, one hash for the whole set of training photos, and
may hold `photo_prints`, the first bytes of every photo's hash, base64-encoded. With the prints
every single training photo is recognised, wherever it lies and whatever it is called; the
fingerprint alone tells only whether a set of photos is the training set. Recompressed or resized
copies of training photos are other files, and not recognised: that is the work of `near_copies`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from siamese_nima.card import ModelCard
from siamese_nima.datasets.rating_table import (
    RatingTable,
    file_hash,
    fingerprint_of,
    photo_hashes,
)
from siamese_nima.errors import CardError, ContaminationError, name_some

PHOTO_PRINTS = "photo_prints"  # in a model card's `training`

# 5 bytes: among 250,000 training and 20,000 test photos .005 photos match by chance.
_PRINT_BYTES = 5


@dataclass(frozen=True, slots=True)
class Contamination:
    """What a card tells about photos.

    Attributes:
        verdict: "clean": none was trained on. "contaminated": some were. "unknown": the card does
            not say what the model was trained on.
        photos: The photos trained on.
        reason: The verdict as a sentence.
    """

    verdict: Literal["clean", "contaminated", "unknown"]
    photos: tuple[Path, ...]
    reason: str


def training_record(table: RatingTable, parent: ModelCard | None = None) -> dict[str, Any]:
    """What a card's `training` says of the photos, for `find_contamination` to read.

    Args:
        table: The photos trained on; all must be on the disk.
        parent: Card of the model that training started from, whose photos count too.

    Returns:
        `fingerprint` and `photos` (their number) of this table, and `photo_prints` of its photos
        and the parent's. A parent that does not say what it saw gives `unknown_parent`: True.
    """
    return record_of(photo_hashes(table), parent)


def record_of(hashes: Sequence[str], parent: ModelCard | None = None) -> dict[str, Any]:
    """`training_record` of photos that are known by the SHA-256 of their files."""
    prints = {_print_of(photo) for photo in hashes}
    record: dict[str, Any] = {"fingerprint": fingerprint_of(hashes), "photos": len(set(hashes))}
    if parent is not None:
        known = _read_prints(parent)
        prints |= known or set()
        if known is None or parent.training.get("unknown_parent"):
            record["unknown_parent"] = True
    return record | {PHOTO_PRINTS: _write_prints(prints)}


def find_contamination(
    card: ModelCard, table: RatingTable, source: RatingTable | None = None
) -> Contamination:
    """Which of these photos a model was trained on. Photos that are not on the disk are ignored.

    Args:
        card: The model's card.
        table: The photos to judge it by.
        source: The whole set that `table` is a part of. Where the card has a fingerprint alone and
            it is that of one of the set's splits, that split's photos are known to be trained on.
    """
    hashes = _hashes(table)
    trained = _trained_on(card, hashes, source)
    name = f"model {card.name!r}"
    if trained is None:
        return Contamination("unknown", (), f"{name} does not say which photos it was trained on")
    found = tuple(path for path, photo in hashes.items() if _print_of(photo) in trained)
    if found:
        reason = f"{name} was trained on {len(found)} of these {len(table)} photos"
        return Contamination("contaminated", found, f"{reason}: {name_some(found)}")
    if card.training.get("unknown_parent"):
        return Contamination("unknown", (), f"{name} does not say what its parent was trained on")
    return Contamination("clean", (), f"{name} was trained on none of these {len(table)} photos")


def refuse_contaminated(
    card: ModelCard,
    table: RatingTable,
    source: RatingTable | None = None,
    *,
    force: bool = False,
) -> Contamination:
    """What `find_contamination` finds, refused where photos were trained on.

    Raises:
        ContaminationError: The model was trained on some of the photos, and `force` is not set.
    """
    found = find_contamination(card, table, source)
    if found.verdict == "contaminated" and not force:
        raise ContaminationError(
            f"{found.reason}. Figures on them say nothing about new photos; take another split, or "
            "force it."
        )
    return found


def _trained_on(
    card: ModelCard, hashes: Mapping[Path, str], source: RatingTable | None
) -> set[bytes] | None:
    """Prints of the photos that the model is known to have seen; None where that is not known."""
    prints = _read_prints(card)
    fingerprint = card.training.get("fingerprint")
    if prints is not None or fingerprint is None:
        return prints
    if fingerprint == fingerprint_of(hashes.values()):
        return {_print_of(photo) for photo in hashes.values()}
    if source is None:
        return None
    every = _hashes(source)
    parts: dict[str, list[str]] = {}
    for path, split in zip(source.paths, source.splits, strict=True):
        if path in every:
            parts.setdefault(split, []).append(every[path])
    for candidate in (*parts.values(), list(every.values())):
        if fingerprint_of(candidate) == fingerprint:
            return {_print_of(photo) for photo in candidate}
    return None


def _hashes(table: RatingTable) -> dict[Path, str]:
    return {path: file_hash(path) for path in table.paths if path.is_file()}


def _print_of(photo_hash: str) -> bytes:
    return bytes.fromhex(photo_hash[: 2 * _PRINT_BYTES])


def _write_prints(prints: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(prints))).decode()


def _read_prints(card: ModelCard) -> set[bytes] | None:
    text = card.training.get(PHOTO_PRINTS)
    if text is None:
        return None
    try:
        joined = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise CardError(f"model {card.name!r}: photo_prints are not base64 ({error})") from error
    if len(joined) % _PRINT_BYTES:
        raise CardError(f"model {card.name!r}: photo_prints are cut off")
    return {joined[i : i + _PRINT_BYTES] for i in range(0, len(joined), _PRINT_BYTES)}
