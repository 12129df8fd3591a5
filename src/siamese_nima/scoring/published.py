"""Weights that others published, and how to download them: explicit, resumable, checked."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from siamese_nima.atomic_write import put_in_place
from siamese_nima.errors import WeightsError

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights:
    """A Keras weight file on the internet.

    Attributes:
        name: What `nima models get` takes.
        url: Where it is.
        description: What it is.
        licence: Licence of the repository that publishes it.
        git_blob: Its git object id (SHA-1), known where the file is part of a repository's tree;
            None for release assets, whose publishers state no hash.
    """

    name: str
    url: str
    description: str
    licence: str
    git_blob: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the downloaded file, distinct for each entry."""
        return f"{self.name}.h5"


PUBLISHED = {
    entry.name: entry
    for entry in (
        PublishedWeights(
            name="titu1994-inception-resnet-v2",
            url="https://github.com/titu1994/neural-image-assessment/releases/download/v0.5/"
            "inception_resnet_weights.h5",
            description="NIMA on AVA, InceptionResNetV2; what ryanfwy/image-quality starts from",
            licence="MIT",
        ),
        PublishedWeights(
            name="titu1994-mobilenet",
            url="https://raw.githubusercontent.com/titu1994/neural-image-assessment/"
            "4a22c4b59b8af1a7d23edb94fb7f48a008ba986c/weights/mobilenet_weights.h5",
            description="NIMA on AVA, MobileNet",
            licence="MIT",
            git_blob="912b5d1607fb00abaed32034775fb470a482840e",
        ),
        PublishedWeights(
            name="ryanfwy-siamese-nima",
            url="https://github.com/ryanfwy/image-quality/releases/download/v0.1/"
            "nima_weights_pre_trained.h5",
            description="the origin's InceptionResNetV2 weights",
            licence="MIT",
        ),
        PublishedWeights(
            name="idealo-aesthetic",
            url="https://raw.githubusercontent.com/idealo/image-quality-assessment/"
            "dceaf7c2d218bc6e80b21d6e147e3b56a21b7f31/models/MobileNet/"
            "weights_mobilenet_aesthetic_0.07.hdf5",
            description="aesthetic NIMA on AVA, MobileNet",
            licence="Apache-2.0",
            git_blob="003fb321ce92445e41d708144a3656589f9214e7",
        ),
        PublishedWeights(
            name="idealo-technical",
            url="https://raw.githubusercontent.com/idealo/image-quality-assessment/"
            "dceaf7c2d218bc6e80b21d6e147e3b56a21b7f31/models/MobileNet/"
            "weights_mobilenet_technical_0.11.hdf5",
            description="technical NIMA on TID2013, MobileNet",
            licence="Apache-2.0",
            git_blob="5e4a4ca2ce639309bfa4038d0bc10ba92b93bd26",
        ),
    )
}


def download(
    weights: PublishedWeights,
    folder: Path,
    *,
    on_progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Path:
    """Download a weight file into `folder`, going on where an earlier attempt stopped.

    Args:
        weights: What to download.
        folder: Made if missing.
        on_progress: Called with the bytes so far and the bytes in all, if the server says them.

    Returns:
        The downloaded file. One that is there already is checked, not downloaded again.

    Raises:
        WeightsError: The server cannot be reached or refuses, the folder cannot be written, or the
            file is not the one that was published.
    """
    target = folder / weights.file_name
    part = folder / f"{weights.file_name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _fetch(weights.url, part, on_progress)
            _check(weights, part)
            put_in_place(part, target)
        else:
            _check(weights, target)
    except urllib.error.HTTPError as error:
        raise WeightsError(
            f"{weights.url}: the server answers {error.code} {error.reason}"
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"{weights.url}: not reachable ({reason}). Nothing else here needs the internet: "
            f"fetch the file on another machine, put it at {target}, then run this again; "
            "or use an embedded model."
        ) from error
    except OSError as error:
        raise WeightsError(f"{folder}: cannot be written ({error})") from error
    return target


def _fetch(url: str, part: Path, on_progress: Callable[[int, int | None], None]) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing is left to send: the part is the whole file
            return
        raise
    with answer:
        if answer.status != 206:  # the server starts over
            done = 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if done else "wb") as file:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                on_progress(done, total)
    if total is not None and done != total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes; run it again")


def _check(weights: PublishedWeights, path: Path) -> None:
    if weights.git_blob is None:
        return
    # A git blob id is the SHA-1 of a short header and the content.
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != weights.git_blob:
        raise WeightsError(
            f"{path}: not the published file: its git blob id is {digest.hexdigest()}, published "
            f"is {weights.git_blob}. Delete it and download again."
        )
