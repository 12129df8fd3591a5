"""Processor time of a photo by kind of file, beside the parts that it is made of.

    python benchmarks/speed/real_photos.py FOLDER --kind "HEIC of phones=HEIC" \
        --out benchmarks/speed/real_photos.json
    python benchmarks/speed/real_photos.py FOLDER --photos 12 --steps --out where_it_goes.json
    python benchmarks/speed/real_photos.py FOLDER --photos 12 --against real_photos.json

FOLDER has real photos of a phone: JPEG with an ICC profile, rotated by EXIF. Files of other kinds
are made of those, and `--kind` adds real ones, each in a folder. All is processor time, user and
system, on one core: other work on the machine moves it less than it moves the time on a clock, and
ratios of one run hardly at all. With `--against` ratios are compared with recorded ones and the
exit code says whether one has grown by more than a quarter.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima import Scorer
from siamese_nima.cores import EIGHT_BITS_VARIABLE, usable_cores
from siamese_nima.photos import find_photos, open_photo
from siamese_nima.photos.colour import to_srgb
from siamese_nima.photos.jpeg_scan import damage_in_scans
from siamese_nima.photos.read import Photo

MADE = 3  # different files of a kind that is made; more are copies under other names
LARGE = (6000, 4000)
GROWN = 1.25


def of_phone(source: Path, target: Path) -> None:
    """The file as the phone wrote it."""
    shutil.copyfile(source, target.with_suffix(".jpg"))


def large_jpeg(source: Path, target: Path) -> None:
    """As many pixels as a camera of 24 megapixels has, with the photo's profile and EXIF."""
    with Image.open(source) as photo:
        large = photo.resize(LARGE, Image.Resampling.BICUBIC)
        about = {key: photo.info[key] for key in ("icc_profile", "exif") if key in photo.info}
    large.save(target.with_suffix(".jpg"), quality=92, **about)


def heic(source: Path, target: Path) -> None:
    """As phones write it by default; needs pillow-heif."""
    import pillow_heif

    with Image.open(source) as photo:
        pillow_heif.from_pillow(photo).save(target.with_suffix(".heic"), quality=60)


def png(source: Path, target: Path) -> None:
    """The photo's pixels without loss."""
    with Image.open(source) as photo:
        photo.save(target.with_suffix(".png"), icc_profile=photo.info.get("icc_profile"))


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "JPEG of a phone, 12 MP": of_phone,
    "JPEG, 24 MP": large_jpeg,
    "HEIC, 12 MP": heic,
    "PNG, 12 MP": png,
}


def write_kind(
    sources: list[Path], folder: Path, write: Callable[[Path, Path], None], count: int
) -> list[Path]:
    """So many files of a kind; what costs much to make is made a few times and copied."""
    folder.mkdir()
    different = len(sources) if write is of_phone else MADE
    for number, source in enumerate(sources[:different]):
        write(source, folder / f"{number:04}")
    made = sorted(folder.iterdir())
    for number in range(len(made), count):
        original = made[number % len(made)]
        shutil.copyfile(original, folder / f"{number:04}{original.suffix}")
    return sorted(folder.iterdir())[:count]


def milliseconds(work: Callable[[], Any]) -> float:
    """Processor time of this process in a call."""
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


