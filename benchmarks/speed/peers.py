"""Photos per second from disk: ours beside the origin's way, idealo's and pyiqa's, in one run.

    python benchmarks/speed/peers.py --work FOLDER --real PHOTOS --native-photos 1 \
        --out benchmarks/speed/peers.json \
        --keras2 PYTHON --origin FOLDER --keras3 PYTHON --pyiqa PYTHON

Every contender is a process of its own, in the environment whose Python is given, with its network
loaded and warm before anything is timed. Rounds divide the photos; within a round every contender
scores the same photos in turn, so that a machine that slows down slows all of them, and ratios are
taken round by round. Networks have equal random weights, and the scores of the first photo are
compared with ours under the contender's own view. A contender without environment is left out, and
named.

Environments: --keras2 with numpy==1.15.4 Keras==2.2.4 tensorflow==1.12.0 'h5py<3' 'Pillow<9'
'protobuf<3.20' 'pandas<1.2' on Python 3.6, --origin with a clone of ryanfwy/image-quality;
--keras3 with tensorflow-cpu and Pillow; --pyiqa with pyiqa.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from equal_networks import equal_network

from camera_photos import photos_of
from machine import provenance, report
from siamese_nima import Scorer
from siamese_nima.photos import find_photos

CONTENDER = Path(__file__).with_name("contender.py")
INCEPTION, MOBILENET = "inception_resnet_v2", "mobilenet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Who scores, in which environment, and with what.

    Attributes:
        name: As the results call it.
        group: Those who do the same job with the same network.
        python: Interpreter of its environment; None where none was given.
        arguments: For contender.py.
        view: What its network is shown, as a view policy, for the comparison of scores.
        slow: Whether it need not see all photos.
    """

    name: str
    group: str
    python: str | None
    arguments: tuple[str, ...]
    view: str = "warp:224"
    slow: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is this package."""
        return self.arguments[0] == "ours"

    @property
    def exact(self) -> bool:
        """Whether it is ours, decoding in full."""
        return "--exact" in self.arguments


class Running:
    """A contender's process, not yet ready when made."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        command = [str(contender.python), str(CONTENDER), *contender.arguments]
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.versions: dict[str, str] = {}

    def wait(self) -> None:
        """Until it is ready."""
        self.versions = self._answer()["ready"]

    def score(self, paths: list[Path]) -> dict[str, Any]:
        """Seconds and mean scores."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"paths": [str(path) for path in paths]}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.contender.name} ended: {self._process.args!r}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def contenders(options: argparse.Namespace) -> list[Contender]:
    """All of them, whether installed or not."""
    found = []
    for backbone, group in (
        (INCEPTION, "InceptionResNetV2 at 224"),
        (MOBILENET, "MobileNet at 224"),
    ):
        files = equal_network(backbone, options.work)
        mine: dict[str, Any] = {"group": group, "python": sys.executable}
        found += [
            Contender(name="ours, fp32", arguments=("ours", str(files.model)), **mine),
            Contender(name="ours, int8", arguments=("ours", str(files.int8)), **mine),
            Contender(
                name="ours, fp32 --exact", arguments=("ours", str(files.model), "--exact"), **mine
            ),
        ]
        keras: dict[str, Any] = {"group": group, "view": "warp:224/nearest", "slow": True}
        if backbone == INCEPTION:
            at_224 = (str(files.keras), "--size-px", "224")
            code = ("--code", str(options.origin))
            found += [
                Contender(
                    name="the origin at 224 (Keras 2.2.4)",
                    python=options.origin and options.keras2,
                    arguments=("origin", *at_224, *code),
                    **keras,
                ),
                Contender(
                    name="the origin's way at 224 on Keras 3",
                    python=options.keras3,
                    arguments=("keras3", *at_224),
                    **keras,
                ),
            ]
        else:
            found.append(
                Contender(
                    name="idealo's way (Keras 3, batches of 64)",
                    python=options.keras3,
                    arguments=(
                        *("keras3", str(files.keras), "--size-px", "224"),
                        *("--backbone", MOBILENET, "--batch-size", "64", "--workers", "2"),
                    ),
                    **keras,
                )
            )
    files = equal_network(INCEPTION, options.work)
    crop = "centre:299@299/bilinear"
    shared: dict[str, Any] = {"group": "InceptionResNetV2 at 299", "view": crop, "slow": True}
    found += [
        Contender(
            name="ours, fp32 at 299",
            python=sys.executable,
            arguments=("ours", str(files.model), "--view", crop),
            **shared,
        ),
        Contender(
            name="ours, int8 at 299",
            python=sys.executable,
            arguments=("ours", str(files.int8), "--view", crop),
            **shared,
        ),
        Contender(
            name="pyiqa nima (299, its default)",
            python=options.pyiqa,
            arguments=("pyiqa", str(files.checkpoint)),
            **shared,
        ),
    ]
    return found


def native_contenders(options: argparse.Namespace) -> list[Contender]:
    """The origin's default, photos at their own size, and ours doing the same."""
    files = equal_network(INCEPTION, options.work)
    shared: dict[str, Any] = {"group": "InceptionResNetV2, native size", "view": "native"}
    return [
        Contender(
            name="ours, fp32, native",
            python=sys.executable,
            arguments=("ours", str(files.model), "--view", "native"),
            **shared,
        ),
        Contender(
            name="the origin's default, native (Keras 2.2.4)",
            python=options.origin and options.keras2,
            arguments=("origin", str(files.keras), "--code", str(options.origin)),
            **shared,
        ),
    ]


