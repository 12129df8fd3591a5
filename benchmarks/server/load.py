"""What the server sustains, beside a run over a folder of the same photos.

    python benchmarks/server/load.py --work FOLDER --out benchmarks/server/load.json

`nima serve` in processes of its own, one with its defaults and one that takes one photo at a time;
clients on the same machine, over loopback and on the same cores. All take turns on the same photos
in every round. Every answer is compared with the library's score of the same bytes.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from client import Load, send_all

from camera_photos import photos_of
from machine import provenance, report
from siamese_nima import Scorer

CLIENTS = (1, 8, 64)
# A score depends a little on which photos share its batch; the answer has 4 decimals.
SAME_SCORE = 2e-4
SERVERS = {"server": (), "one at a time": ("--workers", "1", "--batch-size", "1")}


@contextmanager
def server(*options: str) -> Iterator[str]:
    """The address of a server of its own, which must end in order."""
    command = [sys.executable, "-m", "siamese_nima", "serve", "--port", "0", "--quiet", *options]
    with tempfile.NamedTemporaryFile("r+") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            while not (found := re.search(r"address=(\S+)/", Path(log.name).read_text())):
                if process.poll() is not None:
                    raise RuntimeError(f"the server did not start: {Path(log.name).read_text()}")
                time.sleep(0.1)
            yield found[1]
        finally:
            process.terminate()
            if process.wait() != 0:
                raise RuntimeError(f"the server ended badly: {Path(log.name).read_text()[-2000:]}")


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="photos are kept there")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]  # what other programs do
    paths = photos_of(arguments.work, arguments.photos, arguments.megapixels)
    photos = [path.read_bytes() for path in paths]
    scorer = Scorer()
    expected = [result.mean for result in scorer.score(paths)]
    folder: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    loads: dict[tuple[str, int], list[Load]] = {}
    with ExitStack() as stack:
        addresses = {
            name: stack.enter_context(server(*options)) for name, options in SERVERS.items()
        }
        for address in addresses.values():
            send_all(address, photos[:8], clients=2)
        for _ in range(arguments.rounds):
            for clients in CLIENTS:
                started = time.perf_counter()
                assert len(list(scorer.score(paths))) == len(paths)
                folder[clients].append(len(paths) / (time.perf_counter() - started))
                for name, address in addresses.items():
                    if name == "server" or clients == max(CLIENTS):
                        load = send_all(address, photos, clients=clients)
                        loads.setdefault((name, clients), []).append(load)
    result = provenance() | {
        "model": scorer.model.model_id,
        "load_average_before": round(load_before, 1),
        "photos": len(paths),
        "megapixels": arguments.megapixels,
        "mb_per_photo": round(sum(map(len, photos)) / len(photos) / 1e6, 2),
        "folder_run_photos_per_second": [round(rate, 2) for own in folder.values() for rate in own],
        "loads": [
            {"server": name, "clients": clients} | figures(runs, expected, folder[clients])
            for (name, clients), runs in loads.items()
        ],
    }
    report(result, arguments.out)


def figures(
    runs: Sequence[Load], expected: Sequence[float | None], folder: Sequence[float]
) -> dict[str, Any]:
    """Rates, latencies, and whether everybody got the right answer.

    Args:
        runs: One per round.
        expected: The score of every photo.
        folder: Photos per second of the run over the folder just before, round by round.
    """
    rates = [len(run.answers) / run.seconds for run in runs]
    shares = [rate / beside for rate, beside in zip(rates, folder, strict=True)]
    latencies = sorted(1000 * value for run in runs for value in run.latencies_s)
    percentiles = statistics.quantiles(latencies, n=100)
    right = sum(
        status == 200
        and body["name"] == str(place)
        and abs(body["mean"] - (expected[place] or 0)) <= SAME_SCORE
        for run in runs
        for place, (status, body) in run.answers.items()
    )
    return {
        "photos_per_second": [round(rate, 2) for rate in rates],
        "share_of_folder_run": [round(share, 3) for share in shares],
        "p50_ms": round(percentiles[49]),
        "p99_ms": round(percentiles[98]),
        "requests": len(runs) * len(expected),
        "answers": sum(len(run.answers) for run in runs),
        "errors": sum(status != 200 for run in runs for status, _ in run.answers.values()),
        "own_scores": right,
    }


if __name__ == "__main__":
    main()
