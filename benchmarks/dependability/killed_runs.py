"""Kill `nima score` at random moments and see whether the next run writes the right table.

    python benchmarks/dependability/killed_runs.py --seconds 600 --out killed_runs.json

Makes photos and scores them once without a cache: the truth. Then, until the time is up, rounds:
from an empty cache the command is begun, killed (SIGKILL) after a random time and begun again until
a run comes to its end. After every kill the table must be the one of before the round, or the whole
truth; after the last run it must be the truth, byte for byte. Half of the kills fall somewhere in a
run of usual length, half into its first tenth, where the cache is made.

Runs are forks of a process that has the program in memory, so that the time goes into scoring and
writing and not into the start of Python.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report
from siamese_nima.cli import app
from siamese_nima.scoring import cache as result_cache

OLD = b"the table of an earlier run\n"
ATTEMPTS = 10


def make_noise(folder: Path, count: int) -> None:
    """Small photos, each different, one of them broken."""
    rng = np.random.default_rng(0)
    for number in range(count):
        size = (60 + number % 7, 40 + number % 5, 3)
        pixels = rng.integers(0, 256, size, dtype=np.uint8) // 8 + number % 200
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"photo{number}.png")
    (folder / "photo3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")


def begin(arguments: list[str]) -> int:
    """Run the command in a fork of this process, silently; gives its process id."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = app(arguments, standalone_mode=False) or 0
    finally:
        os._exit(code)


def finish(process: int) -> int:
    """Wait for the end; gives the exit code, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def check(condition: bool, what: str) -> None:
    """Stop the measurement if a promise is broken."""
    if not condition:
        sys.exit(f"BROKEN PROMISE: {what}")


def main() -> None:
    """Measure and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--model", default="quality")
    parser.add_argument("--flush-s", type=float, help="Seconds between writes to the cache.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.flush_s is not None:
        result_cache._FLUSH_S = options.flush_s
    rng = random.Random(options.seed)
    rounds = kills = tables_seen = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        make_noise(folder / "photos", options.photos)
        base = ["score", str(folder / "photos"), "--model", options.model, "--quiet"]
        started = time.perf_counter()
        truths = {}
        for ending in (".csv", ".jsonl"):
            table = folder / f"truth{ending}"
            check(finish(begin([*base, "--no-cache", "--out", str(table)])) == 1, "exit code 1")
            truths[ending] = table.read_bytes()
        run_s = (time.perf_counter() - started) / len(truths)
        end = time.perf_counter() + options.seconds
        while time.perf_counter() < end:
            ending = rng.choice(list(truths))
            table, cache = folder / f"table{ending}", folder / "cache" / f"{rounds}.sqlite"
            table.write_bytes(OLD)
            for attempt in range(ATTEMPTS):
                process = begin([*base, "--cache", str(cache), "--out", str(table)])
                if attempt < ATTEMPTS - 1:  # the last one is left in peace
                    time.sleep(rng.uniform(0, run_s * rng.choice((0.1, 1))))
                    os.kill(process, signal.SIGKILL)
                code = finish(process)
                content = table.read_bytes()
                check(
                    content in (OLD, truths[ending]), "a table is the old one or the whole new one"
                )
                if code == -signal.SIGKILL:
                    kills += 1
                    tables_seen += content == truths[ending]
                else:
                    break
            check(code == 1, f"the last run ends with code 1, not {code}")
            check(content == truths[ending], "the table after kills is the table without")
            rounds += 1
    result = {
        **provenance(),
        "model": options.model,
        "photos": options.photos,
        "seconds_of_one_run": round(run_s, 2),
        "seconds_between_writes": result_cache._FLUSH_S,
        "rounds": rounds,
        "kills": kills,
        "kills_after_the_table_was_complete": tables_seen,
        "wrong_tables": 0,
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