def start(chosen: list[Contender], warm_up: list[Path]) -> list[tuple[Running, float]]:
    """Processes that have scored once, each with its score of the first photo."""
    running = [Running(contender) for contender in chosen]
    for process in running:
        process.wait()
    return [(process, process.score(warm_up)["means"][0]) for process in running]


def measure(
    started: list[tuple[Running, float]],
    first_photo: Path,
    paths: list[Path],
    rounds: int,
    slow_share: float = 1.0,
) -> list[dict[str, Any]]:
    """Photos per second of each contender in each round, all of them alive and taking turns."""
    rates: list[list[float]] = [[] for _ in started]
    counts = [0] * len(started)
    for number in range(rounds):
        part = paths[number::rounds]
        for index, (process, _) in enumerate(started):
            share = slow_share if process.contender.slow else 1.0
            some = part[: max(1, round(len(part) * share))]
            rates[index].append(len(some) / process.score(some)["seconds"])
            counts[index] += len(some)
            print(f"{process.contender.name}: {rates[index][-1]:.3g}/s", file=sys.stderr)
    results = []
    for (process, first), rate, count in zip(started, rates, counts, strict=True):
        contender = process.contender
        results.append(
            {
                "name": contender.name,
                "group": contender.group,
                "ours": contender.ours,
                "versions": process.versions,
                "photos": count,
                "photos_per_second": [round(value, 4) for value in rate],
                "first_score_off_by": round(abs(first - _reference(contender, first_photo)), 4),
            }
        )
    return results


_REFERENCES: dict[tuple[str, str], float] = {}


def _reference(contender: Contender, photo: Path) -> float:
    """Our score of a photo decoded in full, in fp32, under the contender's view."""
    model = Path(contender.arguments[1].replace("-int8", "")).with_suffix(".onnx")
    key = (str(model), contender.view)
    if key not in _REFERENCES:
        [result] = Scorer(model, view=contender.view, exact=True).score([photo])
        assert result.mean is not None
        _REFERENCES[key] = result.mean
    return _REFERENCES[key]


def ratios(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of ours over each peer that does the same job, round by round."""
    found = []
    for peer in (result for result in results if not result["ours"]):
        for mine in (result for result in results if result["ours"]):
            # The origin's default is beaten by any way that people would choose instead.
            native = peer["group"].endswith("native size") and mine["group"].endswith("V2 at 224")
            if mine["group"] != peer["group"] and not native:
                continue
            pairs = zip(mine["photos_per_second"], peer["photos_per_second"], strict=False)
            quotients = sorted(a / b for a, b in pairs)
            found.append(
                {
                    "group": mine["group"],
                    "ours": mine["name"],
                    "peer": peer["name"],
                    "min": round(quotients[0], 2),
                    "median": round(statistics.median(quotients), 2),
                    "max": round(quotients[-1], 2),
                }
            )
    return found


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="keeps photos and networks")
    parser.add_argument(
        "--photos", type=int, nargs=2, default=(200, 500), help="of 12 MP and of 1 MP"
    )
    parser.add_argument(
        "--real", type=Path, help="a folder of photos of 12 MP in place of made ones"
    )
    parser.add_argument("--native-photos", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--slow-share", type=float, nargs=2, default=(1, 1), help="part that slow ones score"
    )
    parser.add_argument("--keras2", help="Python 3.6 with the origin's packages")
    parser.add_argument("--origin", type=Path, help="the origin's code")
    parser.add_argument("--keras3", help="Python with Keras 3 and TensorFlow")
    parser.add_argument("--pyiqa", help="Python with pyiqa")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--prepare", action="store_true", help="make photos and networks, end")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    everyone = contenders(options)
    installed = [contender for contender in everyone if contender.python]
    natives = [contender for contender in native_contenders(options) if contender.python]
    if options.real:
        photos = {12: [Path(path) for path in find_photos(options.real).paths]}
    else:
        photos = {
            megapixels: photos_of(options.work, count, megapixels)
            for megapixels, count in zip((12, 1), options.photos, strict=True)
        }
    if options.prepare:
        return
    first = photos_of(options.work, 1, 1)[0]
    everybody = start(installed, [first])
    sets: list[dict[str, Any]] = []
    for (megapixels, paths), share in zip(photos.items(), options.slow_share, strict=False):
        # A photo of 1 megapixel is never decoded at reduced scale.
        some = [one for one in everybody if megapixels > 1 or not one[0].contender.exact]
        sets.append(
            {
                "megapixels": megapixels,
                "real": options.real is not None,
                "photos": len(paths),
                "mean_file_mb": round(sum(p.stat().st_size for p in paths) / len(paths) / 1e6, 2),
                "contenders": measure(some, first, paths, options.rounds, share),
            }
        )
    for process, _ in everybody:
        process.close()
    if options.native_photos:
        alone = start(natives, [first])
        sets[0]["contenders"] += measure(alone, first, photos[12][: options.native_photos], 1)
    for one in sets:
        one["ratios"] = ratios(one["contenders"])
    result = {
        **provenance(),
        "rounds": options.rounds,
        "left_out": [contender.name for contender in everyone if not contender.python],
        "sets": sets,
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
