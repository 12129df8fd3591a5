"""Read every photo of a folder with three readers and list where ours stands alone.

    python benchmarks/dependability/differential.py FOLDER --keep /tmp/references --out found.json

The others are ImageMagick (`convert`) and libvips (`vipsthumbnail`), as Debian has them. All three
give the first picture upright, in sRGB, on white, with 8 bits. Pictures are compared at a long side
of 256 pixels at most: a mean difference of more than 3 levels of 255, or another shape, is a
disagreement. What the others gave is kept, so that a second run reads with ours alone. Each
disagreement gets its cause from `differential_causes.toml`, where there is one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance
from siamese_nima.errors import PhotoError
from siamese_nima.photos import find_photos, read_photo

SIDE_PX = 256
LEVELS = 3.0
SECONDS = 60
READERS = ("imagemagick", "libvips")
CAUSES = Path(__file__).with_name("differential_causes.toml")
NOBODY = "error, 0 of 2 others read it"


def small(picture: Image.Image) -> Image.Image:
    """The picture with a long side of at most `SIDE_PX`, averaged."""
    scale = SIDE_PX / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)


def by_command(command: list[str], result: Path) -> Image.Image | str:
    """The picture that a program writes as PNG or PPM; or its complaint."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "time is up"
    complaint = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode or not result.exists():
        return complaint[0][:200] if complaint else f"exit code {done.returncode}"
    try:
        with Image.open(result) as picture:
            return picture.convert("RGB")
    # What a program wrote of a damaged file may be damaged too.
    except Exception as error:
        return str(error)[:200]


def by_imagemagick(path: Path, folder: Path, srgb: Path) -> Image.Image | str:
    """What `convert` makes of a photo."""
    result = folder / "magick.ppm"
    change = ["-auto-orient", "-intent", "relative", "-black-point-compensation"]
    change += ["-profile", str(srgb), "-colorspace", "sRGB"]
    change += ["-background", "white", "-alpha", "remove", "-alpha", "off", "-depth", "8"]
    limits = ["-limit", "memory", "2GiB", "-limit", "thread", "1"]
    return by_command(["convert", *limits, f"{path}[0]", *change, f"ppm:{result}"], result)


def by_libvips(path: Path, folder: Path, _: Path) -> Image.Image | str:
    """What `vipsthumbnail` makes of a photo when it need not shrink it, in the colours of sRGB."""
    plain, result = folder / "vips.v", folder / "vips.ppm"
    command = ["vipsthumbnail", "--vips-concurrency=1", str(path), "-s", "100000x100000>"]
    found = by_command([*command, "-o", f"{result}[background=255]"], result)
    asked = ["vipsheader", "-f", "icc-profile-data", str(path)]
    if isinstance(found, str) or subprocess.run(asked, capture_output=True, check=False).returncode:
        return found
    by_command([*command, "-o", str(plain)], plain)
    change = ["--embedded", "--black-point-compensation", "--intent", "relative"]
    target = f"{result}[background=255]"
    return by_command(["vips", "icc_transform", str(plain), target, "srgb", *change], result)


def reference(path: Path, keep: Path, srgb: Path) -> dict[str, Image.Image | str]:
    """The other readers' pictures, small, or their complaints; from an earlier run where it is."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    found: dict[str, Image.Image | str] = {}
    for name, read in zip(READERS, (by_imagemagick, by_libvips), strict=True):
        picture_file, text_file = keep / f"{digest}.{name}.png", keep / f"{digest}.{name}.txt"
        if picture_file.exists():
            with Image.open(picture_file) as kept:
                found[name] = kept.convert("RGB")
        elif text_file.exists():
            found[name] = text_file.read_text()
        else:
            with tempfile.TemporaryDirectory() as folder:
                answer = read(path.absolute(), Path(folder), srgb)
            if isinstance(answer, str):
                text_file.write_text(answer)
            else:
                answer = small(answer)
                answer.save(picture_file)
            found[name] = answer
    return found


def ours(path: Path, folder: Path) -> Image.Image | str:
    """What `read_photo` makes of a photo, or its error without the name."""
    try:
        return small(read_photo(path, name="photo" + path.suffix))
    except PhotoError as error:
        text = str(error).partition(": ")[2]
        return re.sub(re.escape(str(folder)) + r"/?", "", text)


def gap(one: Image.Image | str, other: Image.Image | str) -> float | None:
    """Mean difference in levels of 255; None where one is no picture, 255 for other shapes."""
    if isinstance(one, str) or isinstance(other, str):
        return None
    if max(abs(a - b) for a, b in zip(one.size, other.size, strict=True)) > 2:
        return 255.0
    if one.size != other.size:
        other = other.resize(one.size, Image.Resampling.BILINEAR)
    a, b = (np.asarray(picture, dtype=np.float64) for picture in (one, other))
    return round(float(np.abs(a - b).mean()), 2)


def verdict(mine: Image.Image | str, gaps: dict[str, float | None]) -> str:
    """How our reading stands to the others', in the words of the table."""
    read = [value for value in gaps.values() if value is not None]
    if isinstance(mine, str):
        return "ours: error"
    if not read:
        return "ours alone reads it"
    near = [value <= LEVELS for value in read]
    if all(near):
        return "agree"
    return "agrees with one of two" if any(near) else "ours differs"


