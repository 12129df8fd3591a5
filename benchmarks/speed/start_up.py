"""Processor time before the first score, and for a photo that the cache knows.

    python benchmarks/speed/start_up.py --out benchmarks/speed/start_up.json

Processor seconds, user and system, of whole processes: other work on the machine moves them less
than it moves the time on a clock, though it moves them too: "import numpy, onnxruntime", which no
command that scores can do without, is there to compare with. Byte code is compiled before, as an
installation does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "chelsea.jpg"


def processor_s(arguments: list[str], environment: dict[str, str]) -> float:
    """Processor seconds of one process, from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(seconds: list[float], digits: int) -> dict[str, float]:
    """Median, least and largest."""
    found = {"median": statistics.median(seconds), "low": min(seconds), "high": max(seconds)}
    return {name: round(value, digits) for name, value in found.items()}


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--photos", type=int, default=2000, help="that the cache knows")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            **os.environ,
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
            "PYTHONDONTWRITEBYTECODE": "",
            "SIAMESE_NIMA_CACHE": str(folder / "cache.sqlite"),
        }
        many, one = folder / "many", folder / "one"
        many.mkdir()
        one.mkdir()
        for number in range(options.photos):
            grey = Image.new("RGB", (64, 64), (number % 251, number % 241, number % 239))
            grey.save(many / f"{number:05}.bmp")
        (one / "00000.bmp").write_bytes((many / "00000.bmp").read_bytes())
        score = ["-m", "siamese_nima", "score", "-q"]
        table = ["--out", str(folder / "scores.csv")]
        commands = {
            "import numpy, onnxruntime": ["-c", "import numpy, onnxruntime"],
            "import siamese_nima": ["-c", "import siamese_nima"],
            "nima --version": ["-m", "siamese_nima", "--version"],
            "nima score photo.jpg": [*score, "--no-cache", str(PHOTO)],
            "one": [*score, *table, str(one)],
            "many": [*score, *table, str(many)],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for arguments in commands.values():
            processor_s(arguments, environment)
        for _ in range(options.runs):
            for name, arguments in commands.items():
                seconds[name].append(processor_s(arguments, environment))
    known = [
        (more - less) / (options.photos - 1) * 1e6
        for more, less in zip(seconds.pop("many"), seconds.pop("one"), strict=True)
    ]
    result = {
        **provenance(),
        "runs": options.runs,
        "processor_s": {name: measured(values, 3) for name, values in seconds.items()},
        "known_photos": options.photos,
        "known_photo_us": measured(known, 1),
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
