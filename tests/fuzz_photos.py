"""Fuzz the reader of photos, as long as you like: damaged files, each in bounded time and memory.

    python tests/fuzz_photos.py --seconds 1200 --out fuzz.json

Files go to a worker process, which may use 3 GB of memory and 10 seconds for one of them. Anything
but a photo or a PhotoError is a finding: another exception, a lack of memory, a crash of a decoder,
a hang. Findings are saved beside the report, under the SHA-256 of the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from photo_seeds import damaged, seeds
from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from machine import provenance

MEMORY_BYTES = 3 << 30
SECONDS_PER_FILE = 10
MAX_PIXELS = 20_000_000


def outcome(contents: bytes, name: str) -> str:
    """ "photo", "error", or what went wrong."""
    try:
        photo = read_photo(contents, min_short_side_px=16, max_pixels=MAX_PIXELS, name=name)
    except PhotoError as error:
        if isinstance(error.__cause__, MemoryError):
            return f"memory: {error}"
        if isinstance(error.__cause__, NameError):
            return f"ours: {error}"
        return "error" if str(error).startswith(name) else f"unnamed: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    sound = photo.mode == "RGB" and 0 < photo.width * photo.height <= MAX_PIXELS
    return "photo" if sound else f"odd photo: {photo.mode} {photo.size}"


def work(pipe: Connection) -> None:
    """Answer files with outcomes until the pipe is closed."""
    if sys.platform != "win32":  # which has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    while True:
        try:
            contents, name = pipe.recv()
        except EOFError:
            return
        pipe.send(outcome(contents, name))


class Worker:
    """The process that reads; it is replaced when it dies or hangs."""

    def __init__(self) -> None:
        # LibRaw's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def outcome(self, contents: bytes, name: str) -> str:
        """What came of one file; "hang" or "crash" if there was no answer."""
        self.pipe.send((contents, name))
        # A busy machine is not a hang: what counts is the time that the worker itself had.
        started, waited = self._cpu_seconds(), 0
        while not self.pipe.poll(SECONDS_PER_FILE):
            waited += SECONDS_PER_FILE
            spent = self._cpu_seconds() - started
            if spent > SECONDS_PER_FILE or waited > 30 * SECONDS_PER_FILE:
                self.stop()
                return f"hang: {spent:.0f} s of processor time in {waited} s"
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return f"crash: exit code {self._process.exitcode}"

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def main() -> int:
    """Run; the exit code is 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--files", type=int, help="stop after so many, whatever the time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz.json"))
    arguments = parser.parse_args()
    rng, found = random.Random(arguments.seed), seeds()
    others = list(found.values())
    outcomes = {name: Counter() for name in found}
    findings, slowest, total = [], (0.0, ""), 0
    worker, started = Worker(), time.monotonic()
    while time.monotonic() - started < arguments.seconds and total != arguments.files:
        name = rng.choice(list(found))
        contents = damaged(found[name], rng, others)
        file_name = name + (".dng" if name.startswith("dng") and rng.random() < 0.5 else "")
        began = time.monotonic()
        result = worker.outcome(contents, file_name)
        slowest = max(slowest, (time.monotonic() - began, name))
        total += 1
        outcomes[name][result if result in ("photo", "error") else "finding"] += 1
        if result in ("photo", "error"):
            continue
        digest = hashlib.sha256(contents).hexdigest()[:16]
        (arguments.out.parent / f"{digest}.bin").write_bytes(contents)
        findings.append({"seed": name, "sha256": digest, "outcome": result[:300]})
        print(findings[-1], file=sys.stderr, flush=True)
        if result.startswith(("crash", "hang")):
            worker = Worker()
    worker.stop()
    report = {
        **provenance(),
        "pillow": Image.__version__,
        "files": total,
        "files_per_second": round(total / (time.monotonic() - started), 1),
        "slowest": {"seconds": round(slowest[0], 2), "seed": slowest[1]},
        "outcomes": {name: dict(counts) for name, counts in outcomes.items()},
        "findings": findings,
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{total} files, {len(findings)} findings; report in {arguments.out}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