def compare(path: Path, folder: Path, keep: Path, srgb: Path) -> dict[str, Any]:
    """One row of the result."""
    others, mine = reference(path, keep, srgb), ours(path, folder)
    gaps = {name: gap(mine, other) for name, other in others.items()}
    row: dict[str, Any] = {"file": str(path.relative_to(folder)), "verdict": verdict(mine, gaps)}
    if isinstance(mine, str):
        row["error"] = mine
        readable = [name for name, other in others.items() if not isinstance(other, str)]
        row["verdict"] = f"error, {len(readable)} of 2 others read it"
        row["others apart"] = gap(*others.values())
    row["levels"] = gaps
    return row


def cause_of(row: dict[str, Any], causes: list[dict[str, Any]]) -> str:
    """Why a reading differs, by the first cause that fits."""
    if row["verdict"] == NOBODY:
        return "nobody reads it"
    near = (row["levels"].get("imagemagick") or 0) <= LEVELS
    for cause in causes:
        named = any(fnmatchcase(row["file"], pattern) for pattern in cause.get("files", ["*"]))
        error = cause.get("error")
        told = bool(re.search(error, row["error"])) if error and "error" in row else not error
        # A cause of readings is none of errors.
        fits = named and told and ("error" in row) == bool(error)
        fits &= cause.get("verdict") in (None, row["verdict"])
        fits &= cause.get("libvips") in (None, row["levels"].get("libvips"))
        if fits and (near or not cause.get("imagemagick_near")):
            return str(cause["says"])
    return "not looked at"


def rows_of(folder: Path, keep: Path, threads: int) -> Iterator[dict[str, Any]]:
    """Compare all photos of a folder, in order."""
    srgb = keep / "srgb.icc"
    srgb.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    paths = find_photos([folder]).paths
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(partial(compare, folder=folder, keep=keep, srgb=srgb), paths)


def table(rows: list[dict[str, Any]]) -> str:
    """Causes of disagreement with how many files each has, as Markdown."""
    verdicts = ("agrees with one of two", "ours differs", "error", "ours alone reads it")
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if row["verdict"] != NOBODY:
            verdict = "error" if "error" in row else row["verdict"]
            found.setdefault(row["cause"], Counter())[verdict] += 1
    lines = ["| why | as one | other | error here | alone |", "|---|---|---|---|---|"]
    for cause, counts in sorted(found.items(), key=lambda each: -each[1].total()):
        lines.append(" | ".join((f"| {cause}", *(str(counts[v] or "") for v in verdicts))) + " |")
    sums = [str(sum(counts[v] for counts in found.values())) for v in verdicts]
    return "\n".join([*lines, " | ".join(("| all", *sums)) + " |"])


def main() -> None:
    """Compare, and write all that is not plain agreement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="folder for the others' pictures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, Counter[str]] = {}
    listed, by_cause = [], Counter[str]()
    causes = tomllib.loads(CAUSES.read_text())["cause"]
    for number, row in enumerate(rows_of(arguments.folder, arguments.keep, arguments.threads)):
        kind = Path(row["file"]).suffix.lower()
        kinds.setdefault(kind, Counter())[row["verdict"]] += 1
        if row["verdict"] != "agree":
            row["cause"] = cause_of(row, causes)
            by_cause[row["cause"]] += 1
            listed.append(row)
        if number % 500 == 499:
            print(number + 1, "files", file=sys.stderr, flush=True)
    result = {
        **provenance(),
        "files": sum(sum(counts.values()) for counts in kinds.values()),
        "kinds": {kind: dict(counts) for kind, counts in sorted(kinds.items())},
        "causes": dict(by_cause.most_common()),
        "disagreements": listed,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["kinds"], indent=1))
    print(table(listed))


if __name__ == "__main__":
    main()