def command_ms(paths: list[Path], model: str) -> float:
    """Processor time of `nima score` over files, one worker."""
    command = [sys.executable, "-m", "siamese_nima", "score", "--workers", "1", "--no-cache", "-q"]
    command += ["--model", model]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *paths], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def decode_alone(path: Path, short_side: int) -> None:
    """The decoder without anything around it, at the scale that scoring reads."""
    with Image.open(path) as photo:
        if photo.format in ("JPEG", "MPO"):
            factor = min(8, 1 << max(0, (min(photo.size) // short_side).bit_length() - 1))
            photo.draft("RGB", (photo.width // factor, photo.height // factor))
        photo.load()


def measure(paths: list[Path], scorer: Scorer, model: str) -> dict[str, Any]:
    """Milliseconds of a photo: decoder alone, reading and views, network, and the whole command."""
    view, least = scorer.view, scorer.decode_px
    times: dict[str, list[float]] = {"decoder": [], "views": [], "network": []}

    def cut(path: Path) -> np.ndarray:
        return view.views(open_photo(path, min_short_side_px=least))

    views = cut(paths[0])[np.newaxis]
    scorer.model.rate(views)
    for path in paths:
        times["decoder"].append(milliseconds(partial(decode_alone, path, least or 1)))
        times["views"].append(milliseconds(partial(cut, path)))
        times["network"].append(milliseconds(lambda: scorer.model.rate(views)))
    ms = {name: statistics.median(values) for name, values in times.items()}
    ms["command"] = (command_ms(paths, model) - command_ms(paths[:1], model)) / (len(paths) - 1)
    size = statistics.mean(path.stat().st_size for path in paths)
    return {
        "files": len(paths),
        "mean_file_mb": round(size / 1e6, 2),
        "ms": {name: round(value, 1) for name, value in ms.items()},
        "views_by_decoder": round(ms["views"] / ms["decoder"], 2),
        "command_by_parts": round(ms["command"] / (ms["views"] + ms["network"]), 2),
    }


def where_it_goes(paths: list[Path], scorer: Scorer) -> dict[str, float]:
    """Median milliseconds of each step of a JPEG file on its way to the score."""
    view, least = scorer.view, scorer.decode_px
    times: dict[str, list[float]] = {}

    def timed(step: str, work: Callable[..., Any], *given: Any) -> Any:
        started = time.process_time()
        result = work(*given)
        times.setdefault(step, []).append(1000 * (time.process_time() - started))
        return result

    for path in paths:
        contents = timed("reading the file", path.read_bytes)
        timed("looking for damage", damage_in_scans, contents)
        timed("the decoder", decode_alone, path, least or 1)
        timed("not done: the decoder at an eighth of the scale", decode_alone, path, 1)
        photo = timed("all of opening", partial(open_photo, path, min_short_side_px=least))
        for group in view.groups:
            cut = timed(f"view {group}, its colours among it", group.cut, photo, view.resample)
        timed("colours of one view, again", to_srgb, cut[0], photo._stored.profile, "")
        timed("the network", scorer.model.rate, view.views(photo)[np.newaxis])
        timed("not done: all colours, all turned", Photo(photo._stored, photo.name).whole)
    return {step: round(statistics.median(values), 1) for step, values in times.items()}


def folder_run(paths: list[Path], one: list[Path], model: str) -> dict[str, Any]:
    """Photos per second of `nima score` on all cores, by a clock: only an idle machine tells it."""
    command = [sys.executable, "-m", "siamese_nima", "score", "--no-cache", "-q", "--model", model]
    seconds = []
    for photos in (one, paths):
        started = time.perf_counter()
        subprocess.run([*command, *photos], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    rate = (len(paths) - len(one)) / (seconds[1] - seconds[0])
    return {"photos": len(paths), "cores": usable_cores(), "photos_per_second": round(rate, 1)}


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=200, help="files of each kind")
    parser.add_argument("--model", default="quality")
    parser.add_argument("--float", action="store_true", help="never in 8 bits")
    parser.add_argument(
        "--kind", action="append", default=[], metavar="NAME=FOLDER", help="real files of a kind"
    )
    parser.add_argument(
        "--all-cores", type=int, metavar="N", help="time a folder of so many, on all cores, too"
    )
    parser.add_argument("--steps", action="store_true", help="only the steps of a photo of FOLDER")
    parser.add_argument("--against", type=Path, help="recorded ratios that these must not exceed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.float:
        os.environ[EIGHT_BITS_VARIABLE] = "0"  # of the commands that are timed, too
    sources = list(find_photos(options.folder).paths)
    scorer = Scorer(options.model, workers=1)
    if scorer.card.view.view_size is None:
        sys.exit(f"{options.model}: its views have the size of the photo, so that nothing is equal")
    if options.steps:
        some = sources[: options.photos]
        about = {"model": scorer.model.model_id, "photos": len(some)}
        report({**provenance(), **about, "steps_ms": where_it_goes(some, scorer)}, options.out)
        return
    import pillow_heif

    pillow_heif.register_heif_opener()
    kinds = {}
    with tempfile.TemporaryDirectory() as name:
        for number, (kind, write) in enumerate(KINDS.items()):
            paths = write_kind(sources, Path(name) / str(number), write, options.photos)
            kinds[kind] = measure(paths, scorer, options.model)
        if options.all_cores:
            many = write_kind(sources, Path(name) / "folder", of_phone, options.all_cores)
            folder = folder_run(many, many[:1], options.model)
            ms = kinds[next(iter(KINDS))]["ms"]
            bound = 1000 * folder["cores"] / (ms["views"] + ms["network"])
            folder["share_of_the_bound"] = round(folder["photos_per_second"] / bound, 2)
    for kind, _, given in (text.partition("=") for text in options.kind):
        kinds[kind] = measure(
            [Path(path) for path in find_photos(given).paths], scorer, options.model
        )
    result = {
        **provenance(),
        "model": scorer.model.model_id,
        "photos": options.photos,
        "different_of_the_phone": len(sources),
        "kinds": kinds,
    }
    if options.all_cores:
        result["folder"] = folder
    report(result, options.out)
    if options.against:
        recorded = json.loads(options.against.read_text())["kinds"]
        grown = [
            f"{kind}: {ratio} is {found[ratio]}, was {recorded[kind][ratio]}"
            for kind, found in kinds.items()
            if kind in recorded
            for ratio in ("views_by_decoder", "command_by_parts")
            if found[ratio] > GROWN * recorded[kind][ratio]
        ]
        sys.exit("\n".join(grown))


if __name__ == "__main__":
    main()
